"""Alerts: do the programs run, own their partitions, and reach Kafka?"""

from __future__ import annotations

from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB, Alert, Group, Severity, Site, growth, worst

_PROGRAM = ("job", "pod", "instance")
_OURS = f'{{job=~"{REPLICA_JOB}|{FACADE_JOB}"}}'
_SHARE_OWNED = 0.85
"""Of the partitions over 15 minutes. A roll-out of three replicas leaves 99 %."""


def groups(site: Site) -> tuple[Group, ...]:
    """Return the groups of these alerts."""
    return (
        Group(
            "pause-notifications.programs",
            (*_absent(), _not_scraped(), *_not_ready(), _restarting(), _kafka_lost(), _missing_rights(), _clock_skew()),
        ),
        Group("pause-notifications.partitions", (_without_owner(site), *_rebalancing(), *_ledgers())),
    )


def _absent() -> tuple[Alert, ...]:
    def absent(program: str, gauge: str) -> Alert:
        seen, now = (f"count by (namespace) (max_over_time({gauge}[{window}]))" for window in ("1d", "5m"))
        return Alert(
            "Absent",
            # What was there within a day keeps its namespace; `absent` is for what never was, or has long been gone.
            f"(0 * {seen} unless {now}) or absent(max_over_time({gauge}[1d]))",
            Severity.CRITICAL,
            f"No {program} reports anything.",
            f"Prometheus has had no metric of a {program} for 5 minutes ({{{{ $value }}}} of them are known). "
            "All other alerts about it are silent.",
            "5m",
            {"program": program},
        )

    return (
        absent("replica", "pause_notifications_partitions_owned"),
        absent("facade", "pause_notifications_following_dispatches"),
    )


def _not_scraped() -> Alert:
    return Alert(
        "NotScraped",
        f"avg by ({', '.join(('namespace', *_PROGRAM))}) (avg_over_time(up{_OURS}[10m])) < 0.5",
        Severity.WARNING,
        "{{ $labels.job }} at {{ $labels.instance }} does not answer Prometheus.",
        "Only {{ $value | humanizePercentage }} of the scrapes in 10 minutes succeeded: "
        "it hangs, or ends before it is scraped.",
        "5m",
    )


def _not_ready() -> tuple[Alert, ...]:
    ready = f"pause_notifications_ready{_OURS}"
    never = f"{worst(ready, '5m', 'job')} == 0"
    # A sample that is missing counts as not ready, if there were any before.
    seldom = f"sum_over_time((max by (namespace, job) ({ready}))[10m:30s]) / 20 < 0.5"
    before = f"max by (namespace, job) (max_over_time({ready}[10m] offset 20m)) == 1"
    return (
        Alert(
            "NotReady",
            f"({never}) or (({seldom}) and ({before}))",
            Severity.CRITICAL,
            "No pod of {{ $labels.job }} is ready.",
            "In the last minutes one was ready for {{ $value | humanizePercentage }} of the time. "
            "`/readyz` says what is missing.",
            "1m",
        ),
        Alert(
            "NotReady",
            f"{worst(ready, '15m', *_PROGRAM)} == 0",
            Severity.WARNING,
            "{{ $labels.job }} at {{ $labels.instance }} is not ready.",
            "It was ready for {{ $value | humanizePercentage }} of the last 15 minutes. "
            "`/readyz` says what is missing.",
            "5m",
        ),
    )


def _restarting() -> Alert:
    return Alert(
        "Restarting",
        f"max by ({', '.join(('namespace', *_PROGRAM))}) (changes(process_start_time_seconds{_OURS}[30m])) >= 3",
        Severity.CRITICAL,
        "{{ $labels.job }} at {{ $labels.instance }} restarts again and again.",
        "It was started {{ $value }} times in 30 minutes. Each restart of a replica moves partitions.",
    )


def _kafka_lost() -> Alert:
    return Alert(
        "KafkaLost",
        f"avg by (namespace) (avg_over_time(pause_notifications_kafka_connected{_OURS}[5m])) < 0.5",
        Severity.CRITICAL,
        "Programs do not reach Kafka.",
        "On average {{ $value | humanizePercentage }} of them were connected in 5 minutes. "
        "Callers get 503, and nothing is sent.",
        "1m",
    )


def _missing_rights() -> Alert:
    return Alert(
        "MissingRights",
        f"{worst('pause_notifications_missing_rights', '2m', 'job')} > 0",
        Severity.CRITICAL,
        "Kafka denies {{ $labels.job }} {{ $value }} rights.",
        "{{ $value }} rights that it needs are not granted. `/readyz` lists them.",
        "2m",
    )


def _clock_skew() -> Alert:
    return Alert(
        "ClockSkew",
        f"{worst('abs(pause_notifications_clock_skew_seconds)', '5m:30s', *_PROGRAM)} > 5",
        Severity.WARNING,
        "The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} off.",
        "It differs by {{ $value | humanizeDuration }} from the brokers'. "
        "AWS refuses every request that is 5 minutes off.",
        "5m",
    )


def _without_owner(site: Site) -> Alert:
    # The sum is empty when all are down; what was known within a day then counts as zero.
    owned = (
        "(sum by (namespace) (pause_notifications_partitions_owned)"
        " or 0 * max by (namespace) (max_over_time(pause_notifications_partitions_owned[1d])))"
    )
    always = f"max_over_time({owned}[5m:30s]) < {site.partitions}"
    often = f"avg_over_time({owned}[15m:30s]) < {_SHARE_OWNED * site.partitions:g}"
    before = worst("pause_notifications_partitions_owned", "5m", ago="15m")
    return Alert(
        "PartitionWithoutOwner",
        f"({always}) or (({often}) and ({before}))",
        Severity.CRITICAL,
        f"Only {{{{ $value | humanize }}}} of {site.partitions} partitions have an owner.",
        f"{{{{ $value | humanize }}}} of {site.partitions} partitions were owned in the last minutes. "
        "Mentors of the others get no e-mail.",
        "1m",
    )


def _rebalancing() -> tuple[Alert, ...]:
    rebalances = f"max by (namespace) ({growth('pause_notifications_rebalances_total', '10m')})"
    paused = f"max by (namespace) ({growth('pause_notifications_paused_by_rebalance_seconds_total', '30m')})"
    return (
        Alert(
            "Rebalancing",
            f"{rebalances} >= 3",
            Severity.WARNING,
            "The group rebalances again and again.",
            "{{ $value | humanize }} rebalances in 10 minutes, for half an hour. Each one pauses all replicas.",
            "30m",
        ),
        Alert(
            "Rebalancing",
            f"{paused} / 1800 > 0.1",
            Severity.CRITICAL,
            "Rebalances pause the replicas.",
            "A replica was paused for {{ $value | humanizePercentage }} of the last 30 minutes.",
        ),
    )


def _ledgers() -> tuple[Alert, ...]:
    return (
        Alert(
            "LedgerLoadSlow",
            f"{worst('pause_notifications_ledger_loaded_seconds', '5m')} > 60",
            Severity.WARNING,
            "A ledger takes {{ $value | humanizeDuration }} to be read.",
            "A partition that changes its owner waits for {{ $value | humanizeDuration }}.",
            "5m",
        ),
        Alert(
            "LedgerFull",
            f"{worst('pause_notifications_ledger_dropped', '5m')} > 0",
            Severity.WARNING,
            "Replicas forget ids before their time.",
            "One forgot {{ $value | humanize }} final ids since it reached its cap. "
            "An event that is repeated after that is sent again.",
            "10m",
        ),
    )
