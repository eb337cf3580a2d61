"""`pause-notifications sending`, `sources` and `log-level`: controls and the twins that lift them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from deploy.command.controls.stored import put, read_stored
from deploy.command.controls.wording import undo, until, what
from deploy.command.operator import user_name
from deploy.support.output import print_hint, print_text
from schemas.controls import Control, ControlKind, LogLevel
from schemas.times import format_seconds


def put_in_force(kind: ControlKind, reason: str, by: str | None, **fields: Any) -> Control:
    """Put a control in force, and say what it does, what it replaces and what undoes it."""
    control = Control(kind=kind, by=by or user_name(), at=datetime.now(UTC), reason=reason, **fields)
    stored = read_stored()
    before, others = stored.find(control.key), beside(stored.in_force(), control)
    control = put(stored, control)
    print_text(f"in force: {what(control)}, until {until(control)}")
    if before is not None:
        print_text(f"in place of: {_in_full(before)}")
    for one in others:
        print_text(f"as well as:  {_in_full(one)}; to undo it, too: {undo(one)}")
    print_hint(f"undo it:  {undo(control)}")
    return control


def _in_full(control: Control) -> str:
    """Return what a control does, until when, and who put it in force, since when and why."""
    return f"{what(control)}, until {until(control)} ({_who(control)})"


def _who(control: Control) -> str:
    return f"by {control.by} since {format_seconds(control.at)}: {control.reason}"


def beside(in_force: Iterable[Control], control: Control) -> list[Control]:
    """Return the other cancels of a cancel's source: they stay in force if one of them is undone."""
    if control.kind is not ControlKind.CANCEL:
        return []
    return [one for one in in_force if one.kind is ControlKind.CANCEL and one.source == control.source]


def lift(wanted: Control, reason: str, by: str | None) -> None:
    """Lift the control with the key of *wanted*, or say that it is not in force."""
    stored = read_stored()
    known = stored.find(wanted.key)
    if known is None:
        print_text(f"not in force, so there is nothing to lift: {wanted.key.decode()}")
        print_hint("see what is in force: pause-notifications controls")
        return
    put(stored, replace(known, lifted=True, by=by or user_name(), at=datetime.now(UTC), reason=reason))
    print_text(f"lifted: {what(known)} ({_who(known)})")


def _lifting(kind: ControlKind, **fields: Any) -> Control:
    return Control(kind=kind, by="", at=datetime.now(UTC), reason="", **fields)


def stop(*, reason: str, by: str | None) -> None:
    """Stop all sending, in every replica, within two seconds; replicas that start later do not send either."""
    put_in_force(ControlKind.SENDING_STOPPED, reason, by)


def start(*, reason: str, by: str | None) -> None:
    """Let all send again what has waited, at the account's rate."""
    lift(_lifting(ControlKind.SENDING_STOPPED), reason, by)


def hold(source: str, *, reason: str, by: str | None) -> None:
    """Let the events of one source wait in Kafka, while all others flow."""
    put_in_force(ControlKind.SOURCE_HELD, reason, by, source=source)
    if "*" in source:
        print_hint(f"only events whose source is {source} itself wait: * stands for nothing else here")


def release(source: str, *, reason: str, by: str | None) -> None:
    """Let the events of a held source flow again. Replicas then read again from the first one held."""
    lift(_lifting(ControlKind.SOURCE_HELD, source=source), reason, by)


def set_level(level: LogLevel, *, span: timedelta, reason: str, by: str | None) -> None:
    """Log at another level in every facade and replica for a while; then each is back at its settings' level."""
    put_in_force(ControlKind.LOG_LEVEL, reason, by, level=level, until=datetime.now(UTC) + span)


def reset(*, reason: str, by: str | None) -> None:
    """Log at the level of the settings again."""
    lift(_lifting(ControlKind.LOG_LEVEL), reason, by)
