"""What happens to series, and whether somebody is told: programs, partitions, records and feedback."""

from __future__ import annotations

from tests.monitoring.promtool import Story
from tests.monitoring.sending_stories import FACADE, OTHER_REPLICA, REPLICA, N

_OWNED, _OWNED_BY_OTHER = f"{N}partitions_owned{{{REPLICA}}}", f"{N}partitions_owned{{{OTHER_REPLICA}}}"
_FOLLOWING = f"{N}following_dispatches{{{FACADE}}}"
_READY, _OTHER_READY = f"{N}ready{{{REPLICA}}}", f"{N}ready{{{OTHER_REPLICA}}}"
_BOUNCED = f'{N}feedback_total{{state="bounced",type="Permanent",{REPLICA}}}'
_ACCEPTED = f'{N}feedback_total{{state="accepted",type="",{REPLICA}}}'
_DELIVERED = f'{N}feedback_total{{state="delivered",type="",{REPLICA}}}'
_COMPLAINED = f'{N}feedback_total{{state="complained",type="",{REPLICA}}}'
_UNCONFIRMED = f"{N}recipients_unconfirmed_total{{{REPLICA}}}"
_SENT = f'{N}outcomes_total{{status="sent",reason="",{REPLICA}}}'
_MESSAGES = f'{N}feedback_messages_total{{kind="delivery",{REPLICA}}}'


def _counted(alert: str, severity: str, name: str, labels: str, **alert_labels: str) -> tuple[Story, ...]:
    """Return the stories of a counter whose every growth counts for an hour."""
    series = f"{N}{name}{{{labels},{REPLICA}}}"
    other = f"{N}{name}{{{labels},{OTHER_REPLICA}}}"
    return (
        Story(
            f"{name} grows once",
            alert,
            severity,
            {series: "0x70 1x80"},
            firing=("72m", "125m"),
            quiet=("69m", "140m"),
            labels=alert_labels,
        ),
        Story(
            f"{name} stands where it stood",
            alert,
            severity,
            {series: "7x150"},
            quiet=("70m", "140m"),
            labels=alert_labels,
        ),
        Story(
            f"{name} grew before the first scrape of a process that was killed at once",
            alert,
            severity,
            {series: "0x150", other: "_x70 1 stale _x80"},
            firing=("72m", "125m"),
            quiet=("69m", "140m"),
            labels=alert_labels,
        ),
    )


PROGRAMS = (
    Story(
        "all replicas are down, then start",
        "Absent",
        "critical",
        {_OWNED: "12x10 stale _x40 12x20", _FOLLOWING: "1x70"},
        firing=("25m", "48m"),
        quiet=("10m", "16m", "55m"),
        labels={"program": "replica"},
    ),
    Story(
        "replicas have been down for days",
        "Absent",
        "critical",
        {_OWNED: "12x2 stale _x100", _FOLLOWING: "1x100"},
        firing=("20h", "40h", "90h"),
        labels={"program": "replica"},
        step="1h",
    ),
    Story(
        "only the facade is gone",
        "Absent",
        "critical",
        {_OWNED: "12x60", _FOLLOWING: "1x10 stale _x50"},
        quiet=("30m", "55m"),
        labels={"program": "replica"},
    ),
    Story(
        "the facades are gone for a while",
        "Absent",
        "critical",
        {_OWNED: "12x70", _FOLLOWING: "1x10 stale _x40 1x20"},
        firing=("25m", "48m"),
        quiet=("10m", "16m", "55m"),
        labels={"program": "facade"},
    ),
    Story(
        "only the replicas are gone",
        "Absent",
        "critical",
        {_OWNED: "12x10 stale _x50", _FOLLOWING: "1x60"},
        quiet=("30m", "55m"),
        labels={"program": "facade"},
    ),
    Story(
        "one hangs, and is started again",
        "NotScraped",
        "warning",
        {f"up{{{REPLICA}}}": "1x10 0x30 1x20"},
        firing=("25m", "40m"),
        quiet=("10m", "55m"),
    ),
    Story(
        "a kill loop leaves a scrape now and then",
        "NotScraped",
        "warning",
        {f"up{{{REPLICA}}}": "0 0 1 " * 15},
        firing=("20m", "40m"),
    ),
    Story(
        "a rolling update takes a pod away",
        "NotScraped",
        "warning",
        {f"up{{{REPLICA}}}": "1x10 0 stale _x30"},
        quiet=("12m", "25m"),
    ),
    Story(
        "no replica is ready",
        "NotReady",
        "critical",
        {_READY: "1x10 0x20 1x20", _OTHER_READY: "1x10 0x20 1x20"},
        firing=("20m", "30m"),
        quiet=("10m", "45m"),
    ),
    Story(
        "the only replica is killed before it is ready long",
        "NotReady",
        "critical",
        {_READY: "1x20 " + "0 stale _ 1 stale _ _ " * 8},
        firing=("45m", "60m"),
    ),
    Story(
        "one of two is not ready",
        "NotReady",
        "critical",
        {_READY: "1x60", _OTHER_READY: "0x60"},
        quiet=("30m", "60m"),
    ),
    Story(
        "one replica does not get ready for a long time",
        "NotReady",
        "warning",
        {_READY: "1x60", _OTHER_READY: "1x10 0x30 1x30"},
        firing=("35m", "40m"),
        quiet=("20m", "55m"),
    ),
    Story("it reads its ledger", "NotReady", "warning", {_READY: "0x9 1x30"}, quiet=("15m", "30m")),
    Story(
        "it is killed for its memory again and again",
        "Restarting",
        "critical",
        {f"process_start_time_seconds{{{REPLICA}}}": "10x10 700 700 stale 900 900 stale 1100 1100 stale 1300x60"},
        firing=("20m", "35m"),
        quiet=("10m", "55m"),
    ),
    Story(
        "it was started again once",
        "Restarting",
        "critical",
        {f"process_start_time_seconds{{{REPLICA}}}": "10x10 700x60"},
        quiet=("20m", "60m"),
    ),
    Story(
        "Kafka is gone for minutes",
        "KafkaLost",
        "critical",
        {
            f"{N}kafka_connected{{{REPLICA}}}": "1x10 0x15 1x20",
            f"{N}kafka_connected{{{FACADE}}}": "1x10 0x15 1x20",
        },
        firing=("18m", "25m"),
        quiet=("10m", "35m"),
    ),
    Story(
        "one of three loses its connection",
        "KafkaLost",
        "critical",
        {
            f"{N}kafka_connected{{{REPLICA}}}": "1x60",
            f"{N}kafka_connected{{{OTHER_REPLICA}}}": "0x60",
            f"{N}kafka_connected{{{FACADE}}}": "1x60",
        },
        quiet=("20m", "60m"),
    ),
    Story(
        "an access rule is removed",
        "MissingRights",
        "critical",
        {f"{N}missing_rights{{{REPLICA}}}": "0x10 2x20 0x20"},
        firing=("15m", "30m"),
        quiet=("10m", "40m"),
    ),
    Story(
        "no right is missing", "MissingRights", "critical", {f"{N}missing_rights{{{REPLICA}}}": "0x30"}, quiet=("20m",)
    ),
    Story(
        "a node's clock is twenty minutes slow",
        "ClockSkew",
        "warning",
        {f"{N}clock_skew_seconds{{{REPLICA}}}": "0x10 -1200x30 0x20"},
        firing=("20m", "40m"),
        quiet=("10m", "55m"),
    ),
    Story(
        "clocks differ by a second",
        "ClockSkew",
        "warning",
        {f"{N}clock_skew_seconds{{{REPLICA}}}": "1x30"},
        quiet=("20m",),
    ),
)

PARTITIONS = (
    Story(
        "four partitions stay without an owner",
        "PartitionWithoutOwner",
        "critical",
        {_OWNED: "6x10 4x20 6x20", _OWNED_BY_OTHER: "6x10 4x20 6x20"},
        firing=("20m", "30m"),
        quiet=("10m", "50m"),
    ),
    Story(
        "all replicas are down",
        "PartitionWithoutOwner",
        "critical",
        {_OWNED: "6x10 stale _x60", _OWNED_BY_OTHER: "6x10 stale _x60"},
        firing=("25m", "60m"),
        quiet=("10m",),
    ),
    Story(
        "the only replica is killed again and again",
        "PartitionWithoutOwner",
        "critical",
        {_OWNED: "12x20 " + "stale _ _ _ _ _ 0 12 " * 5},
        firing=("40m", "55m"),
        quiet=("19m",),
    ),
    Story(
        "a rolling update moves partitions",
        "PartitionWithoutOwner",
        "critical",
        {_OWNED: "6x30 0 12 6x20", _OWNED_BY_OTHER: "6x30 0 stale 6x20"},
        quiet=("31m", "33m", "45m"),
    ),
    Story(
        "a replica joins and leaves for an hour",
        "Rebalancing",
        "warning",
        {f"{N}rebalances_total{{{REPLICA}}}": "0x10 0+1x60 60x30"},
        firing=("50m", "70m"),
        quiet=("10m", "35m", "95m"),
    ),
    Story(
        "a rolling update",
        "Rebalancing",
        "warning",
        {f"{N}rebalances_total{{{REPLICA}}}": "0x10 0+1x8 8x60"},
        quiet=("15m", "30m", "60m"),
    ),
    Story(
        "rebalances pause a replica for a third of the time",
        "Rebalancing",
        "critical",
        {f"{N}paused_by_rebalance_seconds_total{{{REPLICA}}}": "0x10 0+20x30 600x60"},
        firing=("30m", "40m"),
        quiet=("10m", "85m"),
    ),
    Story(
        "a rolling update pauses for seconds",
        "Rebalancing",
        "critical",
        {f"{N}paused_by_rebalance_seconds_total{{{REPLICA}}}": "0x10 0+3x4 12x60"},
        quiet=("15m", "60m"),
    ),
    Story(
        "a ledger takes two minutes",
        "LedgerLoadSlow",
        "warning",
        {f"{N}ledger_loaded_seconds{{{REPLICA}}}": "3x10 120x20 3x20"},
        firing=("20m", "30m"),
        quiet=("10m", "45m"),
    ),
    Story(
        "ledgers take seconds",
        "LedgerLoadSlow",
        "warning",
        {f"{N}ledger_loaded_seconds{{{REPLICA}}}": "20x30"},
        quiet=("20m",),
    ),
    Story(
        "the cap is reached, and raised",
        "LedgerFull",
        "warning",
        {f"{N}ledger_dropped{{{REPLICA}}}": "0x10 0+5x20 0x20"},
        firing=("25m", "30m"),
        quiet=("10m", "45m"),
    ),
    Story("nothing is forgotten", "LedgerFull", "warning", {f"{N}ledger_dropped{{{REPLICA}}}": "0x30"}, quiet=("20m",)),
)

RECORDS = (
    *_counted("DeadLetters", "warning", "dead_letters_total", 'reason="unknown_mentor"'),
    *_counted("UnknownOutcomes", "warning", "outcomes_total", 'status="unknown",reason="answer_lost"'),
    *_counted("ForgedHeaders", "warning", "unproven_records_total", 'kind="wrong"'),
    *_counted("RecordsSkipped", "critical", "unreadable_batches_total", 'topic="mentor.pauses.v1"', kind="unreadable"),
    *_counted("RecordsSkipped", "critical", "unseen_records_total", 'topic="mentor.pauses.v1"', kind="deleted"),
    *_counted("ReplicaWithoutProgress", "warning", "lanes_failed_total", 'work="record"'),
    *_counted("UnknownSesErrors", "warning", "ses_unknown_errors_total", 'code="BrandNewException"'),
    *_counted("ForeignMessages", "warning", "feedback_messages_total", 'kind="unreadable"', found="queue"),
    *_counted("ForeignMessages", "warning", "feedback_ignored_total", 'reason="unproven"', found="topic"),
    *_counted("SuppressionsInvalid", "warning", "suppression_faults_total", 'fault="missing"'),
    *_counted("NobodyTold", "warning", "escalations_total", 'outcome="no_coordinator"'),
    *_counted("TopicChanged", "critical", "topic_changes_total", 'topic="mentor.contacts.v1"'),
    Story(
        "SES reports deliveries",
        "ForeignMessages",
        "warning",
        {f'{N}feedback_messages_total{{kind="delivery",{REPLICA}}}': "0+9x90"},
        quiet=("70m",),
        labels={"found": "queue"},
    ),
    Story(
        "coordinators are told",
        "NobodyTold",
        "warning",
        {f'{N}escalations_total{{outcome="published",{REPLICA}}}': "0+9x90"},
        quiet=("70m",),
    ),
    Story(
        "signing is off",
        "ForgedHeaders",
        "warning",
        {f'{N}unproven_records_total{{kind="no_keys",{REPLICA}}}': "0+9x90"},
        quiet=("70m",),
    ),
)

FEEDBACK = (
    Story(
        "SES's events have stopped, and come again",
        "FeedbackUnconfirmed",
        "warning",
        {_SENT: "0+10x1440", _UNCONFIRMED: "0x400 0+10x200 2000x840"},
        firing=("500m", "700m"),
        quiet=("399m", "1000m"),
    ),
    Story(
        "nothing is sent any more, and what was sent is overdue",
        "FeedbackUnconfirmed",
        "warning",
        {_UNCONFIRMED: "0x400 0+10x200"},
        firing=("500m",),
    ),
    Story(
        "a few of very many are overdue",
        "FeedbackUnconfirmed",
        "warning",
        {_SENT: "0+100x800", _UNCONFIRMED: "0x400 0+1x20 20x380"},
        quiet=("450m", "700m"),
    ),
    Story(
        "the right to the queue is gone for an hour",
        "FeedbackQueueFailing",
        "warning",
        {f"{N}feedback_queue_errors_total{{{REPLICA}}}": "0x10 0+4x60 240x40"},
        firing=("40m", "70m"),
        quiet=("10m", "25m", "95m"),
    ),
    Story(
        "a call fails now and then",
        "FeedbackQueueFailing",
        "warning",
        {f"{N}feedback_queue_errors_total{{{REPLICA}}}": "0 0 1 1 1 1 1 1 2 2 2 2 2 2 3 3 3 3 3 4x60"},
        quiet=("20m", "50m"),
    ),
    Story(
        "messages wait for ten minutes",
        "FeedbackLate",
        "warning",
        {f"{N}feedback_lag_seconds{{{REPLICA}}}": "1x10 600x40 1x30", _MESSAGES: "0+5x80"},
        firing=("35m", "50m"),
        quiet=("10m", "20m", "65m"),
    ),
    Story(
        "the last message of the day had waited",
        "FeedbackLate",
        "warning",
        {f"{N}feedback_lag_seconds{{{REPLICA}}}": "600x80", _MESSAGES: "5x80"},
        quiet=("40m", "80m"),
    ),
    Story(
        "six percent bounce for good",
        "BounceRate",
        "warning",
        {_ACCEPTED: "0+60x110", _BOUNCED: "0x25 0+4x30 120x50"},
        firing=("50h",),
        quiet=("24h", "84h"),
        step="1h",
    ),
    Story(
        "four percent bounce for good",
        "BounceRate",
        "warning",
        {_ACCEPTED: "0+100x60", _BOUNCED: "0+4x60"},
        quiet=("30h", "60h"),
        step="1h",
    ),
    Story(
        "nine percent bounce for good",
        "BounceRate",
        "critical",
        {_ACCEPTED: "0+60x60", _BOUNCED: "0x25 0+15x9 135x26"},
        firing=("37h", "50h"),
        quiet=("24h", "60h"),
        step="1h",
    ),
    Story(
        "six percent are no matter for the night",
        "BounceRate",
        "critical",
        {_ACCEPTED: "0+100x60", _BOUNCED: "0+6x60"},
        quiet=("30h", "60h"),
        step="1h",
    ),
    Story(
        "one of three e-mails bounces",
        "BounceRate",
        "critical",
        {_ACCEPTED: "0x20 3x40", _BOUNCED: "0x20 1x40"},
        quiet=("30h",),
        step="1h",
    ),
    Story(
        "two promille complain",
        "ComplaintRate",
        "warning",
        {_DELIVERED: "0+250x60", _COMPLAINED: "0x25 0+2x6 12x29"},
        firing=("37h", "48h"),
        quiet=("24h", "59h"),
        step="1h",
    ),
    Story(
        "one of ten thousand complains",
        "ComplaintRate",
        "warning",
        {_DELIVERED: "0+10000x60", _COMPLAINED: "0+1x60"},
        quiet=("30h", "60h"),
        step="1h",
    ),
    Story(
        "five promille complain",
        "ComplaintRate",
        "critical",
        {_DELIVERED: "0+250x60", _COMPLAINED: "0x25 0+5x6 30x29"},
        firing=("37h", "48h"),
        quiet=("24h", "59h"),
        step="1h",
    ),
    Story(
        "two promille are no matter for the night",
        "ComplaintRate",
        "critical",
        {_DELIVERED: "0+1000x60", _COMPLAINED: "0+2x60"},
        quiet=("30h", "60h"),
        step="1h",
    ),
)

STORIES = (*PROGRAMS, *PARTITIONS, *RECORDS, *FEEDBACK)
