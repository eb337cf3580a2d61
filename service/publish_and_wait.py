"""Process a REST call: register the caller, publish the event, and wait for its dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from starlette.types import Receive

from runtime.clock import Clock
from runtime.kafka.publisher import NotPublished, Published, PublishUnknown
from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dispatch import Dispatch, Origin
from schemas.events import Event
from schemas.placement import partition_for
from schemas.signatures import SigningKeys
from service.answers import Answer, final_answer, pending_answer, settled
from service.callers import Caller
from service.hang_up import on_hang_up
from service.idempotency_key import format_key
from service.kafka_clients import Clients, Connection
from service.metrics import Metrics
from service.prefer_header import Wait
from service.problems import (
    NOT_PUBLISHED,
    PUBLISH_UNKNOWN,
    STOPPING,
    TOO_MANY_CALLERS,
    TOO_MANY_OF_ONE_CALLER,
    Problem,
    ProblemType,
)
from service.recent_dispatches import RecentDispatches
from service.trace import Trace
from service.waiting_callers import TooManyOfOneCaller, TooManyWaiting, WaitingCaller, WaitingCallers

log = structlog.get_logger(__name__)

RETRY_AFTER = {"Retry-After": "1"}


@dataclass(frozen=True)
class Call:
    """One valid REST call."""

    event: Event
    key: str
    """The caller's Idempotency-Key, or the one that the facade made."""
    keyless: bool
    caller: Caller
    wait: Wait
    trace: Trace


class PublishAndWait:
    """Answers calls. After a durable publish the answer is a 5xx only if the dispatch itself ended so."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        waiting: WaitingCallers,
        recent: RecentDispatches,
        *,
        keys: SigningKeys,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._waiting = waiting
        self._recent = recent
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        metrics.waiting.set_function(lambda: waiting.count)
        self.stopping = False

    def check_open(self) -> None:
        """Raise Problem if this facade no longer takes calls."""
        if self.stopping:
            raise Problem(STOPPING, "This facade is stopping.", headers={**RETRY_AFTER, "Connection": "close"})

    async def answer(self, call: Call, receive: Receive) -> Answer | Problem:
        """
        Publish the event of *call* and return the answer; raise Problem if the event is not durable.

        If the caller hangs up, which *receive* reports, the publish still goes on, and the wait after it ends.
        """
        deadline = self._clock.monotonic() + call.wait.seconds
        try:
            with self._waiting.register(call.event.dispatch_id, caller=call.caller.share) as waiter:
                async with on_hang_up(receive, lambda: self._hung_up(call, waiter)):
                    published = await self._publish(call, waiter)
                    return await self._outcome(call, waiter, published, deadline)
        except TooManyOfOneCaller:
            raise _refusal(TOO_MANY_OF_ONE_CALLER, "Too many calls of this caller are waiting.", call) from None
        except TooManyWaiting:
            raise _refusal(TOO_MANY_CALLERS, "Too many callers are waiting.", call) from None

    def _hung_up(self, call: Call, waiter: WaitingCaller) -> None:
        self._metrics.callers_gone.inc()
        log.info("call.caller.gone", dispatch_id=call.event.dispatch_id)
        waiter.stop_waiting()

    async def _outcome(
        self, call: Call, waiter: WaitingCaller, published: Published, deadline: float
    ) -> Answer | Problem:
        event, request_id = call.event, call.trace.request_id
        known: Dispatch | None = None
        try:
            self._recent.add_call(event, published, caller=call.caller.name)
            ended = await waiter.until(
                lambda dispatch: settled(dispatch, event, published),
                deadline_seconds=max(deadline - self._clock.monotonic(), 0),
            )
            if ended is not None:
                return final_answer(event, ended, request_id=request_id)
            known = waiter.since or self._seen_recently(event)
        except Exception:  # the event is durable: an error of ours must not look like a refusal
            log.exception("call.wait.failed", dispatch_id=event.dispatch_id)
        return pending_answer(event, known, published, request_id=request_id)

    def _seen_recently(self, event: Event) -> Dispatch | None:
        known = self._recent.get(event.dispatch_id)
        return known.dispatch if known is not None else None

    async def _publish(self, call: Call, waiter: WaitingCaller) -> Published:
        clients = self._connection.clients
        if clients is None:
            self._metrics.publishes.labels("not_published").inc()
            raise _not_published(call)
        began = self._clock.monotonic()
        try:
            published = await self._send(clients, call)
        except NotPublished as error:
            self._count_failure("not_published", call, error)
            raise _not_published(call) from error
        except PublishUnknown as error:
            self._count_failure("unknown", call, error)
            if waiter.since is None:
                raise _publish_unknown(call) from error
            return _published_at(waiter.since.origin)  # a replica has read it: it is durable after all
        self._metrics.publishes.labels("published").inc()
        self._metrics.publish_seconds.observe(self._clock.monotonic() - began)
        return published

    async def _send(self, clients: Clients, call: Call) -> Published:
        record = encode_binary(call.event)
        topic = self._topics.named(record.topic)
        return await clients.publisher.publish(
            topic,
            partition_for(call.event.mentor_id, clients.partitions),
            key=record.key,
            value=record.value,
            headers=self._keys.signed(topic, record.key, record.value, [*record.headers, *_headers(call)]),
        )

    def _count_failure(self, result: str, call: Call, error: Exception) -> None:
        self._metrics.publishes.labels(result).inc()
        log.warning("event.publish.failed", result=result, dispatch_id=call.event.dispatch_id, error=str(error))


def _headers(call: Call) -> list[tuple[str, bytes]]:
    found = {
        names.REQUEST_ID: call.trace.request_id,
        names.CALLER: call.caller.name,
        names.WAITS_MS: str(int(call.wait.seconds * 1000)),
        names.TRACE_PARENT: call.trace.parent,
        **({names.KEYLESS: "1"} if call.keyless else {}),
    }
    return [(name, text.encode()) for name, text in found.items()]


def _not_published(call: Call) -> Problem:
    return _refusal(NOT_PUBLISHED, "Kafka did not accept the event: nothing will come of it.", call)


def _publish_unknown(call: Call) -> Problem:
    detail = "Kafka did not say whether it accepted the event. Repeat the call with the Idempotency-Key of this answer."
    return _refusal(PUBLISH_UNKNOWN, detail, call, {"Idempotency-Key": format_key(call.key)})


def _refusal(kind: ProblemType, detail: str, call: Call, headers: Mapping[str, str] | None = None) -> Problem:
    dispatch_id = call.event.dispatch_id
    named = {**RETRY_AFTER, "Dispatch-Id": dispatch_id, **(headers or {})}
    return Problem(kind, detail, headers=named, dispatch_id=dispatch_id)


def _published_at(origin: Origin) -> Published:
    return Published(origin.topic, origin.partition, origin.offset, origin.appended_at)
