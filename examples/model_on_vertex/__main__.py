"""A Hugging Face model behind a Vertex AI endpoint, and a service account that may call it."""

import pulumi
import pulumi_gcp as gcp

from slipway import VertexEndpoint

config = pulumi.Config()

chat = VertexEndpoint(
    "chat",
    {
        "location": config.require("location"),
        "hugging_face_model_id": config.require("model"),
        "machine_type": "g2-standard-24",
        "accelerator_type": "NVIDIA_L4",
        "accelerator_count": 2,
        "min_replicas": 1,
        "max_replicas": 2,
    },
)

caller = gcp.serviceaccount.Account("caller", account_id="chat-caller", display_name="Calls the chat model")
chat.grant_invoke(caller.member)

pulumi.export("endpoint", chat.endpoint_name)
pulumi.export("caller", caller.email)
