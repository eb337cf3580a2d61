"""
Write what Prometheus reads, from the rules in this package: `python -m deploy.monitoring.export [--check]`.

rules.yaml                 the rules, for `rule_files` of a Prometheus
prometheus-rule.yaml       the same rules, for the Prometheus Operator
pod-monitor.yaml           what the operator scrapes
prometheus.yaml            a whole configuration, for a Prometheus beside compose.yaml
dashboard.json             the dashboard, for Grafana
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from deploy.monitoring import (
    feedback_alerts,
    objectives,
    program_alerts,
    record_alerts,
    sending_alerts,
)
from deploy.monitoring.dashboard import dashboard_text
from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB, Alert, Group, Record, Site
from deploy.support.output import print_text
from deploy.support.running import exit_with_error
from runtime.settings import ReplicaSettings, ServiceSettings

FOLDER = Path(__file__).parent
PREFIX = "PauseNotifications"
COMMAND = "python -m deploy.monitoring.export"
_HEAD = f"# Written by `{COMMAND}`; change the rules there.\n"
_LABELS = {"app.kubernetes.io/name": "pause-notifications"}
_COMPONENT = "__meta_kubernetes_pod_label_app_kubernetes_io_component"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Object = dict[str, Any]


def all_groups(site: Site) -> tuple[Group, ...]:
    """Return every group of rules."""
    rooms = (objectives, sending_alerts, record_alerts, feedback_alerts, program_alerts)
    return tuple(group for room in rooms for group in room.groups(site))


def all_alerts(site: Site | None = None) -> tuple[Alert, ...]:
    """Return every alert."""
    found = (rule for group in all_groups(site or Site()) for rule in group.rules)
    return tuple(rule for rule in found if isinstance(rule, Alert))


def runbook(alert: str) -> str:
    """Return the name of an alert's page."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in alert)
    return f"{words.strip('-')}.md"


def rules(site: Site) -> Object:
    """Return the rules as Prometheus reads them."""
    return {
        "groups": [
            {"name": group.name, "rules": [_rule(rule, site) for rule in group.rules]} for group in all_groups(site)
        ]
    }


def prometheus_rule(site: Site) -> Object:
    """Return the rules as the operator reads them."""
    return _resource("PrometheusRule", rules(site))


def pod_monitor() -> Object:
    """Return what the operator scrapes: the management port of every pod of both programs."""
    endpoint = {
        "port": "management",
        "path": "/metrics",
        "interval": "30s",
        "relabelings": [{"sourceLabels": [_COMPONENT], "targetLabel": "job", "replacement": "pause-notifications-$1"}],
    }
    expression = {"key": "app.kubernetes.io/component", "operator": "In", "values": ["facade", "replica"]}
    selector = {"matchLabels": _LABELS, "matchExpressions": [expression]}
    return _resource("PodMonitor", {"selector": selector, "podMetricsEndpoints": [endpoint]})


def prometheus() -> Object:
    """Return the configuration of a Prometheus that finds the containers of compose by the names of their services."""
    ports = {FACADE_JOB: ServiceSettings().management_port, REPLICA_JOB: ReplicaSettings().management_port}
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": job,
                "dns_sd_configs": [{"names": [job.rpartition("-")[2]], "type": "A", "port": port}],
            }
            for job, port in ports.items()
        ],
    }


def exports(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    yield "rules.yaml", _yaml(rules(site))
    yield "prometheus-rule.yaml", _yaml(prometheus_rule(site))
    yield "pod-monitor.yaml", _yaml(pod_monitor())
    yield "prometheus.yaml", _yaml(prometheus())
    yield "dashboard.json", dashboard_text()


def _resource(kind: str, spec: Object) -> Object:
    metadata = {"name": "pause-notifications", "labels": dict(_LABELS)}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _rule(rule: Alert | Record, site: Site) -> Object:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expr}
    return {
        "alert": f"{PREFIX}{rule.name}",
        "expr": rule.expr,
        "for": rule.lasts,
        "labels": {"severity": str(rule.severity), **rule.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{site.runbooks}{runbook(rule.name)}",
        },
    }


def _yaml(document: Object) -> str:
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - pyyaml's signature
        return True


@app.command()
def write(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file differs.")] = False,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write.")] = FOLDER,
    runbooks: Annotated[str, typer.Option(metavar="URL", help="What precedes a runbook's name.")] = Site.runbooks,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each event topic.")] = Site.partitions,
    retention_days: Annotated[int, typer.Option(min=3, help="How long events are kept.")] = Site.retention_days,
) -> None:
    """Write the rules, for Prometheus and for its operator, and the dashboard, with the values of your installation."""
    site = Site(runbooks, partitions, retention_days)
    changed = [(to / name, text) for name, text in exports(site) if _written(to / name) != text]
    if check and changed:
        exit_with_error(f"these differ from the rules: {', '.join(p.name for p, _ in changed)}; run: make contracts")
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
        print_text(f"{path.name} written")
    if not changed:
        print_text("the files agree with the rules")


def _written(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    app()
