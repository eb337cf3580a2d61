"""The Grafana dashboard: a row for each question that somebody has when they are called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption

from deploy.monitoring.objectives import CALLS, EVENTS, PREFIX

_WIDTH, _HEIGHT = 6, 8
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HERE = 'namespace=~"$namespace"'


@dataclass(frozen=True)
class Curve:
    """One expression, and how its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """Curves that answer one part of a question."""

    title: str
    unit: str
    description: str
    curves: tuple[Curve, ...]


def _sum(counter: str, *by: str, where: str = "") -> str:
    """Return the rate of a counter over all programs."""
    selector = f"{_HERE},{where}" if where else _HERE
    of = f" by ({', '.join(by)})" if by else ""
    return f"sum{of} (rate(pause_notifications_{counter}{{{selector}}}[5m]))"


def _quantile(share: float, histogram: str) -> str:
    buckets = f"sum by (le) (rate(pause_notifications_{histogram}_bucket{{{_HERE}}}[5m]))"
    return f"histogram_quantile({share}, {buckets})"


def _gauge(how: str, gauge: str, *by: str) -> str:
    """Return a gauge over all programs."""
    of = f" by ({', '.join(by)})" if by else ""
    return f"{how}{of} (pause_notifications_{gauge}{{{_HERE}}})"


def _late(objective: str) -> str:
    return f"{PREFIX}{objective}:ratio_1h{{{_HERE}}}"


_LEAVING = (
    Panel(
        "E-mails",
        "reqps",
        "Recipients that became final, by their status.",
        (Curve(_sum("outcomes_total", "status"), "{{status}}"),),
    ),
    Panel(
        "Halted",
        "none",
        "Replicas that send nothing, by reason. No curve: none halts.",
        (Curve(_gauge("sum", "gate_halted", "reason"), "{{reason}}"),),
    ),
    Panel(
        "Objectives missed",
        "percentunit",
        "Share of the last hour. 0.1 % of the events may be late, and 1 % of the calls unanswered.",
        (Curve(_late(EVENTS.name), "events late"), Curve(_late(CALLS.name), "calls unanswered")),
    ),
    Panel(
        "Partitions owned",
        "none",
        "Their sum is the number of partitions.",
        (Curve(_gauge("sum", "partitions_owned"), "owned"), Curve(_gauge("sum", "ready"), "programs ready")),
    ),
)

_WAITING = (
    Panel(
        "Oldest event",
        "s",
        "How long the oldest event of each partition has waited.",
        (Curve(_gauge("max", "lag_seconds", "partition"), "{{partition}}"),),
    ),
    Panel(
        "Time to the last e-mail",
        "s",
        "From an event's append until all its recipients are final.",
        tuple(Curve(_quantile(share, "dispatch_seconds"), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
    ),
    Panel(
        "Events",
        "reqps",
        "Begun by the replicas, or waiting for a minute.",
        (Curve(_sum("events_taken_total", "topic"), "{{topic}}"),),
    ),
    Panel(
        "Callers",
        "reqps",
        "Answers by status, and whether the caller asked for the outcome.",
        (Curve(_sum("answers_total", "status", "asked"), "{{status}} {{asked}}"),),
    ),
)

_LIMITING = (
    Panel(
        "Limit",
        "none",
        "Replicas by what limits them. With ses_rate or halt more replicas do not help.",
        (Curve(f"{_gauge('sum', 'limit', 'by')} > 0", "{{by}}"),),
    ),
    Panel(
        "Replicas",
        "none",
        "How many own partitions, and how many are wanted.",
        (
            Curve(f"count(pause_notifications_partitions_owned{{{_HERE}}} > 0)", "working"),
            Curve(_gauge("max", "replicas_wanted"), "wanted"),
        ),
    ),
    Panel(
        "SES",
        "reqps",
        "The account's rate for all replicas, the calls, and those that SES throttled.",
        (
            Curve(_gauge("sum", "gate_rate"), "allowed"),
            Curve(_sum("ses_seconds_count"), "calls"),
            Curve(_sum("throttles_total"), "throttled"),
        ),
    ),
    Panel(
        "Rebalances",
        "none",
        "In ten minutes, as the busiest replica saw them.",
        (Curve(f"max (increase(pause_notifications_rebalances_total{{{_HERE}}}[10m]))", "rebalances"),),
    ),
)

_BACK = (
    Panel(
        "Feedback",
        "reqps",
        "What SES reported of our recipients.",
        (Curve(_sum("feedback_total", "state"), "{{state}}"),),
    ),
    Panel(
        "Feedback waits",
        "s",
        "How long the last message had waited on its queue.",
        (Curve(_gauge("max", "feedback_lag_seconds"), "waited"),),
    ),
    Panel(
        "For a person",
        "reqps",
        "Dead letters by reason, and lanes that fail by a bug.",
        (
            Curve(f"{_sum('dead_letters_total', 'reason')} > 0", "{{reason}}"),
            Curve(f"{_sum('lanes_failed_total', 'work')} > 0", "lane failed: {{work}}"),
        ),
    ),
    Panel(
        "Suppressions",
        "reqps",
        "Addresses that get no e-mail any more, by reason.",
        (Curve(_sum("suppressions_written_total", "reason"), "{{reason}}"),),
    ),
)

ROWS = {
    "Is mail leaving?": _LEAVING,
    "Who waits?": _WAITING,
    "What limits us?": _LIMITING,
    "What comes back?": _BACK,
}


def curves() -> Iterator[Curve]:
    """Yield every curve."""
    for panels in ROWS.values():
        for panel in panels:
            yield from panel.curves


def dashboard_text() -> str:
    """Return the dashboard as Grafana imports it."""
    built = dashboard.Dashboard("Pause Notifications").uid("pause-notifications").refresh("30s").time("now-3h", "now")
    built.with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    environment = dashboard.QueryVariable("namespace").datasource(_SOURCE).include_all(include_all=True).all_value(".*")
    environment.current(VariableOption(text="All", value="$__all", selected=True))
    built.with_variable(environment.query("label_values(pause_notifications_build_info, namespace)"))
    for title, panels in ROWS.items():
        built.with_row(dashboard.Row(title))
        for panel in panels:
            built.with_panel(_panel(panel))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panel(panel: Panel) -> timeseries.Panel:
    built = timeseries.Panel().title(panel.title).description(panel.description).unit(panel.unit)
    built.datasource(_SOURCE).span(_WIDTH).height(_HEIGHT)
    built.legend(common.VizLegendOptions().show_legend(show_legend=True).placement(LegendPlacement.BOTTOM))
    built.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for name, curve in zip(ascii_uppercase, panel.curves, strict=False):
        built.with_target(prometheus.Dataquery().ref_id(name).expr(curve.expr).legend_format(curve.legend))
    return built
