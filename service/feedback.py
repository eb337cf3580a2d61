"""Read from Kafka what became of a dispatch's e-mails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from runtime.clock import Clock
from runtime.feedback import FeedbackFold, Shown
from runtime.kafka.records import Place
from schemas.dispatch import Dispatch
from schemas.signatures import SigningKeys
from service.kafka_clients import Clients


@dataclass(frozen=True)
class FeedbackReader:
    """Reads the feedback of single dispatches; no facade follows that topic, since hardly anybody asks."""

    topic: str
    keys: SigningKeys
    clock: Clock
    overdue: timedelta | None

    async def read(self, clients: Clients | None, dispatch: Dispatch | None) -> Mapping[str, Shown]:
        """
        Return the feedback by contact id; ask Kafka only if SES has, or may have, an e-mail of the dispatch.

        Raise KafkaError, OSError or TimeoutError if Kafka does not answer within the deadline of the clients.
        """
        fold = None if dispatch is None else FeedbackFold(dispatch, self.keys)
        if fold is None or not fold.of_any:
            return {}
        if clients is None:
            raise TimeoutError
        place = Place(self.topic, fold.partition)
        await clients.records.read_each(place, fold.since, key=fold.key, take=fold.take)
        return fold.shown(self.clock.now(), overdue=self.overdue)
