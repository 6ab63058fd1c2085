"""SageMakerEndpoint: a model behind an Amazon SageMaker real-time endpoint, with its identity and its autoscaling."""

import re
from collections.abc import Mapping
from typing import Any, cast

import pulumi

from slipway.aws import policies
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_args import SageMakerEndpointArgs, SageMakerScaling, SageMakerVpc
from slipway.aws.sagemaker_fleet import STREAM_LIMIT_SECONDS, Fleet, Scaling, image_fault, weights_fault
from slipway.backend import Backend

try:
    import pulumi_aws as aws
except ImportError as error:
    raise ImportError("SageMakerEndpoint needs pulumi-aws; install it with: pip install 'slipway[aws]'") from error

__all__ = ["SageMakerEndpoint", "SageMakerEndpointArgs", "SageMakerScaling", "SageMakerVpc"]

_SERVICE, _DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
_SECRET_NAME = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)$")


class SageMakerEndpoint(pulumi.ComponentResource):
    """A model behind a SageMaker real-time endpoint.

    A change of the model makes a new model and a new endpoint configuration, and the endpoint keeps its name: SageMaker starts a
    second fleet, moves the traffic when that is healthy, and takes the first one away after `termination_wait_seconds`.

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
        args = {**args, "environment": hidden(args.get("environment") or {})}
        super().__init__("slipway:index:SageMakerEndpoint", name, cast("Any", args), opts)
        self._name = name
        self._args = args
        self._fleet = fleet
        self._grantees: set[str] = set()
        tags = args.get("tags") or {}

        role = aws.iam.Role(
            f"{name}-role",
            description=f"SageMaker runs the endpoint {name} under this role",
            assume_role_policy=policies.TRUST_SAGEMAKER,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-permissions",
            role=role.name,
            policy=execution_policy(name, args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        model = aws.sagemaker.Model(
            f"{name}-model",
            execution_role_arn=role.arn,
            primary_container=container(args),
            enable_network_isolation=fleet.network_isolation,
            vpc_config=vpc_config(args),
            tags=tags,
            # SageMaker reads image and weights by the role as soon as the model is deployed.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permissions]),
        )
        # Its name stays Pulumi's: every change then makes a new one, the endpoint moves to it, and the old one goes last.
        # Nothing here drifts when autoscaling changes the count: that is the endpoint's, not its configuration's.
        configuration = aws.sagemaker.EndpointConfiguration(
            f"{name}-config",
            production_variants=[variant(fleet, args, model.name)],
            kms_key_arn=args.get("volume_kms_key_arn"),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        endpoint = aws.sagemaker.Endpoint(
            f"{name}-endpoint",
            name=args.get("endpoint_name"),
            endpoint_config_name=configuration.name,
            deployment_config=blue_green(fleet),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        if fleet.scaling:
            self._scale(endpoint, fleet.variant, fleet.scaling, tags)

        self.endpoint_name, self.endpoint_arn, self.role_arn = endpoint.name, endpoint.arn, role.arn
        self.register_outputs({"endpoint_name": self.endpoint_name, "endpoint_arn": self.endpoint_arn, "role_arn": self.role_arn})

    def grant_invoke(self, role_name: pulumi.Input[str], *, grantee: str = "caller") -> aws.iam.RolePolicy:
        """Let a role call this endpoint, streamed or not, and nothing else.

        Args:
            role_name: Name of the IAM role, not its ARN.
            grantee: What this grant is called among those of this endpoint. Part of the policy's logical name, so keep it.

        Raises:
            ValueError: The endpoint has a grant of that name already.
        """
        if grantee in self._grantees:
            raise ValueError(f"endpoint '{self._name}' has a grant '{grantee}' already; give each its own `grantee`")
        self._grantees.add(grantee)
        return aws.iam.RolePolicy(
            f"{self._name}-invoke-{grantee}",
            role=role_name,
            policy=self.endpoint_arn.apply(policies.invoke),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def backend(
        self,
        name: str | None = None,
        *,
        model: str | None = None,
        region: str | None = None,
        instance_cost_per_hour: float | None = None,
        **more: Any,
    ) -> Backend:
        """This endpoint as a backend of a router, whose role may ask just this: `AiApiService` makes one (`make_identity`), or
        give yours to `grant_invoke`.

        Args:
            name: Name in metrics, headers and the policy. Default: the component's.
            model: The model's name at the container. Default: its variable `HF_MODEL_ID`.
            region: The endpoint's region. Default: that of its image.
            instance_cost_per_hour: What one instance costs in an hour, in US dollars. Default: not known, and its tokens count as
                free.
            more: Any other field of `slipway.backend.Backend`, such as `quality`; it wins over what is known here.

        Raises:
            ValueError: Model or region are neither given nor known before `up`.
        """
        told, image = self._args.get("environment") or {}, self._args["image"]
        model = model or _plain(told.get("HF_MODEL_ID"))
        found = EcrImage.parse(image) if isinstance(image, str) else None
        region = region or (found.region if found else None)
        missing = [k for k, v in (("model", model), ("region", region)) if v is None]
        if missing:
            raise ValueError(f"what endpoint '{self._name}' serves is not known yet; give backend() {' and '.join(missing)}")
        fleet = self._fleet
        host = f"runtime.sagemaker.{region}.amazonaws.com{'.cn' if str(region).startswith('cn-') else ''}"
        known: dict[str, Any] = {
            "name": name or self._name,
            "url": pulumi.Output.concat(f"https://{host}/endpoints/", self.endpoint_name),
            "protocol": "sagemaker",
            "region": region,
            "model": model,
            "self_hosted": True,
            "timeouts": {"total": float(STREAM_LIMIT_SECONDS)},
            "ready_seconds": fleet.download_timeout + fleet.startup_timeout,
            "resource": self._name,
            "domain": f"aws/{region}",
            "min_replicas": fleet.scaling.min if fleet.scaling else fleet.instance_count,
            "max_replicas": fleet.scaling.max if fleet.scaling else fleet.instance_count,
            "aws_permissions": [{"actions": policies.INVOKE_ENDPOINT, "resources": [self.endpoint_arn]}],
        }
        context = _plain(told.get("OPTION_MAX_MODEL_LEN"))
        if context is not None and context.isdigit():
            known["context_tokens"] = int(context)
        if instance_cost_per_hour is not None:
            known["replica_cost_per_hour"] = instance_cost_per_hour
        return cast("Backend", {**known, **more})

    def _scale(
        self, endpoint: aws.sagemaker.Endpoint, variant: str, scaling: Scaling, tags: Mapping[str, pulumi.Input[str]]
    ) -> None:
        target = aws.appautoscaling.Target(
            f"{self._name}-scaling-target",
            service_namespace=_SERVICE,
            scalable_dimension=_DIMENSION,
            resource_id=pulumi.Output.concat("endpoint/", endpoint.name, f"/variant/{variant}"),
            min_capacity=scaling.min,
            max_capacity=scaling.max,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.appautoscaling.Policy(
            f"{self._name}-scaling-policy",
            policy_type="TargetTrackingScaling",
            service_namespace=_SERVICE,
            scalable_dimension=_DIMENSION,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
                "target_value": scaling.invocations_per_instance,
                "scale_out_cooldown": scaling.scale_out_cooldown_seconds,
                "scale_in_cooldown": scaling.scale_in_cooldown_seconds,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )


def _plain(value: object) -> str | None:
    return value if isinstance(value, str) else None


def hidden(environment: Mapping[str, pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    """The same variables, those with the names of credentials as secrets."""
    return {k: pulumi.Output.secret(v) if _SECRET_NAME.search(k) else v for k, v in environment.items()}


def container(args: SageMakerEndpointArgs) -> aws.sagemaker.ModelPrimaryContainerArgsDict:
    """Image, environment and weights of the model."""
    made: aws.sagemaker.ModelPrimaryContainerArgsDict = {"image": args["image"], "environment": args.get("environment") or {}}
    uri = args.get("weights_s3_uri")
    if uri is not None:
        made["model_data_source"] = {
            "s3_data_sources": [{"s3_uri": uri, "s3_data_type": "S3Prefix", "compression_type": "None"}],
        }
    return made


def vpc_config(args: SageMakerEndpointArgs) -> aws.sagemaker.ModelVpcConfigArgsDict | None:
    """Subnets and security groups of the containers, if they run in a VPC."""
    vpc = args.get("vpc")
    return {"subnets": vpc["subnet_ids"], "security_group_ids": vpc["security_group_ids"]} if vpc else None


def variant(
    fleet: Fleet, args: SageMakerEndpointArgs, model: pulumi.Input[str]
) -> aws.sagemaker.EndpointConfigurationProductionVariantArgsDict:
    """The one production variant, which takes all traffic."""
    made: aws.sagemaker.EndpointConfigurationProductionVariantArgsDict = {
        "variant_name": fleet.variant,
        "model_name": model,
        "instance_type": args["instance_type"],
        "initial_instance_count": fleet.instance_count,
        "initial_variant_weight": 1.0,
        "model_data_download_timeout_in_seconds": fleet.download_timeout,
        "container_startup_health_check_timeout_in_seconds": fleet.startup_timeout,
        # A long answer occupies its instance; picking instances at random would queue behind it.
        "routing_configs": [{"routing_strategy": "LEAST_OUTSTANDING_REQUESTS"}],
    }
    # Told only where asked for: what is there as None is sent as a null.
    if (volume := args.get("volume_gib")) is not None:
        made["volume_size_in_gb"] = volume
    if (ami := args.get("inference_ami_version")) is not None:
        made["inference_ami_version"] = ami
    return made


def blue_green(fleet: Fleet) -> aws.sagemaker.EndpointDeploymentConfigArgsDict:
    """Move all traffic at once to the new fleet when that is healthy; keep the old one until its streams have ended."""
    return {
        "blue_green_update_policy": {
            "traffic_routing_configuration": {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": 0},
            "termination_wait_in_seconds": fleet.termination_wait,
        },
    }


def execution_policy(name: str, args: SageMakerEndpointArgs) -> pulumi.Output[str]:
    """The role's policy, known in a plan if image, weights and keys are."""
    endpoint = args.get("endpoint_name") or f"{name}-endpoint-*"

    def document(found: Mapping[str, Any]) -> str:
        # Values that were unknown when the arguments were checked.
        image, weights = EcrImage.parse(found["image"]), found["weights_s3_uri"]
        if image is None:
            raise pulumi.RunError(f"SageMakerEndpoint '{name}': args.image {image_fault(found['image'])}")
        if weights is not None and (fault := weights_fault(weights)):
            raise pulumi.RunError(f"SageMakerEndpoint '{name}': args.weights_s3_uri {fault}")
        return policies.execution(
            image,
            f"/aws/sagemaker/Endpoints/{endpoint}",
            weights_s3_uri=weights,
            weights_kms_key_arn=found["weights_kms_key_arn"],
            volume_kms_key_arn=found["volume_kms_key_arn"],
            in_vpc=args.get("vpc") is not None,
        )

    inputs = {k: args.get(k) for k in ("image", "weights_s3_uri", "weights_kms_key_arn", "volume_kms_key_arn")}
    return cast("pulumi.Output[dict[str, Any]]", pulumi.Output.from_input(inputs)).apply(document)
