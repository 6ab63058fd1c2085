"""What a Prometheus that exists must be given to read, judge and tell what a stack watches."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.kubernetes import restricted
from slipway.kubernetes.observability.data_sources import PROMETHEUS, DataSource, prometheus_source, variable
from slipway.kubernetes.observability.existing_args import ExistingSettings
from slipway.kubernetes.observability.objectives import Promise, duration
from slipway.kubernetes.observability.operator import prometheus_rule_spec
from slipway.kubernetes.observability.part import Place
from slipway.kubernetes.observability.prometheus import reader
from slipway.kubernetes.observability.rules import RULES_FILE
from slipway.kubernetes.observability.scrape import scrape_configs, timeout
from slipway.kubernetes.observability.watched import Watched, WatchedService
from slipway.kubernetes.observability.workload import Workload

APP = "prometheus-files"
SCRAPE_FILE = "scrape.yml"


def files(
    services: Sequence[Watched],
    promise: Promise,
    interval: float,
    runbooks: str,
    jobs: Sequence[Mapping[str, Any]] = (),
    workloads: Sequence[Workload] = (),
) -> dict[str, str]:
    """A file for `scrape_config_files` and one for `rule_files`. Each job and group says how often, since what holds elsewhere in
    that Prometheus is not known.

    Args:
        services: What it reads.
        promise: What it judges that by.
        interval: Seconds between two readings.
        runbooks: Where the alerts' pages are.
        jobs: What it reads beside the services.
        workloads: What is watched by its objects alone.
    """
    pace = {"scrape_interval": duration(interval), "scrape_timeout": timeout(interval)}
    told: dict[str, object] = {
        SCRAPE_FILE: {"scrape_configs": [{**job, **pace} for job in (*scrape_configs(services), *jobs)]},
        RULES_FILE: prometheus_rule_spec(services, promise, interval, runbooks, workloads),
    }
    return {name: yaml.safe_dump(content, sort_keys=False, width=1000) for name, content in told.items()}


def make_files(
    place: Place, settings: ExistingSettings, watch: Sequence[WatchedService], told: pulumi.Input[Mapping[str, str]]
) -> pulumi.Output[str]:
    """Make a ConfigMap of the files, which keeps its name, and where an account is named, the permission to find the pods.

    Args:
        place: Where.
        settings: The Prometheus.
        watch: What it reads.
        told: The files.

    Returns:
        Name of the ConfigMap.
    """
    labels = restricted.labels(APP, place.name)
    k8s.core.v1.ConfigMap(
        f"{place.name}-{APP}",
        metadata=place.meta(APP, labels),
        data=told,
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    if settings.service_account is not None:
        for service in watch:
            reader(place, service, labels, settings.service_account, settings.namespace)
    return pulumi.Output.from_input(f"{place.name}-{APP}")


def data_source(settings: ExistingSettings) -> DataSource:
    """As Grafana needs to know it."""
    url = pulumi.Output.from_input(settings.url)
    told = url.apply(lambda known: prometheus_source(known, settings.username))
    held = settings.password
    password = {} if held is None else {variable(PROMETHEUS): (held["name"], held["key"])}
    return DataSource(told, [{**settings.peer, "port": settings.port}], password)
