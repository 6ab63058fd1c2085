"""A container of one's own behind a Vertex AI endpoint, a canary beside it, and a service account that may call them."""

import pulumi
import pulumi_gcp as gcp

from slipway import VertexEndpoint
from slipway.gcp.vertex_endpoint import VertexModelArgs

config = pulumi.Config()
share = config.require_int("canary_percent")


def serving(image: str, traffic: int) -> VertexModelArgs:
    return {
        "image": config.require(image),
        "artifact_uri": config.require("weights"),
        "machine_type": "g2-standard-24",
        "accelerator_type": "NVIDIA_L4",
        "accelerator_count": 2,
        "max_replicas": 2,
        "scaling": {"accelerator": 70},
        "traffic": traffic,
    }


chat = VertexEndpoint(
    "chat",
    {
        "location": config.require("location"),
        "models": {
            "main": serving("image", 100 - share),
            "canary": serving("canary_image", share),
        },
        "alerts": {"notification_channels": [config.require("channel")], "error_ratio": 0.02},
        "labels": {"team": "search"},
    },
)

caller = gcp.serviceaccount.Account("caller", account_id="chat-caller", display_name="Calls the chat model")
chat.grant_invoke(caller.member)

pulumi.export("endpoint", chat.endpoint_name)
pulumi.export("caller", caller.email)
