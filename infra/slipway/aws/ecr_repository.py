"""EcrRepository: a place for images in AWS, scanned when pushed, and emptied of what nobody uses."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape, known
from slipway.aws import policies
from slipway.aws.sagemaker_rules import key_fault
from slipway.aws.sdk import aws

_NAME = re.compile(r"([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)


class EcrRepositoryArgs(TypedDict):
    """What an `EcrRepository` is told."""

    repository_name: NotRequired[str]
    """Its name in addresses: 2 to 256 lower case letters, digits, '.', '_', '-' and '/'. Default: the component's name."""
    keep_tagged: NotRequired[int]
    """Newest images with a tag that stay, at least 1; older ones are deleted. Default: all stay."""
    delete_untagged_days: NotRequired[int]
    """Days after its push, at least 1, from which an image without a tag is deleted. Default 30."""
    mutable_tags: NotRequired[bool]
    """Whether a tag may be moved to another image. Default false: what a tag names stays what it is."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """ARN of the KMS key that encrypts the images. A change makes another repository. Default: AES-256 by keys of Amazon S3."""
    force_delete: NotRequired[bool]
    """Whether `destroy` deletes the images too. Default false: it is refused while there are any."""
    pull_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of IAM roles, of other accounts too, that may pull from here. Default: roles of this account whose own policies let
    them."""
    tags: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Tags of the repository. Default: none."""


@dataclass(frozen=True)
class Resolved:
    """The arguments that can be known, with every default."""

    repository_name: str
    keep_tagged: int | None
    delete_untagged_days: int
    mutable_tags: bool
    force_delete: bool

    def lifecycle(self) -> str:
        """The policy that deletes (Amazon ECR, "Lifecycle policy properties")."""
        untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
        rules = [_rule(1, "Untagged images", {**untagged, "countNumber": self.delete_untagged_days})]
        if self.keep_tagged is not None:
            tagged = {"tagStatus": "tagged", "tagPatternList": ["*"], "countType": "imageCountMoreThan"}
            rules.append(_rule(2, "All but the newest tagged images", {**tagged, "countNumber": self.keep_tagged}))
        return json.dumps({"rules": rules})


def resolve(name: str, args: EcrRepositoryArgs) -> Resolved:
    """Check and fill in.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments.
    """
    faults = Faults("EcrRepository")
    given = check_shape(args, EcrRepositoryArgs, faults)
    chosen = given.get("repository_name", name)
    if not faults.at("repository_name") and not (2 <= len(chosen) <= 256 and _NAME.fullmatch(chosen)):
        path, told = ("repository_name", "") if "repository_name" in given else ("name", "(the component's own) ")
        rule = "2 to 256 lower case letters, digits and '.', '_', '-' or '/' between them (Amazon ECR API: CreateRepository)"
        faults.add(path, f"{told}is {chosen!r}; give {rule}")
    for key in ("keep_tagged", "delete_untagged_days"):
        if key in given and not faults.at(key) and given[key] < 1:
            faults.add(key, f"is {given[key]}; give at least 1")

    def key_told(arn: object) -> None:
        if isinstance(arn, str) and (fault := key_fault(arn)):
            faults.add("kms_key_arn", fault)

    known(given.get("kms_key_arn"), key_told)
    if not faults.at("pull_role_arns"):
        _check_roles(given.get("pull_role_arns"), faults)
    faults.refuse(name)
    return Resolved(
        chosen,
        given.get("keep_tagged"),
        given.get("delete_untagged_days", 30),
        given.get("mutable_tags", False),
        given.get("force_delete", False),
    )


def _check_roles(roles: Sequence[object] | None, faults: Faults) -> None:
    if roles is not None and not roles:
        faults.add("pull_role_arns", "is empty; give the roles' ARNs, or leave it out")
    for i, role in enumerate(roles or ()):

        def told(arn: object, i: int = i) -> None:
            if isinstance(arn, str) and not _ROLE.fullmatch(arn):
                faults.add(f"pull_role_arns[{i}]", f"is {arn!r}; give an ARN such as 'arn:aws:iam::123456789012:role/nodes'")

        known(role, told)


class EcrRepository(pulumi.ComponentResource):
    """A repository of images in Amazon ECR.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    url: pulumi.Output[str]
    """What an image's name begins with: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY`."""

    def __init__(self, name: str, args: EcrRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        resolved = resolve(name, args)
        super().__init__("slipway:index:EcrRepository", name, cast("Any", {**args}), opts)
        key = args.get("kms_key_arn")
        repository = aws.ecr.Repository(
            f"{name}-repository",
            name=resolved.repository_name,
            image_tag_mutability="MUTABLE" if resolved.mutable_tags else "IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[
                {"encryption_type": "AES256"} if key is None else {"encryption_type": "KMS", "kms_key": key}
            ],
            force_delete=resolved.force_delete,
            tags=args.get("tags"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.ecr.LifecyclePolicy(
            f"{name}-lifecycle",
            repository=repository.name,
            policy=resolved.lifecycle(),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if roles := args.get("pull_role_arns"):
            arns: pulumi.Output[Any] = pulumi.Output.from_input(cast("Any", list(roles)))
            aws.ecr.RepositoryPolicy(
                f"{name}-pull",
                repository=repository.name,
                policy=arns.apply(policies.pull_by),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.url = repository.repository_url
        self.register_outputs({"url": self.url})


def _rule(priority: int, what: str, selection: Mapping[str, Any]) -> dict[str, Any]:
    return {"rulePriority": priority, "description": what, "selection": dict(selection), "action": {"type": "expire"}}
