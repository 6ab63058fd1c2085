"""What `pulumi up -s STACK` brings up: the models of Pulumi.STACK.yaml, each where it says, and the router in front."""

import pulumi

from checks import check
from cluster import gpus, namespace
from models import serve
from routing import route, vendors
from settings import Settings

settings = Settings.of(pulumi.Config())
check(settings)

home = namespace(settings)
gpus(settings)

served = [serve(model, home, routed=settings.router is not None) for model in settings.models]

backends = [model.backend for model in served if model.backend] + vendors(settings)

route(settings, home, backends, served)
