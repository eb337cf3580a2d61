"""Reads the event that a record holds. An invalid, a forged and a misplaced record end here."""

from __future__ import annotations

from consumers.assignment.assignment import Assignment
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.event_headers import read_delivery, waits_seconds
from consumers.delivery.ignored_input import IgnoredInput
from consumers.delivery.relocation import Relocation
from consumers.delivery.signature_check import SignatureCheck
from consumers.delivery.work import Work
from consumers.steps import Reached, Step
from runtime.kafka.records import Record
from runtime.signing_keys import is_impostor
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import DeadLetterReason


class Intake:
    """Decodes records and checks their signatures and places."""

    def __init__(
        self,
        signature_check: SignatureCheck,
        ignored_input: IgnoredInput,
        dead_letters: DeadLetters,
        relocation: Relocation,
        reached: Reached,
    ) -> None:
        self._signature_check = signature_check
        self._ignored_input = ignored_input
        self._dead_letters = dead_letters
        self._relocation = relocation
        self._reached = reached

    async def read(self, record: Record, assignment: Assignment) -> Work | None:
        """Return the delivery to process, or None when the record was dead-lettered or moved."""
        self._reached(Step.TAKEN, f"{record.topic}-{record.partition}-{record.offset}")
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent as error:
            await self._dead_letters.record(assignment, record, error.reason, error.detail)
            return None
        proof, believed = self._signature_check.check(record, event)
        if is_impostor(event.source, proof):
            reason, detail = DeadLetterReason.UNPROVEN_SOURCE, f"{names.SIGNATURE}: {proof}"
            await self._dead_letters.record(assignment, record, reason, detail)
            return None
        if self._relocation.misplaced(record, event):
            with assignment.uninterruptible():
                await self._relocation.move(believed, event)
            return None
        self._ignored_input.count(event)
        taken_at, waits = assignment.taken_at(record), waits_seconds(believed)
        waits_until = taken_at + waits if waits else 0.0
        return Work(record, read_delivery(believed, event), assignment, waits_until, tried_at=taken_at)
