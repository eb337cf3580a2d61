"""How a control is described to a person, and what undoes it."""

from __future__ import annotations

import shlex

from deploy.command.findings import Finding, State
from schemas.controls import Control, ControlKind
from schemas.times import format_seconds

_COMMAND = "pause-notifications"


def what(control: Control) -> str:
    """Return what a control does."""
    match control.kind:
        case ControlKind.SENDING_STOPPED:
            return "nothing is sent"
        case ControlKind.SOURCE_HELD:
            return f"events of {control.source} wait"
        case ControlKind.CANCEL:
            kind = f"{control.event_type} " if control.event_type else "events "
            since = format_seconds(control.since) if control.since else "their beginning"
            return f"{kind}of {control.source} from {since} to {format_seconds(control.at)} are not sent"
        case ControlKind.LOG_LEVEL:
            return f"facades and replicas log {control.level} and above"


def undo(control: Control) -> str:
    """Return the command that lifts a control."""
    match control.kind:
        case ControlKind.SENDING_STOPPED:
            return f"{_COMMAND} sending start"
        case ControlKind.SOURCE_HELD:
            return f"{_COMMAND} sources release {shlex.quote(control.source or '')}"
        case ControlKind.CANCEL:
            return f"{_COMMAND} dispatches cancel --undo {control.id}"
        case ControlKind.LOG_LEVEL:
            return f"{_COMMAND} log-level reset"


def until(control: Control) -> str:
    """Return when a control ends."""
    return "it is lifted" if control.until is None else format_seconds(control.until)


def finding(control: Control) -> Finding:
    """Return the warning of `doctor` that a control is in force."""
    detail = f"{what(control)}, by {control.by} since {format_seconds(control.at)}, until {until(control)}"
    return Finding(
        "controls", State.WARN, f"{detail}: {control.reason}", f"when it is no longer needed: {undo(control)}"
    )
