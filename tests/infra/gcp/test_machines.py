"""Which accelerators go on which Vertex AI machines. Whether a region has them, only Vertex AI can tell."""

import pytest

from slipway.gcp.machines import accelerator_fault


@pytest.mark.parametrize(
    ("machine", "accelerator", "count"),
    [
        ("g2-standard-12", "NVIDIA_L4", 1),
        ("g2-standard-48", "NVIDIA_L4", 4),
        ("a3-highgpu-8g", "NVIDIA_H100_80GB", 8),
        ("a3-ultragpu-8g", "NVIDIA_H200_141GB", 8),
        ("n1-standard-8", "NVIDIA_TESLA_T4", 2),
        ("n1-standard-8", None, 1),
        ("e2-standard-4", None, 1),
        ("ct5lp-hightpu-4t", "TPU_V5_LITEPOD", 4),
    ],
)
def test_what_fits(machine: str, accelerator: str | None, count: int) -> None:
    assert accelerator_fault(machine, accelerator, count) is None


@pytest.mark.parametrize(
    ("machine", "accelerator", "count", "field", "words"),
    [
        ("g2-standard-12", None, 1, "accelerator_type", "carries NVIDIA_L4"),
        ("g2-standard-12", "NVIDIA_TESLA_T4", 1, "accelerator_type", "carries NVIDIA_L4"),
        ("g2-standard-12", "NVIDIA_L4", 2, "accelerator_count", "carries 1 of NVIDIA_L4"),
        ("a2-ultragpu-3g", "NVIDIA_A100_80GB", 3, "machine_type", "a2-ultragpu-4g"),
        ("e2-standard-4", "NVIDIA_L4", 1, "machine_type", "g2-standard-12"),
        ("e2-standard-4", "NVIDIA_TESLA_T4", 1, "machine_type", "n1-standard-8"),
        ("e2-standard-4", "TPU_V5_LITEPOD", 1, "machine_type", "ct5lp"),
        ("n1-standard-8", "NVIDIA_L4", 1, "accelerator_type", "N1 machines take NVIDIA_TESLA_T4"),
        ("n1-standard-8", "NVIDIA_TESLA_T4", 3, "accelerator_count", "1, 2, 4"),
    ],
)
def test_what_does_not_fit_is_told_with_the_choice(
    machine: str, accelerator: str | None, count: int, field: str, words: str
) -> None:
    fault = accelerator_fault(machine, accelerator, count)
    assert fault is not None
    assert fault[0] == field
    assert words in fault[1]
