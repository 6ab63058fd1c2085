"""What a plan costs a month, of components as they are and of resources as providers take them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.infra.kubernetes.model_server import planned

from slipway import SageMakerEndpoint
from slipway.plan import UNKNOWN, Plan, Resource, plan_program
from slipway.plan.billed_item import Billed
from slipway.plan.cost import Cost, Range, changed, cost, difference, month, to_json, words
from slipway.prices import OwnRates, Rates

QWEN: Mapping[str, Any] = {
    "model": "Qwen/Qwen2.5-0.5B-Instruct",
    "namespace": "ai",
    "accelerator": "l4:1",
    "context_tokens": 4096,
}
HOURS = 730


def own(**rates: Any) -> Rates:
    return Rates(OwnRates.model_validate(rates), "rates.yaml")


def resource(type_: str, name: str, parent: str | None = "chat", **inputs: Any) -> Resource:
    above = f"urn:pulumi:dev::p::slipway:index:X::{parent}" if parent else None
    return Resource(f"urn:pulumi:dev::p::{type_}::{name}", type_, name, above, inputs)


def plan(*resources: Resource, parent: str = "chat") -> Plan:
    component = Resource(f"urn:pulumi:dev::p::slipway:index:X::{parent}", "slipway:index:X", parent, None, {}, custom=False)
    return Plan("p", "dev", (component, *resources))


def endpoint(*variants: Mapping[str, Any], image_region: str = "us-east-1", **targets: tuple[int, int]) -> Plan:
    """A SageMaker endpoint, as `SageMakerEndpoint` makes one."""
    image = f"763104351884.dkr.ecr.{image_region}.amazonaws.com/djl-inference:1"
    return plan(
        resource("aws:sagemaker/model:Model", "chat-model", primaryContainer={"image": image}),
        resource("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "chat-config", productionVariants=list(variants)),
        *(
            resource(
                "aws:appautoscaling/target:Target",
                name.replace("_", "-"),
                minCapacity=least,
                maxCapacity=most,
                resourceId=UNKNOWN,
                scalableDimension="sagemaker:variant:DesiredInstanceCount",
            )
            for name, (least, most) in targets.items()
        ),
    )


def machines(told: Cost) -> list[Billed]:
    """What is no volume; those have tests of their own."""
    (component,) = told.components
    return [line for line in component.lines if not line.what.startswith("a volume")]


def total(told: Cost) -> Range:
    """Of what is no volume."""
    return sum((month(line) for line in machines(told)), Range())


def single(told: Cost) -> tuple[float, float, str]:
    (line,) = machines(told)
    return month(line).least, month(line).most, words(line)


def variant(instance: str = "ml.g5.xlarge", count: int = 2, **more: Any) -> dict[str, Any]:
    return {"instanceType": instance, "initialInstanceCount": count, "variantName": "first", **more}


def test_a_sagemaker_fleet_of_fixed_size() -> None:
    assert single(cost(endpoint(variant()), Rates())) == (
        pytest.approx(2 * 1.408 * HOURS),
        pytest.approx(2 * 1.408 * HOURS),
        "2 x ml.g5.xlarge: us-east-1's list price of 2026-08-17",
    )


def test_a_fleet_that_scales_costs_from_its_least_to_its_most() -> None:
    told = cost(endpoint(variant(), chat_target=(1, 4)), Rates())
    assert single(told)[:2] == (pytest.approx(1.408 * HOURS), pytest.approx(4 * 1.408 * HOURS))
    assert str(told.total) == "$1,028 to $4,111"
    managed = {"status": "ENABLED", "minInstanceCount": 0, "maxInstanceCount": 3}
    assert single(cost(endpoint(variant(managedInstanceScaling=managed)), Rates()))[:2] == (0, pytest.approx(3 * 1.408 * HOURS))


def test_two_variants_each_with_what_scales_it() -> None:
    both = [variant(variantName="main"), variant("ml.g5.2xlarge", 1, variantName="canary")]
    told = cost(endpoint(*both, chat_target=(1, 4), chat_canary_target=(1, 2)), Rates())
    assert told.total.least == pytest.approx((1.408 + 1.515) * HOURS)
    assert told.total.most == pytest.approx((4 * 1.408 + 2 * 1.515) * HOURS)
    # That the component's own name has a variant's in it says nothing.
    both[1]["variantName"] = "chat"
    told = cost(endpoint(*both, chat_scaling_target=(1, 4), chat_chat_scaling_target=(1, 2)), Rates())
    assert told.total.most == pytest.approx((4 * 1.408 + 2 * 1.515) * HOURS)
    # One of them alone is scaled.
    told = cost(endpoint(*both, chat_target=(1, 4)), Rates())
    assert told.total.most == pytest.approx((4 * 1.408 + 1 * 1.515) * HOURS)


def test_the_variants_of_a_component_as_it_is() -> None:
    scaling = {"max": 4, "min": 1, "invocations_per_instance": 60}
    args: Any = {
        "image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128",
        "instance_type": "ml.g5.xlarge",
        "scaling": scaling,
        "variants": {"canary": {"instance_type": "ml.g5.2xlarge", "weight": 0.1, "scaling": {**scaling, "max": 2}}},
    }

    def program() -> None:
        SageMakerEndpoint("canary", args)

    told = cost(plan_program(program), Rates())
    assert told.total.unknown == ()
    assert told.total.least == pytest.approx((1.408 + 1.515) * HOURS)
    assert told.total.most == pytest.approx((4 * 1.408 + 2 * 1.515) * HOURS)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (
            endpoint(variant("ml.p5.48xlarge")),
            "no price of ml.p5.48xlarge in us-east-1 is known (in us-west-2 it is $63.30 an hour); give it under 'machines' in",
        ),
        (
            endpoint(variant(), image_region="eu-west-1"),
            "price of ml.g5.xlarge in eu-west-1 is known (in us-east-1 it is $1.41 an hour)",
        ),
        (endpoint(variant("ml.m5.xlarge")), "it is not in the catalogue"),
        (endpoint(variant(instanceType=UNKNOWN)), "a machine: how many is known only after up"),
        (endpoint(variant(initialInstanceCount=UNKNOWN)), "ml.g5.xlarge: how many is known only after up"),
        (endpoint(variant(), a_target=(1, 2), b_target=(1, 9)), "ml.g5.xlarge: how many is known only after up"),
    ],
)
def test_what_is_unknown_is_named_and_never_0(made: Plan, says: str) -> None:
    told = cost(made, Rates())
    assert says in single(told)[2]
    assert told.total == Range(0, 0, ("chat-config",))
    assert str(told.total) == "unknown"


def test_a_sum_with_something_unknown_says_so() -> None:
    told = cost(endpoint(variant(), variant("ml.p5.48xlarge", 1, variantName="large")), Rates())
    assert str(told.total) == "$2,056 + unknown"
    assert to_json(told)["unknown"] == ["chat-config"]


def test_what_is_paid_by_the_request_is_not_in_it() -> None:
    assert cost(endpoint({"variantName": "s", "serverlessConfig": {"maxConcurrency": 5}}), Rates()).components == ()
    assert cost(plan(resource("aws:s3/bucket:Bucket", "b")), Rates()).components == ()


def test_what_is_kept_warm_is_paid_for_by_the_hour() -> None:
    args: Any = {
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama-cpp:1",
        "serverless": {"memory_mib": 4096, "max_concurrency": 9, "provisioned_concurrency": 2},
    }

    def planned_with(**more: Any) -> Plan:
        def program() -> None:
            given: Any = {**args, "serverless": {**args["serverless"], **more}}
            SageMakerEndpoint("chat", given)

        return plan_program(program)

    assert "give provisioned_gib_usd_per_hour in rates.yaml" in single(cost(planned_with(), Rates()))[2]
    rates = own(provisioned_gib_usd_per_hour=0.05)
    assert single(cost(planned_with(), rates))[:2] == (pytest.approx(2 * 4 * 0.05 * HOURS), pytest.approx(2 * 4 * 0.05 * HOURS))
    scaled = single(cost(planned_with(scaling={"min": 1, "max": 5}), rates))
    assert scaled[:2] == (pytest.approx(4 * 0.05 * HOURS), pytest.approx(5 * 4 * 0.05 * HOURS))


def test_vertex_by_model_garden_and_by_our_own_deployments() -> None:
    config = {
        "dedicatedResources": {
            "machineSpec": {"machineType": "a3-highgpu-1g", "acceleratorType": "NVIDIA_H100_80GB", "acceleratorCount": 1},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
        }
    }
    garden = resource("gcp:vertex/aiEndpointWithModelGardenDeployment:X", "e", location="us-central1", deployConfig=config)
    assert single(cost(plan(garden), Rates()))[:2] == (pytest.approx(12.625919 * HOURS), pytest.approx(3 * 12.625919 * HOURS))
    deployments = {
        "blue": {"machine_type": "a3-highgpu-1g", "accelerator_type": "NVIDIA_H100_80GB", "min_replicas": 2},
        "green": {"machine_type": "n1-standard-4", "accelerator_type": "NVIDIA_TESLA_T4", "max_replicas": 2},
    }
    ours = resource("pulumi-python:dynamic/slipway:VertexDeployments", "d", location="us-central1", deployments=deployments)
    told = cost(plan(ours), Rates())
    assert told.total.least == told.total.most == pytest.approx(2 * 12.625919 * HOURS)
    assert "1 to 2 x (n1-standard-4 with 1 x NVIDIA_TESLA_T4): no price" in words(told.components[0].lines[1])


def test_gpus_of_a_cluster_by_its_node_labels() -> None:
    # Four of the eight A100s of an a2-ultragpu would be no cheaper: the machine with four is taken whole.
    made = planned(node_labels="gke", replicas=2)
    told = cost(made, own(cluster={"place": "gce", "region": "us-central1"}))
    assert single(told)[:2] == (pytest.approx(2 * 20.275192 * HOURS), pytest.approx(2 * 20.275192 * HOURS))
    assert single(told)[2] == "2 x (4 x a100-80gb): a2-ultragpu-4g, us-central1's list price of 2026-08-03"
    # Without a region the cheapest that is known, and it is told which.
    assert "'s list price of" in single(cost(made, Rates()))[2]
    eks = single(cost(planned(node_labels="karpenter"), Rates()))
    assert eks[0] == pytest.approx(27.44705 / 2 * HOURS)
    assert "4 of 8 GPUs of p4de.24xlarge, us-east-1's list price" in eks[2]


def test_gpus_of_a_cluster_that_labels_do_not_tell_the_cloud_of() -> None:
    unknown = single(cost(planned(), Rates()))
    assert unknown[:2] == (0, 0)
    assert "whose nodes they are, these node labels do not tell; give 'cluster' or 'gpus' in rates.yaml" in unknown[2]
    assert single(cost(planned(), own(cluster={"place": "ec2"})))[0] == pytest.approx(27.44705 / 2 * HOURS)
    mine = single(cost(planned(), own(gpus={"a100-80gb": 1.5})))
    assert (mine[0], mine[2]) == (pytest.approx(6 * HOURS), "1 x (4 x a100-80gb): your own price of a100-80gb")


def test_scaling_to_zero_begins_at_nothing() -> None:
    made = planned(base=QWEN, node_labels="gke", scaling={"min": 0, "max": 5, "prometheus_url": "http://prometheus:9090"})
    told = single(cost(made, own(cluster={"place": "gce", "region": "us-central1"})))
    assert told[0] == 0
    assert told[1] == pytest.approx(5 * 0.706832 * HOURS)


def test_spot_nodes_have_their_own_price() -> None:
    made = planned(base=QWEN, node_labels="gke", replicas=3, spot={"on_demand": 1, "nodes": "gke"})
    told = cost(made, own(cluster={"place": "gce", "region": "us-central1"}))
    assert total(told).least == pytest.approx((0.706832 + 2 * 0.397336) * HOURS)
    made = planned(base=QWEN, node_labels="karpenter", replicas=3, spot={"on_demand": 1, "nodes": "karpenter"})
    told = cost(made, own(cluster={"place": "ec2", "region": "us-west-2"}))
    assert total(told).least == pytest.approx((0.8048 + 2 * 1.3584 / 4) * HOURS)
    assert "1 of 4 GPUs of g6.12xlarge, us-west-2's list price of 2026-08-06" in "".join(words(line) for line in machines(told))
    # No list has Montreal's.
    told = cost(made, own(cluster={"place": "ec2", "region": "ca-central-1"}))
    assert str(total(told)) == "$652 + unknown"
    assert "no spot price of 1 x l4 on ec2 in ca-central-1 is known" in "".join(words(line) for line in machines(told))


def test_a_server_on_several_nodes_is_as_many_machines() -> None:
    made = planned(
        base={**QWEN, "model": "meta-llama/Llama-3.3-70B-Instruct"}, accelerator="a100-80gb:4", nodes=2, node_labels="gke"
    )
    told = single(cost(made, own(cluster={"place": "gce", "region": "us-central1"})))
    assert told[0] == pytest.approx(2 * 20.275192 * HOURS)


def test_a_part_of_a_gpu_has_no_price() -> None:
    made = planned(base=QWEN, accelerator="a100-80gb/3g.40gb")
    assert "what a part of a GPU costs depends on who has the others" in single(cost(made, own(gpus={"a100-80gb": 1})))[2]


def test_pods_without_gpus_cost_what_they_ask_for() -> None:
    container = {"resources": {"requests": {"cpu": "1500m", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}}
    spec = {"replicas": 2, "template": {"spec": {"containers": [container]}}}
    metadata = {"name": "web", "namespace": "ai"}
    web = resource("kubernetes:apps/v1:Deployment", "web", metadata=metadata, spec=spec)
    rates = own(vcpu_usd_per_hour=0.04, memory_gib_usd_per_hour=0.01)
    assert single(cost(plan(web), rates))[0] == pytest.approx(2 * (1.5 * 0.04 + 3 * 0.01) * HOURS)

    def hpa(name: str, namespace: str = "ai") -> Resource:
        target = {"kind": "Deployment", "name": name}
        told = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 7}
        return resource("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "hpa", metadata={"namespace": namespace}, spec=told)

    scaled = single(cost(plan(web, hpa("web")), rates))
    assert (scaled[0], scaled[1]) == (pytest.approx(3 * 0.09 * HOURS), pytest.approx(7 * 0.09 * HOURS))
    # Another's scaler, by its name and by its namespace, is not its own.
    for other in (hpa("db"), hpa("web", "other")):
        assert single(cost(plan(web, other), rates))[1] == pytest.approx(2 * 0.09 * HOURS)


def test_what_is_only_read_is_not_ours() -> None:
    spec: dict[str, Any] = {"template": {"spec": {"containers": [{}]}}}
    read = Resource("urn:x", "kubernetes:apps/v1:Deployment", "theirs", None, {"spec": spec}, {"read": True})
    assert cost(plan(read), Rates()).components == ()


def test_what_changed() -> None:
    old, new = (cost(endpoint(variant(count=n)), Rates()) for n in (2, 3))
    assert changed(old, old) == []
    assert changed(old, new) == [
        "cost a month of chat: $2,056 -> $3,084 (+$1,028)",
        "cost a month: $2,056 -> $3,084 (+$1,028)",
    ]
    assert difference(new, old) == "$3,084 -> $2,056 (-$1,028)"
    assert difference(old, old) == "$2,056"
    gone = cost(plan(), Rates())
    assert changed(old, gone)[0] == "cost a month of chat: $2,056 -> $0 (-$2,056)"
    scaled = cost(endpoint(variant(), chat_target=(1, 4)), Rates())
    assert difference(old, scaled) == "$2,056 -> $1,028 to $4,111 (-$1,028 to +$2,056)"
    # A price that is lost is not told as a saving of everything.
    lost = cost(endpoint(variant("ml.p5.48xlarge")), Rates())
    assert difference(lost, lost) == "unknown"


def test_a_plan_read_from_its_json_costs_the_same(tmp_path: Path) -> None:
    made = planned(node_labels="karpenter")
    assert to_json(cost(Plan.from_json(made.to_json()), Rates())) == to_json(cost(made, Rates()))
