"""Machine types of every place, against what the vendors' own SDKs and the other entries of the catalogue know of them."""

import re
from datetime import date
from typing import Any

import botocore.session
import pytest

from slipway.accelerators import GpuNodeLabels, Place, catalogue
from slipway.machines import find, lacking_region, machines, offers

_NAMES = {
    Place.EC2: r"(g|p)[0-9][a-z0-9-]*\.(metal|[0-9]*xlarge)",
    Place.SAGEMAKER: r"ml\.(g|p)[0-9][a-z0-9-]*\.[0-9]*xlarge",
    Place.GCE: r"(n1-standard|g2-standard|g4-standard)-[0-9]+|a[0-9]-[a-z]+gpu-[0-9]+g",
    Place.VERTEX: r"(n1-standard|g2-standard|g4-standard)-[0-9]+|a[0-9]-[a-z]+gpu-[0-9]+g",
    Place.AZURE: r"Standard_N[CDV][0-9]+[a-z]+(_[A-Z0-9]+)?_v[0-9]",
}


def test_every_name_has_its_places_form_and_stands_once() -> None:
    for place, form in _NAMES.items():
        entries = machines(place)
        assert len(entries) > 10
        assert [m.name for m in entries if not re.fullmatch(form, m.name)] == []
        assert len({(m.name, m.accelerator.name, m.accelerator_type) for m in entries}) == len(entries)
        assert all(n >= 1 for m in entries for n in m.gpus)


def test_sagemaker_has_these_types_for_endpoints_and_they_are_ec2s() -> None:
    session: Any = botocore.session.Session()
    model: Any = session.get_service_model("sagemaker")
    known: set[str] = set(model.shape_for("ProductionVariantInstanceType").metadata["enum"])
    for machine in machines(Place.SAGEMAKER):
        assert machine.name in known
        (below,) = find(Place.EC2, machine.name.removeprefix("ml."))
        assert (below.accelerator.name, below.gpus) == (machine.accelerator.name, machine.gpus)
    # Of the families that the catalogue has, none is missing.
    families = {m.name.rsplit(".", 1)[0] for m in machines(Place.SAGEMAKER)}
    assert {k for k in known if k.rsplit(".", 1)[0] in families} == {m.name for m in machines(Place.SAGEMAKER)}


def test_a_name_that_tells_the_number_of_gpus_tells_the_same() -> None:
    for place in (Place.GCE, Place.VERTEX):
        for machine in machines(place):
            if told := re.search(r"gpu-([0-9]+)g$", machine.name):
                assert machine.gpus == (int(told[1]),)


def test_vertex_and_compute_engine_agree() -> None:
    for machine in machines(Place.VERTEX):
        assert machine.accelerator_type is not None
        if machine.accelerator_type != "NVIDIA_H100_MEGA_80GB":
            (below,) = [m for m in find(Place.GCE, machine.name) if m.accelerator.name == machine.accelerator.name]
            assert below.gpus == machine.gpus


@pytest.mark.parametrize(
    ("place", "name", "accelerator", "gpus"),
    [
        # The four rows of the comparison that a course on deployment makes; its A100 goes on a2, since N1 machines take none.
        (Place.SAGEMAKER, "ml.g5.xlarge", "a10g", (1,)),
        (Place.SAGEMAKER, "ml.g5.2xlarge", "a10g", (1,)),
        (Place.VERTEX, "n1-standard-4", "t4", (1, 2, 4)),
        (Place.VERTEX, "a2-highgpu-1g", "a100-40gb", (1,)),
        (Place.SAGEMAKER, "ml.p5.48xlarge", "h100-80gb", (8,)),
        (Place.AZURE, "Standard_NC24ads_A100_v4", "a100-80gb-pcie", (1,)),
        (Place.EC2, "g7e.48xlarge", "rtx-pro-6000", (8,)),
    ],
)
def test_what_a_machine_carries(place: Place, name: str, accelerator: str, gpus: tuple[int, ...]) -> None:
    assert (accelerator, gpus) in [(m.accelerator.name, m.gpus) for m in find(place, name)]


@pytest.mark.parametrize("name", ["ml.m5.xlarge", "m5.xlarge", "g5.xlarge", ""])
def test_a_machine_without_gpus_is_none_of_them(name: str) -> None:
    assert find(Place.SAGEMAKER, name) == ()


def test_karpenter_and_eks_auto_mode_tell_the_same_and_are_there_where_ec2_is() -> None:
    for accelerator in catalogue().values():
        values = [list(accelerator.labels.get(k, {}).values()) for k in (GpuNodeLabels.KARPENTER, GpuNodeLabels.EKS_AUTO)]
        assert values[0] == values[1]
        assert bool(values[0]) == (Place.EC2 in accelerator.instances and accelerator.name != "v100-16gb")


def test_regions_have_a_source_and_a_day_and_are_of_machines_that_there_are() -> None:
    for offer in offers():
        assert offer.source
        assert date(2020, 1, 1) < offer.date < date(2100, 1, 1)
        told = [m for g in offer.groups for m in g.machines]
        assert len(set(told)) == len(told)
        assert set(told) <= {m.name for m in machines(offer.place)}
        form = r"[a-z]{2}(-[a-z]+)+-[0-9]" if offer.place is Place.EC2 else r"[a-z]+-[a-z]+[0-9]+"
        assert [r for g in offer.groups for r in g.regions if not re.fullmatch(form, r)] == []


def test_a_managed_service_has_no_machine_where_the_cloud_has_none() -> None:
    (p5,) = find(Place.SAGEMAKER, "ml.p5.48xlarge")
    assert p5.regions == find(Place.EC2, "p5.48xlarge")[0].regions
    assert lacking_region(p5, "us-east-1") is None
    said = lacking_region(p5, "af-south-1")
    assert said is not None
    assert said.startswith("is 'ml.p5.48xlarge', which af-south-1 does not have (DescribeInstanceTypeOfferings")
    assert "; it has t4" in said
    assert said.endswith("us-east-1, us-east-2, us-west-1, us-west-2")


def test_another_size_is_offered_first_and_what_is_not_known_is_not_refused() -> None:
    (mega,) = find(Place.GCE, "a2-megagpu-16g")
    (region,) = sorted((find(Place.GCE, "a2-highgpu-1g")[0].regions or frozenset()) - (mega.regions or frozenset()))[:1]
    assert "; give a2-highgpu-1g or a2-highgpu-2g" in (lacking_region(mega, region) or "")
    assert "; give a region that has it: " in (lacking_region(mega, "moon-west1") or "")
    (azure,) = find(Place.AZURE, "Standard_NC4as_T4_v3")
    assert azure.regions is None
    assert lacking_region(azure, "anywhere") is None
