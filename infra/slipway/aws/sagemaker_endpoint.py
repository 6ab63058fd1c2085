"""SageMakerEndpoint: models behind an Amazon SageMaker endpoint, with its identity, its autoscaling and its alarms."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import pulumi

from slipway.aws import policies, sagemaker_backend
from slipway.aws.sagemaker_alarm_checks import rolls_back
from slipway.aws.sagemaker_alarms import make_alarms
from slipway.aws.sagemaker_args import (
    SageMakerAlarms,
    SageMakerAsync,
    SageMakerComponent,
    SageMakerDataCapture,
    SageMakerDeployment,
    SageMakerEndpointArgs,
    SageMakerManagedInstances,
    SageMakerServerless,
    SageMakerStrategy,
    SageMakerVariant,
    SageMakerVpc,
)
from slipway.aws.sagemaker_autoscaling import Subject, scale
from slipway.aws.sagemaker_components import CLOUDFORMATION_TYPE
from slipway.aws.sagemaker_container_args import SageMakerContainer, SageMakerEngine
from slipway.aws.sagemaker_containers import with_images
from slipway.aws.sagemaker_execution import execution_policy
from slipway.aws.sagemaker_fleet import Fleet
from slipway.aws.sagemaker_model import container, with_secrets
from slipway.aws.sagemaker_scaling_args import (
    SageMakerConcurrencyScaling,
    SageMakerScaling,
    SageMakerSchedule,
    SageMakerStep,
)
from slipway.aws.sagemaker_serverless import serverless_config
from slipway.aws.sagemaker_storage import async_config, capture_config
from slipway.aws.sagemaker_variants import Variant, variant_args
from slipway.aws.sdk import aws
from slipway.backend import Backend

__all__ = [
    "SageMakerAlarms",
    "SageMakerAsync",
    "SageMakerComponent",
    "SageMakerConcurrencyScaling",
    "SageMakerContainer",
    "SageMakerDataCapture",
    "SageMakerDeployment",
    "SageMakerEndpoint",
    "SageMakerEndpointArgs",
    "SageMakerEngine",
    "SageMakerManagedInstances",
    "SageMakerScaling",
    "SageMakerSchedule",
    "SageMakerServerless",
    "SageMakerStep",
    "SageMakerStrategy",
    "SageMakerVariant",
    "SageMakerVpc",
]


class SageMakerEndpoint(pulumi.ComponentResource):
    """Models behind a SageMaker endpoint: real-time, serverless or asynchronous.

    A change of a model, or of a weight, makes a new endpoint configuration, named by its content, and the endpoint keeps its
    name: SageMaker moves to the new configuration as `deployment` says, and the old one goes last.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    endpoint_name: pulumi.Output[str]
    """Name by which callers invoke it."""
    endpoint_arn: pulumi.Output[str]
    """Its ARN, for policies."""
    role_arn: pulumi.Output[str]
    """ARN of the role under which SageMaker runs it."""

    def __init__(self, name: str, args: SageMakerEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        fleet = Fleet.of(name, args)
        # What is given as None counts as absent, here as in the checks.
        given = with_secrets(with_images({k: v for k, v in args.items() if v is not None}))
        super().__init__("slipway:index:SageMakerEndpoint", name, cast("Any", given), opts)
        self._name, self._args, self._fleet = name, given, fleet
        self._grantees: set[str] = set()
        self._component_names: dict[str, pulumi.Output[str]] = {}
        self._tags: Mapping[str, pulumi.Input[str]] = given.get("tags") or {}

        self._role = aws.iam.Role(
            f"{name}-role",
            description=f"SageMaker runs the endpoint {name} under this role",
            assume_role_policy=policies.TRUST_SAGEMAKER,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._permissions = aws.iam.RolePolicy(
            f"{name}-permissions",
            role=self._role.name,
            policy=execution_policy(name, given, fleet),
            opts=pulumi.ResourceOptions(parent=self),
        )
        configuration = self._configuration()
        rollback = self._alarms(given["endpoint_name"]) if rolls_back(given) else []
        deployment: Mapping[str, Any] = given.get("deployment") or {}
        endpoint = aws.sagemaker.Endpoint(
            f"{name}-endpoint",
            name=given.get("endpoint_name"),
            endpoint_config_name=configuration.name,
            deployment_config=fleet.deployment.config([*deployment.get("alarm_names", ()), *rollback]),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        if "alarms" in given and not rollback and not fleet.components:
            self._alarms(endpoint.name)
        for variant in fleet.variants:
            if variant.scaling:
                subject = Subject(variant.role(name), endpoint.name, variant.name, serverless="serverless" in given)
                scale(subject, variant.scaling, self._tags, self)
        self._components(endpoint)

        self.endpoint_name, self.endpoint_arn, self.role_arn = endpoint.name, endpoint.arn, self._role.arn
        self.register_outputs({"endpoint_name": self.endpoint_name, "endpoint_arn": self.endpoint_arn, "role_arn": self.role_arn})

    def grant_invoke(self, role_name: pulumi.Input[str], *, grantee: str = "caller") -> aws.iam.RolePolicy:
        """Let a role call this endpoint, and nothing else: streamed or not, or asynchronously if it is of that form.

        Args:
            role_name: Name of the IAM role, not its ARN.
            grantee: What this grant is called among those of this endpoint. Part of the policy's logical name, so keep it.

        Raises:
            ValueError: The endpoint has a grant of that name already.
        """
        if grantee in self._grantees:
            raise ValueError(f"endpoint '{self._name}' has a grant '{grantee}' already; give each its own `grantee`")
        self._grantees.add(grantee)
        actions = policies.INVOKE_ASYNC if "async_inference" in self._args else policies.INVOKE_ENDPOINT
        return aws.iam.RolePolicy(
            f"{self._name}-invoke-{grantee}",
            role=role_name,
            policy=self.endpoint_arn.apply(lambda arn: policies.invoke(arn, actions)),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def backend(
        self,
        name: str | None = None,
        *,
        model: str | None = None,
        region: str | None = None,
        variant: str | None = None,
        component: str | None = None,
        instance_cost_per_hour: float | None = None,
        **more: Any,
    ) -> Backend:
        """This endpoint as a backend of a router, whose role may ask just this: `AiApiService` makes one (`make_identity`), or
        give yours to `grant_invoke`.

        Args:
            name: Name in metrics, headers and the policy. Default: the component's, with the variant's or component's.
            model: The model's name at the container. Default: what its environment tells, such as `HF_MODEL_ID`.
            region: The endpoint's region. Default: that of its image.
            variant: Key of `variants` whose variant alone is asked, whatever the weights. Default: SageMaker chooses by weight.
            component: Key of `components` that is asked. Required where there are any.
            instance_cost_per_hour: What one instance costs in an hour, in US dollars. Default: not known, and its tokens count as
                free.
            more: Any other field of `slipway.backend.Backend`, such as `quality`; it wins over what is known here.

        Raises:
            BackendError: Model or region are neither given nor known before `up`; there is no such variant or component, or no
                component was named where there are some; the endpoint answers asynchronously.
        """
        made = sagemaker_backend.backend(
            self._name,
            self._fleet,
            self._args,
            (self.endpoint_name, self.endpoint_arn),
            variant=variant,
            component=component,
            component_name=self._component_names.get(component) if component else None,
            known={"name": name, "model": model, "region": region, "instance_cost_per_hour": instance_cost_per_hour},
        )
        return cast("Backend", {**made, **more})

    def _configuration(self) -> aws.sagemaker.EndpointConfiguration:
        given, fleet = self._args, self._fleet
        told: dict[str, Any] = {}
        if "serverless" in given:
            own: Any = {
                "variant_name": fleet.own.name,
                "model_name": self._model(fleet.own.role(self._name), fleet.own.model, fleet.own.network_isolation),
                "initial_variant_weight": 1.0,
                "serverless_config": serverless_config(given["serverless"]),
            }
            told["production_variants"] = [own]
        elif fleet.components:
            own = variant_args(fleet.own, given, None)
            if (managed := given.get("managed_instances")) is not None:
                bounds = {"min_instance_count": managed["min"], "max_instance_count": managed["max"]}
                own["managed_instance_scaling"] = {"status": "ENABLED", **bounds}
            told |= {"production_variants": [own], "execution_role_arn": self._role.arn}
        else:
            told["production_variants"] = [self._variant(v) for v in fleet.variants]
            if fleet.shadow:
                told["shadow_production_variants"] = [self._variant(fleet.shadow)]
        if "async_inference" in given:
            told["async_inference_config"] = async_config(given["async_inference"])
        if "data_capture" in given:
            told["data_capture_config"] = capture_config(given["data_capture"])
        if "volume_kms_key_arn" in given:
            told["kms_key_arn"] = given["volume_kms_key_arn"]
        # Another content is another name, and so a new configuration; the endpoint moves to it, and the old one goes last.
        # Nothing here drifts when autoscaling changes the count: that is the endpoint's, not its configuration's.
        return aws.sagemaker.EndpointConfiguration(
            f"{self._name}-config",
            name=named_by_content(f"{self._name}-config", told),
            **told,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._permissions]),
        )

    def _variant(self, variant: Variant) -> Any:
        model = self._model(variant.role(self._name), variant.model, variant.network_isolation)
        return variant_args(variant, self._args, model)

    def _model(self, role: str, model: Mapping[str, Any], isolated: bool) -> pulumi.Output[str]:
        vpc = self._args.get("vpc")
        made = aws.sagemaker.Model(
            f"{role}-model",
            execution_role_arn=self._role.arn,
            primary_container=container(model),
            # The serverless form knows no isolation, not even that there is none.
            enable_network_isolation=None if "serverless" in self._args else isolated,
            vpc_config={"subnets": vpc["subnet_ids"], "security_group_ids": vpc["security_group_ids"]} if vpc else None,
            tags=self._tags,
            # SageMaker reads image and weights by the role as soon as the model is deployed.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._permissions]),
        )
        return made.name

    def _alarms(self, endpoint: pulumi.Input[str]) -> list[pulumi.Output[str]]:
        told = self._args["alarms"]
        return [
            alarm.name
            for variant in self._fleet.variants
            for alarm in make_alarms(
                variant.role(self._name), {"EndpointName": endpoint, "VariantName": variant.name}, told, self._tags, self
            )
        ]

    def _components(self, endpoint: aws.sagemaker.Endpoint) -> None:
        for component in self._fleet.components:
            role, name = f"{self._name}-{component.key}", pulumi.Output.concat(endpoint.name, f"-{component.key}")
            model = self._model(role, component.model, isolated=False)
            made = aws.cloudcontrol.Resource(
                role,
                type_name=CLOUDFORMATION_TYPE,
                desired_state=component.state_text(name, endpoint.name, self._fleet.own.name, model, self._tags),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[endpoint]),
            )
            self._component_names[component.key] = name
            if component.scaling:
                scale(Subject(role, endpoint.name, component=name), component.scaling, self._tags, self, after=made)
            if "alarms" in self._args:
                make_alarms(role, {"InferenceComponentName": name}, self._args["alarms"], self._tags, self)


def named_by_content(prefix: str, content: Mapping[str, Any]) -> pulumi.Output[str]:
    """A name that is another one for another content, and the same for the same."""

    def name(found: Mapping[str, Any]) -> str:
        text = json.dumps(found, sort_keys=True)
        return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    return pulumi.Output.from_input(dict(content)).apply(name)
