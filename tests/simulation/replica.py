"""A real replica over simulated clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast
from unittest.mock import patch

import consumers.contacts
import consumers.delivery.dead_letter_ranges
import consumers.feedback.intake
import consumers.ledger.ledgers
import consumers.ledger.loader
from consumers.assembly import Assembly, Parts, ReplicaRules, assemble
from consumers.bounds import Bounds
from consumers.delivery.email_headers import EmailHeaders
from consumers.delivery.rules import Rules
from consumers.email import EmailSender
from consumers.feedback.queue import EventQueue
from consumers.ledger.ledgers import LedgerLimits
from consumers.metrics import Metrics
from consumers.notices.notices import Notice, Notices
from consumers.steps import Reached
from runtime.kafka.publisher import Publisher
from runtime.kafka.reader import Reader, RecordReader
from schemas.contacts import read_contact
from schemas.dispatch import parse_dispatch
from tests.signing import KEYS
from tests.simulation.coordinator import SESSION_SECONDS
from tests.simulation.kafka import PARTITIONS
from tests.simulation.loop import SimulatedClock
from tests.simulation.membership import COMMIT_DEADLINE_SECONDS, HEARTBEAT_SECONDS, SimulatedGroup
from tests.simulation.plan import Plan
from tests.simulation.producers import SOURCES, TOPICS
from tests.simulation.publishing import RECORD_DEADLINE_SECONDS
from tests.simulation.ses import SES_TIMEOUT_SECONDS

DRAIN_SECONDS = 2.5
"""All deadlines are about a tenth of the settings' defaults: a run is short, and proportions stay the same."""
MAX_ATTEMPTS = 3
RETRY_WINDOW = timedelta(seconds=60)
RECONCILE = timedelta(seconds=3)

cached_parse_dispatch = lru_cache(maxsize=4096)(parse_dispatch)


class _Null:
    """A metric that counts nothing."""

    def __getattr__(self, _name: str) -> Any:
        return self._nothing

    def _nothing(self, *_args: Any, **_labels: Any) -> _Null:
        return self


METRICS = Metrics(**{one.name: cast(Any, _Null()) for one in fields(Metrics)})


class _PlainNotices(Notices):
    """Constant notices: texts are tested elsewhere, and rendering is most of an e-mail's cost."""

    def __init__(self) -> None:
        self._notice = Notice("subject", "text", "html")

    def render(self, *_args: Any, **_keywords: Any) -> Notice:
        """Return the same notice for all."""
        return self._notice


_NOTICES = _PlainNotices()


@contextmanager
def paced() -> Iterator[None]:
    """Shorten the ranges of dead letters, and parse each record only once."""
    with (
        patch.object(consumers.delivery.dead_letter_ranges, "ONE_BY_ONE", 1),
        patch.object(consumers.delivery.dead_letter_ranges, "ONE_BY_ONE_A_SECOND", 0.0),
        patch.object(consumers.delivery.dead_letter_ranges, "LONGEST_SECONDS", 2.0),
        patch.object(consumers.feedback.intake, "POLLERS", 2),
        patch.object(consumers.contacts, "read_contact", lru_cache(maxsize=256)(read_contact)),
        patch.object(consumers.ledger.ledgers, "parse_dispatch", cached_parse_dispatch),
        patch.object(consumers.ledger.loader, "parse_dispatch", cached_parse_dispatch),
    ):
        yield


def build(  # the bootstrap's own clients, each simulated
    plan: Plan,
    clock: SimulatedClock,
    *,
    membership: SimulatedGroup,
    publisher: Publisher,
    reader: Reader,
    records: RecordReader,
    contacts_reader: Reader,
    suppressions_reader: Reader,
    controls_reader: Reader,
    sender: EmailSender,
    queue: EventQueue | None,
    reached: Reached,
    random: Any,
) -> Assembly:
    """Build a replica."""
    return assemble(
        Parts(
            rules=_rules(plan),
            topics=TOPICS,
            partitions=PARTITIONS,
            keys=KEYS,
            clock=clock,
            random=random,
            membership=membership,
            publisher=publisher,
            ledger_reader=reader,
            records=records,
            contacts_reader=contacts_reader,
            suppressions_reader=suppressions_reader,
            controls_reader=controls_reader,
            sender=sender,
            queue=queue,
            notices=_NOTICES,
            metrics=METRICS,
            reached=reached,
        )
    )


def _rules(plan: Plan) -> ReplicaRules:
    return ReplicaRules(
        bounds=Bounds(
            max_records_held=plan.records_held,
            max_bytes_held=1_000_000,
            max_span=1000,
            drain_seconds=DRAIN_SECONDS - COMMIT_DEADLINE_SECONDS,
            watchdog_seconds=12,
            commit_seconds=0.3,
            idle_seconds=0.3,
        ),
        processing=Rules(
            ses_timeout_seconds=SES_TIMEOUT_SECONDS,
            record_deadline_seconds=RECORD_DEADLINE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            backoff_base_seconds=0.1,
            backoff_max_seconds=1,
            lost_answer_policy=plan.policy,
            reconcile=RECONCILE,
            feedback_overdue_seconds=86_400,
            escalate=True,
            retry_window=RETRY_WINDOW,
            unknown_mentor_grace_seconds=0.2,
            max_age=None,
            recipients_allowed=None,
            slow_sources=frozenset({SOURCES[0]}) if plan.slow_share else frozenset(),
            recipient_emails_per_hour=200,
            email_headers=EmailHeaders("example.org"),
            reply_to_coordinator=False,
            zombie_after_seconds=SESSION_SECONDS - 2 * HEARTBEAT_SECONDS,
        ),
        max_sends_in_flight=8,
        account_rate=100,
        headroom=0,
        slow_share=plan.slow_share,
        ledger=LedgerLimits(max_entries=1000, remember=timedelta(hours=168), retry_window=RETRY_WINDOW),
    )
