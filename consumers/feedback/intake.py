"""
The intake: takes SES's events from the queue, and writes what they say of our e-mails to the topic of feedback.

A message is deleted only after its records are acknowledged, so each is written at least once. What cannot be read, or
is not about our e-mails, stays on the queue and comes again, until the queue's redrive policy moves it. That policy
must not move sound messages while Kafka is away: so nothing is received then, and what could not be written is hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from consumers.feedback.messages import AllowList, Done, Left, Reports, read_message
from consumers.feedback.queue import MOST_MESSAGES, VISIBILITY_SECONDS, EventQueue, Message, QueueUnavailable
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.publisher import Publisher, PublishError
from runtime.rarely import Rarely
from schemas.feedback import Feedback, feedback_json
from schemas.headers import TRACE_PARENT, Headers
from schemas.signatures import SigningKeys

log = structlog.get_logger(__name__)

POLLERS = 4
"""One waits for messages; the others help while it finds more than it can take at once."""
_CONNECTED_AGAIN_SECONDS = 0.5
_BACKOFF_BASE_SECONDS = 0.5
_BACKOFF_MAX_SECONDS = 30.0
_MOST_RECEIVES = 10
"""A message received more often than this is on a queue without a redrive policy."""
_HIDE_SECONDS = 12 * 3600
_NOT_WRITTEN_SECONDS = (VISIBILITY_SECONDS, VISIBILITY_SECONDS**2, VISIBILITY_SECONDS**3, _HIDE_SECONDS)
"""How long a message is hidden that could not be written, by how often it was received."""


@dataclass
class FeedbackIntake:
    """Moves feedback from the queue to its topic. Any number of replicas do so side by side."""

    queue: EventQueue
    publisher: Publisher
    topic: str
    allowed: AllowList
    keys: SigningKeys
    clock: Clock
    metrics: Metrics
    random: Callable[[], float]
    read_account: Callable[[], Awaitable[None]]
    """Called if SES says that the account's sending was enabled or disabled: the account itself is asked."""
    connected: Callable[[], bool]
    """Whether a broker is connected."""
    reached: Reached
    _rarely: Rarely = field(init=False)
    _busy: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._rarely = Rarely(self.clock)

    async def run(self) -> None:
        """Take messages until cancelled."""
        always = asyncio.Event()
        always.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(when=always))
            for _ in range(POLLERS - 1):
                tasks.create_task(self._poll(when=self._busy))

    async def _poll(self, *, when: asyncio.Event) -> None:
        failures = 0
        while True:
            await when.wait()
            while not self.connected():
                await self.clock.sleep(_CONNECTED_AGAIN_SECONDS)
            try:
                messages = await self.queue.receive()
                if len(messages) == MOST_MESSAGES:
                    self._busy.set()
                else:
                    self._busy.clear()
                await self.take(messages)
            except QueueUnavailable as error:
                failures += 1
                self.metrics.feedback_queue_errors.inc()
                log.warning("feedback.queue.unavailable", error=str(error))
                await self.clock.sleep(self._pause(failures))
            else:
                failures = 0

    def _pause(self, failures: int) -> float:
        return backoff_seconds(failures, base=_BACKOFF_BASE_SECONDS, ceiling=_BACKOFF_MAX_SECONDS, random=self.random)

    async def take(self, messages: Sequence[Message]) -> None:
        """Write what messages say, then delete those that are done. Raise QueueUnavailable."""
        self.metrics.feedback_lag_seconds.set(max((one.waited_seconds for one in messages), default=0.0))
        if not messages:
            return
        done = await asyncio.gather(*(self._is_done(message) for message in messages))
        finished = [message for message, is_done in zip(messages, done, strict=True) if is_done]
        self.reached(Step.FEEDBACK_RECORDED, "")
        if finished and (failed := await self.queue.delete(finished)):
            log.warning("feedback.not_deleted", messages=failed)

    async def _is_done(self, message: Message) -> bool:
        """Return whether a message may be deleted: it says nothing of our e-mails, or what it says is durable."""
        match read_message(message.body, self.allowed, self.clock.now()):
            case Reports(partition, reports, trace_parent):
                headers = [] if trace_parent is None else [(TRACE_PARENT, trace_parent.encode())]
                if all(await asyncio.gather(*(self._write(partition, one, headers) for one in reports))):
                    return True
                # Soon at first, since a lost answer may wait for it; then ever later, since a message has few receives.
                times = min(max(message.receives, 1), len(_NOT_WRITTEN_SECONDS))
                await self.queue.hide(message, _NOT_WRITTEN_SECONDS[times - 1])
                return False
            case Left() as left:
                await self._leave(message, left)
                return False
            case Done() as done:
                self.metrics.feedback_messages.labels(kind=done).inc()
                if done is Done.SENDING_STATUS:
                    await self.read_account()
                return True

    async def _write(self, partition: int, feedback: Feedback, headers: Headers) -> bool:
        key, value = feedback.dispatch_id.encode(), feedback_json(feedback)
        headers = self.keys.signed(self.topic, key, value, headers)
        try:
            await self.publisher.publish(self.topic, partition, key=key, value=value, headers=headers)
        except PublishError as error:
            log.warning("feedback.not_durable", dispatch=feedback.dispatch_id, error=type(error).__name__)
            return False
        self.metrics.feedback_messages.labels(kind=feedback.kind).inc()
        return True

    async def _leave(self, message: Message, left: Left) -> None:
        self.metrics.feedback_messages.labels(kind=left).inc()
        if self._rarely.is_due(left):
            log.warning("feedback.left_on_queue", kind=left.value, message=message.id[:64], receives=message.receives)
        if message.receives > _MOST_RECEIVES:
            log.error("feedback.no_redrive", message=message.id[:64], hidden_seconds=_HIDE_SECONDS)
            await self.queue.hide(message, _HIDE_SECONDS)
