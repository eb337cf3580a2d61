"""The controls as a table, what each is asked for, the log level that they decide, and how one is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from runtime.kafka.publisher import Published, Publisher
from runtime.kafka.records import Record
from runtime.signing_keys import proof_of
from schemas.controls import Control, ControlKind, LogLevel, control_json, parse_control
from schemas.signatures import SigningKeys

log = structlog.get_logger(__name__)

UNREADABLE = "unreadable"
TOO_MANY = "too_many"
MAX_IN_FORCE = 1000
"""How many controls a table holds. People put them in force, so more come from a program gone wrong."""
_MAX_LOGGED = 10


def _uncounted(_fault: str) -> None:
    """Count nothing."""


class Controls:
    """The controls that are not lifted, as their topic has them."""

    def __init__(self, *, on_fault: Callable[[str], None] = _uncounted) -> None:
        """Call *on_fault* for each record that does not count, with the reason: a proof's code, or one of ours."""
        self._entries: dict[bytes, Control] = {}
        self._cancels: tuple[Control, ...] = ()
        self._on_fault = on_fault
        self._logged = 0
        self.current = False
        """Whether the table holds the whole topic. It does not while a recreated topic is read."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the number of entries, for the log."""
        return {"controls": len(self._entries)}

    def in_force(self, now: datetime) -> tuple[Control, ...]:
        """Return what is in force now, oldest first."""
        return tuple(sorted((one for one in self._entries.values() if one.is_in_force(now)), key=lambda one: one.at))

    @property
    def stopped(self) -> bool:
        """Return whether sending is stopped."""
        return ControlKind.SENDING_STOPPED.value.encode() in self._entries

    @property
    def held(self) -> frozenset[str]:
        """Return the sources that are held."""
        held = (one.source for one in self._entries.values() if one.kind is ControlKind.SOURCE_HELD)
        return frozenset(source for source in held if source is not None)

    def holds(self, source: str) -> bool:
        """Return whether events of a source wait."""
        return bool(self._entries) and Control.key_of_hold(source) in self._entries

    def cancels(self, source: str, event_type: str, appended_at: datetime, now: datetime) -> bool:
        """Return whether what is not sent of an event ends without a send."""
        return any(one.cancels(source, event_type, appended_at) and one.is_in_force(now) for one in self._cancels)

    def log_level(self, now: datetime) -> LogLevel | None:
        """Return the level to log at, or None if the settings decide."""
        found = self._entries.get(ControlKind.LOG_LEVEL.value.encode())
        return found.level if found is not None and found.is_in_force(now) else None

    def take(self, key: bytes | None, value: bytes | None, /) -> None:
        """
        Apply a record of the topic: the last one of a key counts, and a null value lifts a control, too.

        A record that cannot be read leaves the control as it was: it may be a newer release's, or a mistake.
        """
        found = None if value is None else parse_control(key, value)
        if key is None or (value is not None and found is None):
            self._report(UNREADABLE, key)
            return
        before = self._entries.get(key)
        if found is None or found.lifted:
            changed = self._entries.pop(key, None) is not None
        elif key not in self._entries and len(self._entries) >= MAX_IN_FORCE:
            self._report(TOO_MANY, key)
            return
        else:
            changed = before != found
            self._entries[key] = found
        self._cancels = tuple(one for one in self._entries.values() if one.kind is ControlKind.CANCEL)
        if changed and self.current:
            _audit(key, found, before)

    def believes(self, record: Record, keys: SigningKeys) -> bool:
        """Return whether a record of the topic counts: one of our keys signed it, or there are none. Report others."""
        proof = proof_of(record, keys)
        if not proof.counts:
            self._report(proof, record.key)
        return proof.counts

    def _report(self, fault: str, key: bytes | None) -> None:
        self._on_fault(fault)
        if self._logged < _MAX_LOGGED:
            self._logged += 1
            log.warning("controls.invalid", key=(key or b"")[:128].decode(errors="replace"), fault=str(fault))

    def fresh(self) -> Controls:
        """Return an empty table."""
        fresh = Controls(on_fault=self._on_fault)
        fresh._logged = self._logged
        return fresh

    def replace(self, fresh: Controls, /) -> None:
        """Take over the content of *fresh*, which holds the whole topic."""
        for key in {**self._entries, **fresh._entries}:
            if (before := self._entries.get(key)) != (found := fresh._entries.get(key)):
                _audit(key, found, before)
        self._entries, self._cancels, self._logged = fresh._entries, fresh._cancels, fresh._logged
        self.current = True


class ControlledLogLevel:
    """Keeps a program's log level at what a control says, and else at what its settings say."""

    def __init__(self, controls: Controls, set_log_level: Callable[[LogLevel | None], None]) -> None:
        """*set_log_level* takes None for the settings' level."""
        self._controls = controls
        self._set_log_level = set_log_level
        self._level: LogLevel | None = None

    def apply(self, now: datetime) -> None:
        """Set the level anew if the control has changed, or has ended by itself."""
        level = self._controls.log_level(now)
        if level != self._level:
            self._level = level
            self._set_log_level(level)


def _audit(key: bytes, control: Control | None, before: Control | None) -> None:
    """Log a change: who, when and why, and the same of what it replaces; a null value says nothing of itself."""
    name = key.decode(errors="replace")
    replaced = {} if before is None else _replaced(before)
    if control is None:
        log.warning("controls.changed", control=name, in_force=False, **replaced)
        return
    log.warning(
        "controls.changed",
        control=name,
        in_force=not control.lifted,
        by=control.by,
        at=control.at.isoformat(),
        reason=control.reason,
        source=control.source,
        until=control.until and control.until.isoformat(),
        **replaced,
    )


def _replaced(before: Control) -> dict[str, str]:
    return {"before_by": before.by, "before_at": before.at.isoformat(), "before_reason": before.reason}


async def publish_control(publisher: Publisher, topic: str, keys: SigningKeys, control: Control) -> Published:
    """Publish a control, signed, in place of the one with its key."""
    key, value = control.key, control_json(control)
    return await publisher.publish(topic, 0, key=key, value=value, headers=keys.signed(topic, key, value, []))
