"""A training run on four GPUs, with a volume for its checkpoints."""

import pulumi

from slipway import TrainingJob

config = pulumi.Config()
epochs = config.get_int("epochs")

training = TrainingJob(
    "ml-training",
    {
        "namespace": config.get("namespace") or "ai",
        "image": config.get("image") or "registry.example.com/my-training-image:1.0.0",
        "command": ["python", "train.py", "--epochs", str(100 if epochs is None else epochs)],
        "accelerator": config.get("accelerator") or "a100-80gb:4",
        "resources": {"limits": {"cpu": "16", "memory": "64Gi"}},
        "checkpoints": {"gib": 200},
        "deadline_seconds": 7 * 24 * 3600,
        # The base model is behind a licence: a Secret made beforehand has the hub's token.
        "env_from_secrets": {"HF_TOKEN": {"name": "model-hub", "key": "token"}},
        "egress": [{"port": 443, "cidr": "0.0.0.0/0"}],
    },
)
pulumi.export("job", training.job_name)
