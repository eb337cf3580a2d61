"""Removes `pn_` headers that no known key signed; counts and logs them."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from runtime.clock import Clock
from runtime.kafka.records import Record
from runtime.rarely import Rarely
from runtime.signing_keys import checked
from schemas.events import Event
from schemas.headers import is_ours
from schemas.signatures import Proof, SigningKeys

log = structlog.get_logger(__name__)


class SignatureCheck:
    """Checks records of events. Each kind of unproven record is logged once a minute at most."""

    def __init__(self, keys: SigningKeys, clock: Clock, metrics: Metrics) -> None:
        self._keys = keys
        self._rarely = Rarely(clock)
        self._metrics = metrics

    def check(self, record: Record, event: Event) -> tuple[Proof, Record]:
        """Return what the signature proves, and the record without unproven headers."""
        proof, believed = checked(record, self._keys)
        claims = event.needs_proof or any(is_ours(name) for name, _ in record.headers)
        if claims and not proof.proven:
            self._metrics.unproven.labels(kind=proof).inc()
            self._log(proof, record, event)
        return proof, believed

    def _log(self, proof: Proof, record: Record, event: Event) -> None:
        if proof is Proof.NO_KEYS or not self._rarely.is_due(proof):
            return  # without keys it was logged at the start
        log.warning("record.unproven", kind=proof.value, origin=str(record.position), dispatch=event.dispatch_id)
