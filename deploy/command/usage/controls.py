"""`pause-notifications sending`, `sources`, `log-level` and `controls`: what is put in force for all replicas."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from deploy.command.operator import By, Reason, one_line, source_of_events
from schemas.controls import LogLevel

_SPAN = re.compile(r"(\d{1,4})([mh])")
_LONGEST = timedelta(days=1)
_LIFTED = "lifted"

sending = Noun("Stop and start all sending.")
sources = Noun("Hold the events of a producer.")
log_level = Noun("Change the log level of all facades and replicas.")

Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", callback=one_line, help="Why, in your words; the log keeps it.")
]
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", callback=source_of_events, help="The CloudEvents `source` of its events.")
]


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    span = (
        timedelta()
        if found is None
        else int(found[1]) * timedelta(**{"m": {"minutes": 1}, "h": {"hours": 1}}[found[2]])
    )
    if not timedelta() < span <= _LONGEST:
        raise typer.BadParameter("must be a span of at most a day, such as 30m or 2h")
    return span


@sending.command()
@examples('pause-notifications sending stop --reason "the notice of today is wrong"')
def stop(*, reason: Reason, by: By = None) -> Work:
    """
    Stop all sending, in every replica, within two seconds; replicas that start later do not send either.

    What SES has been asked to send by then is sent. Nothing is lost: all else waits. Callers get a 202.
    """
    from deploy.command.controls import change

    return lambda: change.stop(reason=reason, by=by)


@sending.command()
@examples("pause-notifications sending start")
def start(*, reason: Why = _LIFTED, by: By = None) -> Work:
    """Let all send again what has waited, at the account's rate."""
    from deploy.command.controls import change

    return lambda: change.start(reason=reason, by=by)


@sources.command()
@examples('pause-notifications sources hold /hr/absences --reason "publishes each pause a hundred times"')
def hold(source: Source, *, reason: Reason, by: By = None) -> Work:
    """
    Let the events of one source wait in Kafka, while all others flow.

    A mentor's later events wait behind a held one, whatever their source, since they are sent in order. What waits is
    kept as long as the topic keeps it (14 days). To end it without a send: dispatches cancel.
    """
    from deploy.command.controls import change

    return lambda: change.hold(source, reason=reason, by=by)


@sources.command()
@examples("pause-notifications sources release /hr/absences")
def release(source: Source, *, reason: Why = _LIFTED, by: By = None) -> Work:
    """Let the events of a held source flow again. Replicas then read again from the first one held."""
    from deploy.command.controls import change

    return lambda: change.release(source, reason=reason, by=by)


@log_level.command("set")
@examples("pause-notifications log-level set debug --for 30m")
def set_level(
    level: Annotated[LogLevel, typer.Argument(metavar="LEVEL", help="debug, info, warning or error.")],
    *,
    span: Annotated[
        timedelta, typer.Option("--for", metavar="SPAN", parser=_span, help="How long, a day at most: 30m, 2h.")
    ],
    reason: Why = "to see more",
    by: By = None,
) -> Work:
    """
    Log at another level in every facade and replica, for a while.

    Then each logs at the level of its settings again (PAUSE_NOTIFICATIONS_LOG_LEVEL), by itself.
    """
    from deploy.command.controls import change

    return lambda: change.set_level(level, span=span, reason=reason, by=by)


@log_level.command()
@examples("pause-notifications log-level reset")
def reset(*, reason: Why = _LIFTED, by: By = None) -> Work:
    """Log at the level of the settings again."""
    from deploy.command.controls import change

    return lambda: change.reset(reason=reason, by=by)


@examples("pause-notifications controls", "pause-notifications controls --json")
def controls(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per control.")] = False
) -> Work:
    """
    Show what operators have put in force.

    Each line says what it does, who did it, when and why, and what undoes it. `GET /readyz` of a replica shows the same
    as that replica knows it.
    """
    from deploy.command.controls import browse

    return lambda: browse.controls(as_json=as_json)
