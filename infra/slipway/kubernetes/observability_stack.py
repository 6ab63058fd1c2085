"""What watches routers and model servers in a cluster, made from the arguments that they themselves are made of."""

import pulumi

from slipway.kubernetes.observability.part import Place, address
from slipway.kubernetes.observability.prometheus import PORT, ROLE, configuration, make_prometheus
from slipway.kubernetes.observability.watched import Watched
from slipway.kubernetes.observability_stack_args import ObservabilityStackArgs, StackSettings


class ObservabilityStack(pulumi.ComponentResource):
    """Prometheus with the readings, rules and alerts of the services that it watches.

    What it asks and aims at comes from the services' own arguments: a service that scales at 4 waiting requests is alerted about
    by the same query and the same 4.
    """

    prometheus_url: pulumi.Output[str]
    """Address of Prometheus inside the cluster. It asks for the user `slipway` and the password."""
    prometheus_secret: pulumi.Output[str]
    """The Secret in the same namespace that has the password under the key `password`: `NAME-prometheus-auth`."""

    def __init__(self, name: str, args: ObservabilityStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = StackSettings.of(name, args)
        super().__init__("slipway:index:ObservabilityStack", name, {**args}, opts)
        place = Place(name, settings.namespace, settings.deletion_policy, settings.node_selector, self)
        # Namespaces may come from other resources, and with them whatever names one.
        known = pulumi.Output.from_input([dict(service) for service in settings.watch])
        files = known.apply(
            lambda services: configuration(
                [Watched.of(service) for service in services],  # pyright: ignore[reportArgumentType] -- checked above
                settings.promise,
                settings.prometheus.interval_seconds,
                settings.runbooks,
            )
        )
        texts = {file: files[file] for file in ("prometheus.yml", "rules.yml", "client.yml")}
        self.prometheus_secret = make_prometheus(place, settings.prometheus, texts, settings.watch, [], [])
        self.prometheus_url = address(ROLE, place, PORT)
        self.register_outputs({"prometheus_url": self.prometheus_url, "prometheus_secret": self.prometheus_secret})
