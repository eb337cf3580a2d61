"""What happens to series, and whether somebody is told: sending, its limits, and the two objectives."""

from __future__ import annotations

from tests.monitoring.promtool import Story

REPLICA = 'job="pause-notifications-replica",pod="replica-a",instance="a:8002"'
OTHER_REPLICA = 'job="pause-notifications-replica",pod="replica-b",instance="b:8002"'
FACADE = 'job="pause-notifications-facade",pod="facade-a",instance="f:8001"'
N = "pause_notifications_"

_TAKEN = f'{N}events_taken_total{{topic="mentor.pauses.v1",{REPLICA}}}'
_IN_TIME = f'{N}dispatch_seconds_bucket{{le="60.0",{REPLICA}}}'
_LAG = f"{N}lag_seconds{{{REPLICA}}}"
_ENDED = f"{N}dispatch_seconds_count{{{REPLICA}}}"
_HALTED = f'{N}gate_halted{{reason="credentials",{REPLICA}}}'
_OLDEST = f"{N}oldest_unfinished_timestamp_seconds{{{REPLICA}}}"
_READY = f"{N}ready{{{REPLICA}}}"
_200 = f'{N}answers_total{{endpoint="pause-activated",status="200",asked="outcome",{FACADE}}}'
_202 = f'{N}answers_total{{endpoint="pause-activated",status="202",asked="outcome",{FACADE}}}'
_NO_WAIT = f'{N}answers_total{{endpoint="pause-activated",status="202",asked="no_wait",{FACADE}}}'
_503 = f'{N}answers_total{{endpoint="pause-activated",status="503",asked="outcome",{FACADE}}}'
_422 = f'{N}answers_total{{endpoint="pause-activated",status="422",asked="outcome",{FACADE}}}'

_TEN_MINUTES_OF_HALT = {
    _TAKEN: "0+60x240",
    _IN_TIME: "0+60x60 3600x10 3660+60x170",
    _ENDED: "0+60x60 3600x10 4260+60x170",
    _HALTED: "_x61 1x10 _x170",
    _LAG: "0x60 0+60x10 0x170",
}
"""Events come at one pace. None ends for ten minutes, and then all that waited are sent at once."""

OBJECTIVES = (
    Story(
        "sending is halted for ten minutes",
        "EventsLate",
        "critical",
        _TEN_MINUTES_OF_HALT,
        firing=("68m", "76m", "100m"),
        quiet=("64m", "110m"),
    ),
    Story(
        "a third of an hour's events end late",
        "EventsLate",
        "critical",
        {_TAKEN: "0+60x240", _IN_TIME: "0+60x60 3600x20 3660+60x160"},
        firing=("70m",),
        quiet=("55m", "130m"),
    ),
    Story(
        "all end in time, though each is counted as taken before it ends",
        "EventsLate",
        "critical",
        {_TAKEN: "0x30 0+600x5 3000x60", _IN_TIME: "0x31 0+600x5 3000x60"},
        quiet=("33m", "36m", "60m", "95m"),
    ),
    Story(
        "five of five events are late at night",
        "EventsLate",
        "critical",
        {_TAKEN: "0x10 5x100", _IN_TIME: "0x111"},
        quiet=("12m", "20m", "80m"),
    ),
    Story(
        "nothing ends any more, in a loop of restarts",
        "EventsLate",
        "critical",
        {_TAKEN: "0 30 60 stale " * 40, _IN_TIME: "0 0 0 stale " * 40},
        firing=("60m", "150m"),
    ),
    Story(
        "half a percent is late for half a day",
        "EventsLate",
        "warning",
        {_TAKEN: "0+400x800", _IN_TIME: "0+400x200 80000+398x350 219300+400x250"},
        firing=("900m",),
        quiet=("390m", "1590m"),
        step="2m",
    ),
    Story(
        "one of a hundred thousand is late, for a day",
        "EventsLate",
        "warning",
        {_TAKEN: "0+100000x740", _IN_TIME: "0+99999x740"},
        quiet=("12h", "1d"),
        step="2m",
    ),
    Story(
        "half of the callers get 503 or a late 202",
        "CallersUnanswered",
        "critical",
        {_200: "0+60x240", _503: "0x60 0+30x20 600x160", _202: "0x60 0+30x20 600x160"},
        firing=("70m",),
        quiet=("55m", "130m"),
    ),
    Story(
        "many are refused for what they sent, and many do not wait",
        "CallersUnanswered",
        "critical",
        {_200: "0+60x120", _422: "0+60x120", _NO_WAIT: "0+60x120", _503: "0x120"},
        quiet=("30m", "110m"),
    ),
    Story(
        "five percent get no outcome for a third of a day",
        "CallersUnanswered",
        "warning",
        {_200: "0+950x300", _503: "0x80 0+50x100 5000x120"},
        firing=("880m",),
        quiet=("390m", "1490m"),
        step="5m",
    ),
    Story(
        "two promille get no outcome",
        "CallersUnanswered",
        "warning",
        {_200: "0+998x300", _503: "0+2x300"},
        quiet=("12h", "1d"),
        step="5m",
    ),
)

SENDING = (
    Story(
        "it ends after ten minutes",
        "Halted",
        "critical",
        _TEN_MINUTES_OF_HALT,
        firing=("72m",),
        quiet=("69m", "77m"),
    ),
    Story("it ends after ten minutes", "FallingBehind", "critical", _TEN_MINUTES_OF_HALT, quiet=("65m", "71m", "90m")),
    Story(
        "it is halted for ten minutes",
        "ReplicaWithoutProgress",
        "critical",
        _TEN_MINUTES_OF_HALT,
        quiet=("66m", "71m", "76m"),
    ),
    Story(
        "credentials have expired",
        "Halted",
        "critical",
        {_HALTED: "_x5 1x20 _x30"},
        firing=("20m",),
        quiet=("5m", "14m", "35m"),
    ),
    Story(
        "the halted replica is killed again and again",
        "Halted",
        "critical",
        {_HALTED: "1 stale _ " * 15},
        firing=("15m", "40m"),
        quiet=("5m",),
    ),
    Story(
        "the halted replica is gone, and another one halts",
        "Halted",
        "critical",
        {_HALTED: "1x7 stale _x30", f'{N}gate_halted{{reason="credentials",{OTHER_REPLICA}}}': "_x7 1x30"},
        firing=("12m", "30m"),
    ),
    Story("every start reads the contacts", "Halted", "critical", {_HALTED: "1 0x20 1 0x20"}, quiet=("12m", "30m")),
    Story(
        "the quota is spent",
        "Halted",
        "critical",
        {f'{N}gate_halted{{reason="daily_quota",{REPLICA}}}': "1x60"},
        quiet=("30m", "60m"),
    ),
    Story(
        "the quota is spent for an hour",
        "Halted",
        "warning",
        {f'{N}gate_halted{{reason="daily_quota",{REPLICA}}}': "0x5 1x60 0x20"},
        firing=("50m",),
        quiet=("5m", "30m", "80m"),
    ),
    Story(
        "credentials are a matter for the night",
        "Halted",
        "warning",
        {_HALTED: "1x60"},
        quiet=("50m",),
    ),
    Story(
        "events come faster than the account's rate",
        "FallingBehind",
        "critical",
        {_LAG: "0x5 0+60x40 2300-300x7 0x20"},
        firing=("35m",),
        quiet=("5m", "18m", "65m"),
    ),
    Story(
        "the replica with the backlog is killed again and again",
        "FallingBehind",
        "critical",
        {_LAG: "1000 stale _ 1200 stale _ 1400 stale _ 1600 stale _ 1800 stale _ 2000 stale _"},
        firing=("12m", "16m"),
    ),
    Story(
        "a backlog is worked off after a halt",
        "FallingBehind",
        "critical",
        {_LAG: "7200-60x100"},
        quiet=("20m", "60m"),
    ),
    Story(
        "sending is halted",
        "FallingBehind",
        "critical",
        {_LAG: "0+60x60", _HALTED: "1x60"},
        quiet=("30m", "55m"),
    ),
    Story(
        "an event of the first day still waits on the thirteenth",
        "EventsNearRetention",
        "critical",
        {_OLDEST: "3600x320 1200000x20"},
        firing=("303h",),
        quiet=("280h", "323h"),
        step="1h",
    ),
    Story(
        "nothing waits",
        "EventsNearRetention",
        "critical",
        {_OLDEST: "0x320"},
        quiet=("10h", "318h"),
        step="1h",
    ),
    Story(
        "its lanes stand still",
        "ReplicaWithoutProgress",
        "critical",
        {_LAG: "0x20 0+60x40 0x20", _ENDED: "0+10x20 200x40 200+10x20"},
        firing=("45m",),
        quiet=("15m", "22m", "75m"),
    ),
    Story(
        "it is slow, and ends an event now and then",
        "ReplicaWithoutProgress",
        "critical",
        {_LAG: "0+60x60", _ENDED: "0 0 0 0 0 1 1 1 1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 5 5 5 5 5 6 6 6 6"},
        quiet=("20m", "30m"),
    ),
    Story(
        "it is killed again and again before it ends any",
        "ReplicaWithoutProgress",
        "critical",
        {_LAG: "stale 400 500 " * 15, _ENDED: "stale 0 0 " * 15},
        firing=("15m", "40m"),
    ),
)

LIMITS = (
    Story(
        "six hours are left, then SES allows more",
        "QuotaNearlySpent",
        "warning",
        {f"{N}quota_hours_left{{{REPLICA}}}": "40x10 6x60 40x20"},
        firing=("45m", "65m"),
        quiet=("10m", "35m", "88m"),
    ),
    Story(
        "the replica that knows it is killed again and again",
        "QuotaNearlySpent",
        "warning",
        {f"{N}quota_hours_left{{{REPLICA}}}": "6 NaN stale " * 20},
        firing=("35m", "55m"),
    ),
    Story(
        "no limit, and not known yet",
        "QuotaNearlySpent",
        "warning",
        {f"{N}quota_hours_left{{{REPLICA}}}": "Inf " * 60, f"{N}quota_hours_left{{{OTHER_REPLICA}}}": "NaN " * 60},
        quiet=("45m", "60m"),
    ),
    Story(
        "a replica that was started looks for Kafka",
        "QuotaNearlySpent",
        "warning",
        {f"{N}quota_hours_left{{{REPLICA}}}": "0x60"},
        quiet=("45m", "60m"),
    ),
    Story(
        "a batch of a foreign program uses the rate",
        "Throttled",
        "warning",
        {
            f"{N}throttles_total{{{REPLICA}}}": "0x60 0+5x40 200x80",
            f"{N}ses_seconds_count{{{REPLICA}}}": "0+60x180",
        },
        firing=("90m",),
        quiet=("60m", "170m"),
    ),
    Story(
        "three of a thousand sends are throttled",
        "Throttled",
        "warning",
        {
            f"{N}throttles_total{{{REPLICA}}}": "0 1 2 3 3x120",
            f"{N}ses_seconds_count{{{REPLICA}}}": "0+60x120",
        },
        quiet=("30m", "60m"),
    ),
    Story(
        "a producer publishes the same again and again",
        "RecipientFlooded",
        "critical",
        {f'{N}emails_beyond_recipient_limit_total{{source="/academy",{REPLICA}}}': "0x10 0+60x5 300x20"},
        firing=("14m",),
        quiet=("10m", "30m"),
    ),
    Story(
        "somebody gets a few too many",
        "RecipientFlooded",
        "critical",
        {f'{N}emails_beyond_recipient_limit_total{{source="/academy",{REPLICA}}}': "0+5x60"},
        quiet=("20m", "50m"),
    ),
    Story(
        "half of the contacts are emptied, and loaded again",
        "ContactsFell",
        "critical",
        {f"{N}contacts{{{REPLICA}}}": "2020x20 1000x20 2020x20", _READY: "1x60"},
        firing=("35m",),
        quiet=("19m", "28m", "45m"),
    ),
    Story(
        "all but one are gone, and every replica starts again",
        "ContactsFell",
        "critical",
        {
            f"{N}contacts{{{REPLICA}}}": "2020x20 stale _x40",
            f"{N}contacts{{{OTHER_REPLICA}}}": "_x20 1x40",
            _READY: "1x20 stale _x40",
            f"{N}ready{{{OTHER_REPLICA}}}": "_x20 1x40",
        },
        firing=("35m", "50m"),
    ),
    Story(
        "one replica still reads them",
        "ContactsFell",
        "critical",
        {f"{N}contacts{{{REPLICA}}}": "2020x60", f"{N}contacts{{{OTHER_REPLICA}}}": "0x60", _READY: "1x60"},
        quiet=("15m", "50m"),
    ),
    Story(
        "Kafka is gone, and every replica starts again",
        "ContactsFell",
        "critical",
        {f"{N}contacts{{{REPLICA}}}": "2020x20 0x40", _READY: "1x20 0x40"},
        quiet=("30m", "50m"),
    ),
)

STORIES = (*OBJECTIVES, *SENDING, *LIMITS)
