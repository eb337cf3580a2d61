"""Checks from a history that controls are obeyed, and that nothing else is: see invariant 11."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas import headers as names
from schemas.controls import Control, ControlKind
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.headers import header_text
from schemas.times import parse_instant
from tests.simulation.history import Appended, Called
from tests.simulation.observations import Delivery, Observations
from tests.simulation.publishing import RECORD_DEADLINE_SECONDS

CONTROLS = 11
"""The number of the invariant."""


@dataclass
class ControlChecks:
    """The checks, over what was observed so far."""

    observed: Observations
    obeying_seconds: float
    """How long it takes a replica to read a control."""

    def called(self, entry: Called) -> Iterator[tuple[int, str]]:
        """Yield what forbids a send. One whose intent was being written when a hold or a cancel came may go on."""
        to = (entry.dispatch_id, entry.contact_id)
        sources = {one.event.source for one in self.observed.deliveries[entry.dispatch_id]}
        holds = [Control.key_of_hold(source) for source in sources]
        for key in (ControlKind.SENDING_STOPPED.value.encode(), *holds):
            if self._obeyed_since(entry, key, also=RECORD_DEADLINE_SECONDS * (key in holds)):
                yield CONTROLS, f"{entry.program} sends {to} in spite of {key.decode()}"
        for at, control in self._cancels_of(entry.dispatch_id):
            if self._has_read(entry, at, also=RECORD_DEADLINE_SECONDS):
                yield CONTROLS, f"{entry.program} sends {to} in spite of {control.key.decode()}"

    def _obeyed_since(self, entry: Called, key: bytes, *, also: float) -> bool:
        """Return whether the control with a key is in force, and was for as long as a replica takes to read it."""
        records = [(at, one) for at, one in self.observed.controls if one.key == key]
        if not records or records[-1][1].lifted:
            return False
        since = next(at for at, one in reversed(records) if not one.lifted)
        return self._has_read(entry, since, also=also)

    def _has_read(self, entry: Called, since: float, *, also: float) -> bool:
        """Return whether the caller must have read a record, unless it was frozen a moment ago."""
        begun = entry.at - self.obeying_seconds - also
        return since < begun and not self.observed.happened_to(entry.program, begun, entry.at, "resumed")

    def _cancels_of(self, dispatch_id: str) -> Iterator[tuple[float, Control]]:
        """Yield the cancels that concern all deliveries of a dispatch: others may be sent by one of them."""
        deliveries = self.observed.deliveries[dispatch_id]
        for at, control in self.observed.controls:
            if deliveries and all(_is_cancelled(one, control) for one in deliveries):
                yield at, control

    def written(self, entry: Appended, dispatch: Dispatch, recipient: Recipient) -> Iterator[tuple[int, str]]:
        """Yield a recipient that was cancelled by nobody."""
        if recipient.reason is not Reason.CANCELLED or dispatch.retry_of is not None:
            return
        deliveries = self.observed.deliveries[dispatch.dispatch_id]
        if not any(_is_cancelled(one, control) for one in deliveries for _, control in self.observed.controls):
            yield CONTROLS, f"{dispatch.dispatch_id} says at {entry.at:.3f} s that {recipient.contact_id} was cancelled"

    def end(self) -> Iterator[tuple[int, str]]:
        """Yield cancelled recipients who were sent to, and whose dispatch says that they were not."""
        for dispatch in self.observed.states.values():
            for recipient in dispatch.recipients:
                to = (dispatch.dispatch_id, recipient.contact_id)
                cancelled = recipient.status is Status.SUPPRESSED and recipient.reason is Reason.CANCELLED
                accepted = [send for send in self.observed.sends[to] if send.accepted is not None]
                if cancelled and any(send.called.owns and send.answer == "AnswerLost" for send in accepted):
                    yield CONTROLS, f"{to} was sent to, and its dispatch says cancelled"


def _is_cancelled(delivery: Delivery, control: Control) -> bool:
    event, record = delivery.event, delivery.record
    first = header_text(record.headers, names.APPENDED_AT)  # of one that was moved
    return control.cancels(event.source, event.kind.type, parse_instant(first) if first else record.appended_at)
