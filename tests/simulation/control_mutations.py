"""Planted bugs of controls: see `mutations`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from consumers.assignment.lanes import Lanes
from consumers.control_effects import ControlEffects
from runtime.controls import Controls
from runtime.kafka.records import Record


def stop_not_read_first() -> AbstractContextManager[Any]:
    """Follow the controls from the end of their topic, as a consumer does with `latest`."""

    def replace(self: Controls, _fresh: Controls, /) -> None:
        self.current = True

    return patch.object(Controls, "replace", replace)


def held_is_overtaken() -> AbstractContextManager[Any]:
    """Leave only what waits in the lane: later events of the mentor are sent before it."""

    def leaves(_self: Lanes, _record: Record) -> bool:
        return False

    return patch.object(Lanes, "leaves", leaves)


def held_is_committed() -> AbstractContextManager[Any]:
    """Commit past what was left in the log."""

    def note_left(_self: Lanes, _record: Record) -> None:
        return None

    return patch.object(Lanes, "_note_left", note_left)


def released_is_not_read_again() -> AbstractContextManager[Any]:
    """Wait for the next rebalance to read what was left in the log."""
    init = ControlEffects.__init__

    def without_reopening(self: ControlEffects, *parts: Any, **named: Any) -> None:
        init(self, *parts, **{**named, "reopen": lambda: None})

    return patch.object(ControlEffects, "__init__", without_reopening)
