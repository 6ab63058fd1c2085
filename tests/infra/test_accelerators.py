"""The accelerator catalogue: its figures against the data sheets, and how it is asked."""

import pytest

from slipway.accelerators import AcceleratorError, GpuNodeLabels, catalogue, parse


def test_a_name_with_a_count_gives_the_product_and_the_number() -> None:
    accelerator, count = parse("a100-80gb:4")
    assert (accelerator.title, count) == ("NVIDIA A100 80GB SXM4", 4)
    assert accelerator.memory_gib == 80
    assert accelerator.memory_bandwidth_gbs == 2039
    assert accelerator.labels[GpuNodeLabels.GPU_FEATURE_DISCOVERY] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}


@pytest.mark.parametrize(("text", "name", "count"), [("l4", "l4", 1), (" H200-141GB:8 ", "h200-141gb", 8), ("t4:16", "t4", 16)])
def test_the_count_is_one_where_none_is_given_and_case_does_not_matter(text: str, name: str, count: int) -> None:
    accelerator, found = parse(text)
    assert (accelerator.name, found) == (name, count)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a100-80gb:0", "'0' for the number of GPUs; give 1 or more, such as 'a100-80gb:4'"),
        ("a100-80gb:x", "'x' for the number of GPUs"),
        ("a100-80gb:-1", "'-1' for the number of GPUs"),
        ("a100-80gb:", "'' for the number of GPUs"),
        ("a100-80gb:1.5", "'1.5' for the number of GPUs"),
        ("a100:4", "did you mean 'a100-40gb' or 'a100-40gb-pcie' or 'a100-80gb' or 'a100-80gb-pcie'?"),
        ("h100-80", "did you mean 'h100-80gb' or 'h100-80gb-pcie'?"),
        ("l4s", "did you mean 'l40s'?"),
        ("tpu-v5", "There are t4, v100-16gb, l4, a10g, a10, l40s, a100-40gb,"),
        ("", "There are t4,"),
        ("a100-80gb/3g.20gb", "its slices are 1g.10gb, 1g.20gb, 2g.20gb, 3g.40gb, 4g.40gb, 7g.80gb, and 'a100-80gb/shared'"),
        ("l4/1g.5gb", "no slices of it are known; 'l4/shared' is a turn on one"),
        ("l4/", "is 'l4/'; no slices"),
        ("a100-80gb/3g.40gb:2", "NCCL does not connect them; give 'a100-80gb/3g.40gb', a larger part, or whole GPUs"),
        ("a100/3g.40gb", "did you mean 'a100-40gb'"),
    ],
)
def test_what_is_not_in_it_is_told_with_the_nearest_and_all_there_are(text: str, says: str) -> None:
    with pytest.raises(AcceleratorError) as refused:
        parse(text)
    assert says in str(refused.value)


def test_every_entry_can_be_asked_for_and_selected_on_any_cluster() -> None:
    products = [a.labels[GpuNodeLabels.GPU_FEATURE_DISCOVERY]["nvidia.com/gpu.product"] for a in catalogue().values()]
    assert len(set(products)) == len(products) == len(catalogue()) >= 13
    for name, accelerator in catalogue().items():
        assert parse(f"{name}:2") == (accelerator, 2)
        # A label's value as Kubernetes takes it.
        for labels in accelerator.labels.values():
            assert all(len(v) <= 63 and " " not in v for v in labels.values())


def test_bfloat16_begins_with_compute_capability_8() -> None:
    assert [name for name, a in catalogue().items() if not a.supports_bfloat16] == ["t4", "v100-16gb"]
    assert catalogue()["b200"].compute_capability == "10.0"
    assert catalogue()["b200"].supports_bfloat16


def test_memory_as_the_driver_reports_it_is_at_most_the_data_sheets() -> None:
    for accelerator in catalogue().values():
        assert 0.93 * accelerator.memory_gib <= accelerator.driver_memory_gib <= accelerator.memory_gib
    assert catalogue()["l4"].driver_memory_gib == pytest.approx(22.49, abs=0.01)
    unknown = catalogue()["l4"].model_copy(update={"driver_memory_mib": None})
    assert unknown.driver_memory_gib == pytest.approx(22.32)


def test_a_slice_has_memory_and_a_resource_of_its_own() -> None:
    slice_, count = parse("A100-80GB/3g.40gb:1")
    assert (slice_.part, count, slice_.driver_memory_gib) == ("3g.40gb", 1, 39.25)
    assert slice_.resource(GpuNodeLabels.GPU_FEATURE_DISCOVERY) == "nvidia.com/mig-3g.40gb"
    assert slice_.labels[GpuNodeLabels.GPU_FEATURE_DISCOVERY] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    # GKE tells slices by a label.
    assert slice_.resource(GpuNodeLabels.GKE) == "nvidia.com/gpu"
    assert slice_.labels[GpuNodeLabels.GKE]["cloud.google.com/gke-gpu-partition-size"] == "3g.40gb"
    # The catalogue's own entry is as it was.
    assert "cloud.google.com/gke-gpu-partition-size" not in catalogue()["a100-80gb"].labels[GpuNodeLabels.GKE]
    assert parse("a100-80gb")[0].resource(GpuNodeLabels.GPU_FEATURE_DISCOVERY) == "nvidia.com/gpu"


def test_a_turn_on_a_gpu_is_never_mistaken_for_a_gpu() -> None:
    shared, _ = parse("l4/shared")
    assert shared.resource(GpuNodeLabels.GPU_FEATURE_DISCOVERY) == "nvidia.com/gpu.shared"
    assert shared.labels[GpuNodeLabels.GKE]["cloud.google.com/gke-gpu-sharing-strategy"] == "time-sharing"
    assert shared.driver_memory_gib == catalogue()["l4"].driver_memory_gib


def test_slices_are_smaller_than_their_name_says_and_than_the_gpu() -> None:
    for accelerator in catalogue().values():
        for profile, memory in accelerator.mig.items():
            assert 0.94 * float(profile.partition(".")[2].removesuffix("gb")) <= memory < accelerator.memory_gib
