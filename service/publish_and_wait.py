"""Sees a REST call through: registers who waits, publishes the event, and waits for its dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from starlette.types import Receive

from runtime.clock import Clock
from runtime.kafka.publisher import NotPublished, Published, PublishUnknown
from runtime.kafka.topics import Topics, partition_for
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dispatch import Dispatch, Origin
from schemas.events import Event
from schemas.signatures import SigningKeys
from service.answers import Answer, final_answer, pending_answer, settled
from service.callers import Caller
from service.hang_up import on_hang_up
from service.identity import format_key
from service.kafka_clients import Clients, Connection
from service.metrics import Metrics
from service.preferences import Wait
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
from service.waiting import TooManyOfOneCaller, TooManyWaiting, Waiter, Waiting

log = structlog.get_logger(__name__)

RETRY_AFTER = {"Retry-After": "1"}


@dataclass(frozen=True)
class Call:
    """One REST call that was found good."""

    event: Event
    key: str
    """The caller's Idempotency-Key, or the one made up for it."""
    keyless: bool
    caller: Caller
    wait: Wait
    trace: Trace


class PublishAndWait:
    """Answers calls about events; after a durable publish never with a 5xx but for a dispatch that ended so."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        waiting: Waiting,
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
        """Raise Problem where this facade takes no calls any more."""
        if self.stopping:
            raise Problem(STOPPING, "This facade is stopping.", headers={**RETRY_AFTER, "Connection": "close"})

    async def answer(self, call: Call, receive: Receive) -> Answer | Problem:
        """
        Publish the event of *call* and return the answer; raise Problem if the event is not durable.

        A caller who hangs up, which *receive* tells, does not stop the publish, and waits no longer after it.
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

    def _hung_up(self, call: Call, waiter: Waiter) -> None:
        self._metrics.callers_gone.inc()
        log.info("call.caller.gone", dispatch_id=call.event.dispatch_id)
        waiter.give_up()

    async def _outcome(self, call: Call, waiter: Waiter, published: Published, deadline: float) -> Answer | Problem:
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
            known = waiter.since or self._lately_seen(event)
        except Exception:  # the event is durable: an error of ours must not read as "it was not taken"
            log.exception("call.wait.failed", dispatch_id=event.dispatch_id)
        return pending_answer(event, known, published, request_id=request_id)

    def _lately_seen(self, event: Event) -> Dispatch | None:
        seen = self._recent.get(event.dispatch_id)
        return seen.dispatch if seen is not None else None

    async def _publish(self, call: Call, waiter: Waiter) -> Published:
        clients = self._connection.clients
        if clients is None:
            self._metrics.publishes.labels("not_published").inc()
            raise _not_published(call)
        began = self._clock.monotonic()
        try:
            published = await self._hand_over(clients, call)
        except NotPublished as error:
            self._failed("not_published", call, error)
            raise _not_published(call) from error
        except PublishUnknown as error:
            self._failed("unknown", call, error)
            if waiter.since is None:
                raise _publish_unknown(call) from error
            return _published_at(waiter.since.origin)  # a replica has taken it: it is durable after all
        self._metrics.publishes.labels("published").inc()
        self._metrics.publish_seconds.observe(self._clock.monotonic() - began)
        return published

    async def _hand_over(self, clients: Clients, call: Call) -> Published:
        record = encode_binary(call.event)
        topic = self._topics.named(record.topic)
        return await clients.publisher.publish(
            topic,
            partition_for(call.event.mentor_id, clients.partitions),
            key=record.key,
            value=record.value,
            headers=self._keys.signed(topic, record.key, record.value, [*record.headers, *_headers(call)]),
        )

    def _failed(self, result: str, call: Call, error: Exception) -> None:
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
    return _refusal(NOT_PUBLISHED, "Kafka did not take the event; nothing comes of it.", call)


def _publish_unknown(call: Call) -> Problem:
    detail = "Kafka did not say whether it took the event. Repeat the call with the Idempotency-Key of this answer."
    return _refusal(PUBLISH_UNKNOWN, detail, call, {"Idempotency-Key": format_key(call.key)})


def _refusal(kind: ProblemType, detail: str, call: Call, headers: Mapping[str, str] | None = None) -> Problem:
    dispatch_id = call.event.dispatch_id
    named = {**RETRY_AFTER, "Dispatch-Id": dispatch_id, **(headers or {})}
    return Problem(kind, detail, headers=named, dispatch_id=dispatch_id)


def _published_at(origin: Origin) -> Published:
    return Published(origin.topic, origin.partition, origin.offset, origin.appended_at)
