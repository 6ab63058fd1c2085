"""What watches routers and model servers in a cluster, made from the arguments that they themselves are made of."""

from collections.abc import Sequence
from typing import Any

import pulumi

from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability import alertmanager, collector, grafana
from slipway.kubernetes.observability.dashboards import dashboards
from slipway.kubernetes.observability.data_sources import PROMETHEUS, DataSource, prometheus_source, tempo_source, variable
from slipway.kubernetes.observability.existing import data_source, files, make_files
from slipway.kubernetes.observability.existing_args import ExistingSettings
from slipway.kubernetes.observability.logs import SOURCES, make_logs
from slipway.kubernetes.observability.operator import make_custom_resources
from slipway.kubernetes.observability.operator_args import READER_LABELS, OperatorSettings
from slipway.kubernetes.observability.part import Place, address
from slipway.kubernetes.observability.passwords import PASSWORD_KEY
from slipway.kubernetes.observability.prometheus import PORT, ROLE, configuration, make_prometheus, way_to_prometheus
from slipway.kubernetes.observability.watched import Watched
from slipway.kubernetes.observability.workload import Workload
from slipway.kubernetes.observability_stack_args import ObservabilityStackArgs, StackSettings


class ObservabilityStack(pulumi.ComponentResource):
    """Prometheus with the readings, rules and alerts of the services that it watches, Alertmanager, and Grafana with dashboards;
    or the same as custom resources of the Prometheus Operator, for servers that exist.

    What it asks and aims at comes from the services' own arguments: a service that scales at 4 waiting requests is alerted about
    by the same query and the same 4.
    """

    prometheus_url: pulumi.Output[str]
    """Address of Prometheus inside the cluster. It asks for the user `slipway` and the password. With `prometheus.operator`, the
    address given there, as with `prometheus.existing`."""
    prometheus_secret: pulumi.Output[str]
    """The Secret in the same namespace that has the password under the key `password`: `NAME-prometheus-auth`.
    Empty with `prometheus.operator` and `prometheus.existing`."""

    prometheus_files: pulumi.Output[str]
    """The ConfigMap with what a Prometheus of `prometheus.existing` must be given: `NAME-prometheus-files`. Else empty."""

    grafana_url: pulumi.Output[str]
    """Address of Grafana inside the cluster; empty where only dashboards are made."""
    grafana_secret: pulumi.Output[str]
    """The Secret with the password of the user `admin` under the key `password`: `NAME-grafana-admin`. Empty as `grafana_url`."""

    collector_url: pulumi.Output[str]
    """Where the OpenTelemetry collector takes OTLP over HTTP inside the cluster; empty where there is none."""

    logs_url: pulumi.Output[str]
    """Address of Loki or Elasticsearch inside the cluster; empty where there are no logs."""
    logs_secret: pulumi.Output[str]
    """The Secret with the password of the user `slipway`, who asks, under the key `password`, and that of the user `agent`, who
    sends, under `push-password`: `NAME-loki-auth`, or `NAME-elasticsearch-auth`, with that of `elastic` too, who may do all,
    under `elastic-password`. Empty where none is made."""
    kibana_url: pulumi.Output[str]
    """Address of Kibana inside the cluster; empty where there is none."""

    def __init__(self, name: str, args: ObservabilityStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = StackSettings.of(name, args)
        super().__init__("slipway:index:ObservabilityStack", name, {**args}, opts)
        place = Place(name, settings.namespace, settings.deletion_policy, settings.node_selector, self)
        # Namespaces may come from other resources, and with them whatever names one.
        facts: pulumi.Output[list[Any]] = pulumi.Output.from_input([dict(service) for service in settings.watch])
        watched = facts.apply(lambda services: [Watched.of(service) for service in services])
        objects: pulumi.Output[list[Any]] = pulumi.Output.from_input([dict(workload) for workload in settings.workloads])
        self._workloads = objects.apply(lambda given: [Workload.of(workload) for workload in given])
        lines = None if settings.logs is None else SOURCES[settings.logs.kind]
        shown = watched.apply(lambda services: dashboards(services, settings.promise, lines))
        operator = settings.prometheus.operator
        if settings.collector is not None:
            theirs: Peer = {"pod_labels": restricted.selector(ROLE, name)}
            if settings.prometheus.existing is not None:
                theirs = settings.prometheus.existing.peer
            if operator is not None:
                theirs = {"namespace": operator.namespace, "pod_labels": READER_LABELS}
            collector.make_collector(place, settings.collector, settings.watch, theirs)
            self.collector_url = address(collector.ROLE, place, collector.HTTP_PORT)
        else:
            self.collector_url = pulumi.Output.from_input("")
        sources: list[DataSource] = []
        self.logs_url = self.logs_secret = self.kibana_url = pulumi.Output.from_input("")
        if settings.logs is not None:
            askers = [] if settings.dashboards_only else [grafana.asker(place)]
            traces = settings.grafana.tempo_url is not None
            logs = make_logs(place, settings.logs, watched, askers, traces)
            self.logs_url, self.logs_secret, self.kibana_url = logs.url, logs.secret, logs.kibana_url
            sources.append(logs.source)
        self.prometheus_files = pulumi.Output.from_input("")
        if settings.prometheus.existing is not None:
            sources.insert(0, self._add_to(place, settings, settings.prometheus.existing, watched))
            self._show(place, settings, shown, sources)
        elif operator is None:
            sources.insert(0, self._serve(place, settings, watched))
            self._show(place, settings, shown, sources)
        else:
            self._hand_over(place, settings, operator, watched)
        if settings.dashboards_only:
            grafana.make_dashboards(place, [service["name"] for service in settings.watch], shown)
        self.register_outputs(
            {
                "prometheus_url": self.prometheus_url,
                "prometheus_secret": self.prometheus_secret,
                "prometheus_files": self.prometheus_files,
                "grafana_url": self.grafana_url,
                "grafana_secret": self.grafana_secret,
                "collector_url": self.collector_url,
                "logs_url": self.logs_url,
                "logs_secret": self.logs_secret,
                "kibana_url": self.kibana_url,
            }
        )

    def _hand_over(
        self, place: Place, settings: StackSettings, operator: OperatorSettings, watched: pulumi.Output[list[Watched]]
    ) -> None:
        """Leave reading, judging and telling to servers that exist."""
        names = [service["name"] for service in settings.watch]
        interval = settings.prometheus.interval_seconds
        others = {} if settings.collector is None else {"reads-collector": collector.monitor_spec(place.name, interval)}
        make_custom_resources(
            place, operator, names, watched, settings.promise, interval, settings.runbooks, others, self._workloads
        )
        self.prometheus_url = pulumi.Output.from_input(operator.url)
        self.prometheus_secret = self.grafana_secret = self.grafana_url = pulumi.Output.from_input("")

    def _add_to(
        self, place: Place, settings: StackSettings, existing: ExistingSettings, watched: pulumi.Output[list[Watched]]
    ) -> DataSource:
        """Make what a Prometheus that exists must be given, and tell how it is asked."""
        both: pulumi.Output[list[Any]] = pulumi.Output.all(watched, settings.namespace, self._workloads)
        told = both.apply(
            lambda known: files(
                known[0],
                settings.promise,
                settings.prometheus.interval_seconds,
                settings.runbooks,
                [] if settings.collector is None else [collector.scrape_job(place.name, known[1])],
                known[2],
            )
        )
        self.prometheus_files = make_files(place, existing, settings.watch, told)
        self.prometheus_url = pulumi.Output.from_input(existing.url)
        self.prometheus_secret = pulumi.Output.from_input("")
        return data_source(existing)

    def _serve(self, place: Place, settings: StackSettings, watched: pulumi.Output[list[Watched]]) -> DataSource:
        """Make a Prometheus and what it tells, and tell how it is asked."""
        alerts = settings.alertmanager
        told = pulumi.Output.concat(f"{place.name}-{alertmanager.ROLE}.", settings.namespace, f".svc:{alertmanager.PORT}")
        both: pulumi.Output[list[Any]] = pulumi.Output.all(watched, told, settings.namespace, self._workloads)
        collects = settings.collector is not None
        rendered = both.apply(
            lambda known: configuration(
                known[0],
                settings.promise,
                settings.prometheus.interval_seconds,
                settings.runbooks,
                alertmanager.told_by_prometheus(known[1]) if alerts.url is None else alertmanager.told_at(alerts.url),
                [collector.scrape_job(place.name, known[2])] if collects else [],
                known[3],
            )
        )
        passwords: dict[str, pulumi.Input[str]] = {}
        if alerts.url is None:
            passwords[alertmanager.PROMETHEUS_SIDE] = alertmanager.make_alertmanager(place, alerts)
        ways = [alertmanager.way_to(place)] if alerts.url is None else alerts.egress
        self.prometheus_secret = make_prometheus(
            place,
            settings.prometheus,
            rendered,
            settings.watch,
            ways=[*ways, *(collector.ways_to(place) if collects else [])],
            askers=[] if settings.dashboards_only else [grafana.asker(place)],
            passwords=passwords,
        )
        self.prometheus_url = address(ROLE, place, PORT)
        return DataSource(
            self.prometheus_url.apply(prometheus_source),
            way_to_prometheus(place),
            {variable(PROMETHEUS): (self.prometheus_secret, PASSWORD_KEY)},
        )

    def _show(
        self, place: Place, settings: StackSettings, shown: pulumi.Output[dict[str, str]], sources: Sequence[DataSource]
    ) -> None:
        """Make a Grafana, unless only dashboards are wanted."""
        if settings.dashboards_only:
            self.grafana_secret = self.grafana_url = pulumi.Output.from_input("")
            return
        traces: list[DataSource] = []
        if (tempo := settings.grafana.tempo_url) is not None:
            lines = None if settings.logs is None else SOURCES[settings.logs.kind]
            traces.append(DataSource(tempo_source(tempo, lines), settings.grafana.tempo_egress))
        self.grafana_secret = grafana.make_grafana(place, settings.grafana, shown, [*sources, *traces])
        self.grafana_url = address(grafana.ROLE, place, grafana.PORT)
