"""`pause-notifications sending`, `sources` and `log-level`: controls and the twins that lift them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from deploy.command.controls.stored import put, read_stored
from deploy.command.controls.wording import undo, until, what
from deploy.command.examples import examples
from deploy.command.operator import By, Reason, one_line, source_of_events, user_name
from deploy.support.output import print_hint, print_text
from schemas.controls import Control, ControlKind, LogLevel

_SPAN = re.compile(r"(\d{1,4})([mh])")
_LONGEST = timedelta(days=1)
_LIFTED = "lifted"

sending = typer.Typer(no_args_is_help=True, help="Stop and start all sending.", rich_markup_mode=None)
sources = typer.Typer(no_args_is_help=True, help="Hold the events of a producer.", rich_markup_mode=None)
log_level = typer.Typer(
    no_args_is_help=True, help="Change the log level of all replicas, not of facades.", rich_markup_mode=None
)

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


def _check_span(text: str) -> str:
    _span(text)
    return text


def put_in_force(kind: ControlKind, reason: str, by: str | None, **fields: Any) -> Control:
    """Put a control in force, and say what it does and what undoes it."""
    control = Control(kind=kind, by=by or user_name(), at=datetime.now(UTC), reason=reason, **fields)
    control = put(read_stored(), control)
    print_text(f"in force: {what(control)}, until {until(control)}")
    print_hint(f"undo it:  {undo(control)}")
    return control


def lift(wanted: Control, reason: str, by: str | None) -> None:
    """Lift the control with the key of *wanted*, or say that it is not in force."""
    stored = read_stored()
    known = stored.find(wanted.key)
    if known is None:
        print_text(f"not in force, so there is nothing to lift: {wanted.key.decode()}")
        return
    put(stored, replace(known, lifted=True, by=by or user_name(), at=datetime.now(UTC), reason=reason))
    print_text(f"lifted: {what(known)} (by {known.by}: {known.reason})")


def _lifting(kind: ControlKind, **fields: Any) -> Control:
    return Control(kind=kind, by="", at=datetime.now(UTC), reason="", **fields)


@sending.callback()
def _sending() -> None:
    """Stop and start all sending."""


@sending.command()
@examples('pause-notifications sending stop --reason "the notice of today is wrong"')
def stop(*, reason: Reason, by: By = None) -> None:
    """
    Stop all sending, in every replica, within two seconds; replicas that start later do not send either.

    What SES has been asked to send by then is sent. Nothing is lost: all else waits. Callers get a 202.
    """
    put_in_force(ControlKind.SENDING_STOPPED, reason, by)


@sending.command()
@examples("pause-notifications sending start")
def start(*, reason: Why = _LIFTED, by: By = None) -> None:
    """Let all send again what has waited, at the account's rate."""
    lift(_lifting(ControlKind.SENDING_STOPPED), reason, by)


@sources.callback()
def _sources() -> None:
    """Hold the events of a producer."""


@sources.command()
@examples('pause-notifications sources hold /hr/absences --reason "publishes each pause a hundred times"')
def hold(source: Source, *, reason: Reason, by: By = None) -> None:
    """
    Let the events of one source wait in Kafka, while all others flow.

    A mentor's later events wait behind a held one, whatever their source, since they are sent in order. What waits is
    kept as long as the topic keeps it (14 days). To end it without a send: dispatches cancel.
    """
    put_in_force(ControlKind.SOURCE_HELD, reason, by, source=source)


@sources.command()
@examples("pause-notifications sources release /hr/absences")
def release(source: Source, *, reason: Why = _LIFTED, by: By = None) -> None:
    """Let the events of a held source flow again. Replicas then read again from the first one held."""
    lift(_lifting(ControlKind.SOURCE_HELD, source=source), reason, by)


@log_level.callback()
def _log_level() -> None:
    """Change the log level of all replicas, not of facades."""


@log_level.command("set")
@examples("pause-notifications log-level set debug --for 30m")
def set_level(
    level: Annotated[LogLevel, typer.Argument(metavar="LEVEL", help="debug, info, warning or error.")],
    *,
    span: Annotated[
        str, typer.Option("--for", metavar="SPAN", callback=_check_span, help="How long, a day at most: 30m, 2h.")
    ],
    reason: Why = "to see more",
    by: By = None,
) -> None:
    """
    Log at another level in every replica, for a while: then the level of the settings is back by itself.

    Facades do not follow: they log at PAUSE_NOTIFICATIONS_LOG_LEVEL, and read it at their start.
    """
    put_in_force(ControlKind.LOG_LEVEL, reason, by, level=level, until=datetime.now(UTC) + _span(span))


@log_level.command()
@examples("pause-notifications log-level reset")
def reset(*, reason: Why = _LIFTED, by: By = None) -> None:
    """Log at the level of the settings again."""
    lift(_lifting(ControlKind.LOG_LEVEL), reason, by)
