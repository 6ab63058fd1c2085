"""An image reference in Amazon ECR: whose it is, where it is, and what hardware its engine runs on."""

import re
from dataclasses import dataclass

_REFERENCE = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>amazonaws\.com(?:\.cn)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-][a-z0-9]+)*)(?P<pin>:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})"
)
_NEURON = re.compile(r"neuronx?")
_CPU = re.compile(r"(^|[-_./:])cpu([-_./:]|$)")
_GPU = re.compile(r"(^|[-_./:])(gpu|cuda|cu[0-9]{2,3}|vllm|sglang|tgi|trt-?llm|lmi[0-9.]*)([-_./:]|$)")


@dataclass(frozen=True)
class EcrImage:
    """What an ECR reference tells."""

    account: str
    """Account whose registry holds it: one's own, or one in which AWS publishes its containers."""
    region: str
    """Region of the registry. SageMaker pulls only from its own region."""
    repository: str
    """Repository, without the registry and the tag."""
    pin: str
    """`:tag` or `@sha256:...`."""
    partition: str
    """Partition of its ARNs: 'aws', 'aws-cn' or 'aws-us-gov'."""

    @classmethod
    def parse(cls, reference: str) -> "EcrImage | None":
        """Read `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY` with `:TAG` or `@sha256:DIGEST`; None for anything else."""
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return None
        partition = "aws"
        if found["suffix"].endswith(".cn"):
            partition = "aws-cn"
        elif found["region"].startswith("us-gov-"):
            partition = "aws-us-gov"
        return cls(found["account"], found["region"], found["repository"], found["pin"], partition)

    @property
    def repository_arn(self) -> str:
        """ARN of its repository, for a policy that lets it be pulled."""
        return f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{self.repository}"

    @property
    def accelerator(self) -> str | None:
        """'gpu' or 'neuron' where repository or tag say that the engine needs one, as those of AWS's LLM containers do.

        None when they say that it runs on CPUs, or say nothing.
        """
        said = f"{self.repository}{self.pin if self.pin.startswith(':') else ''}"
        if _NEURON.search(said):
            return "neuron"
        return "gpu" if _GPU.search(said) and not _CPU.search(said) else None
