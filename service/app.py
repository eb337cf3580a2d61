"""Build the facade: each client and part once, handed to the parts that need it, and closed in reverse order."""

from __future__ import annotations

import asyncio
import random as system_random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI

from runtime.clock import Clock, SystemClock
from runtime.kafka.checked_batches import bound_batches
from runtime.kafka.connection import client_arguments
from runtime.kafka.publisher import ConnectedPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.retry import trouble_with
from runtime.kafka.rights import RightsWatch
from runtime.kafka.topics import Topics
from runtime.management import Health
from runtime.process import LoopLag, StartRefused, loop_lag
from runtime.settings import ServiceSettings, env_name
from runtime.signing_keys import log_signing_keys, read_signing_keys
from schemas.signatures import SigningKeys
from service.answers import BASE_PATH
from service.api_keys import InvalidKeysFile
from service.callers import Callers
from service.dispatch_follower import DispatchFollower, OpenFeed
from service.feedback import FeedbackReader
from service.kafka_clients import Clients, Connection, connect, connect_until_it_works, needs, watch_connection
from service.key_failures import KeyFailures
from service.keys_file import KeysFile, log_api_keys, open_keys_file
from service.log_level import follow_log_level
from service.lookup import Lookup
from service.metrics import Metrics, make_metrics
from service.openapi import DESCRIPTION, complete
from service.paths import PathCheck
from service.publish_and_wait import PublishAndWait
from service.recent_dispatches import RecentDispatches
from service.request_observer import RequestObserver
from service.routes import Dependencies, add_routes
from service.unknown_fields import UnknownFields
from service.waiting_callers import WaitingCallers

_DEAD_AFTER_SECONDS = 10.0


@dataclass
class Facade:
    """A running facade: its app, and the parts that the program looks after."""

    app: FastAPI
    metrics: Metrics
    connection: Connection
    follower: DispatchFollower
    calls: PublishAndWait
    waiting: WaitingCallers
    lag: LoopLag
    rights: RightsWatch
    keys: SigningKeys
    keys_file: KeysFile | None

    def live(self) -> Health:
        """Return whether the event loop responds."""
        return Health(self.lag.seconds < _DEAD_AFTER_SECONDS, {"loop_lag_seconds": round(self.lag.seconds, 3)})

    def ready(self) -> Health:
        """Return whether the facade can take calls: Kafka answers, rights are granted, and dispatches are followed."""
        missing = [str(one) for one in self.rights.missing]
        detail: dict[str, object] = {
            "kafka_connected": self.connection.connected,
            "dispatches_followed": self.follower.positioned,
            "stopping": self.calls.stopping,
            "waiting_callers": self.waiting.count,
            "missing_rights": missing,
        }
        if self.connection.trouble.cause:
            detail["kafka_trouble"] = self.connection.trouble.cause
        connected, followed = self.connection.connected, self.follower.positioned
        return Health(connected and followed and not self.calls.stopping and not missing, detail)

    async def drain(self, *, deadline_seconds: float) -> None:
        """Refuse new calls, and let callers who wait get their answer."""
        self.calls.stopping = True
        await self.waiting.drain(deadline_seconds=deadline_seconds)


class _Api(FastAPI):
    """FastAPI, with the components and the examples of our own description."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            complete(super().openapi(), BASE_PATH)
        return super().openapi()


def create_app(parts: Dependencies, metrics: Metrics, *, clock: Clock, trust_prefix: bool) -> FastAPI:
    """Build the app from its parts; nothing connects."""
    app = _Api(
        title="Pause Notification Service",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own would export paths, queries and exceptions, with whatever a caller wrote there.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(PathCheck, trust_prefix=trust_prefix)
    app.add_middleware(RequestObserver, metrics=metrics, new_id=parts.new_id, monotonic=clock.monotonic)
    add_routes(app, parts)
    return app


@asynccontextmanager
async def facade(
    settings: ServiceSettings,
    *,
    clock: Clock | None = None,
    clients: Clients | None = None,
    open_feed: OpenFeed | None = None,
    new_id: Callable[[], UUID] = uuid4,
    random: Callable[[], float] = system_random.random,
    in_spans: Callable[[ConnectedPublisher], ConnectedPublisher] = lambda publisher: publisher,
) -> AsyncIterator[Facade]:
    """
    Build the facade, run its tasks until the context ends, and close everything in reverse order.

    The facade exists at once and is ready when Kafka answers. If tracing is on, *in_spans* wraps its publisher. The
    other arguments replace parts, in tests.

    Raises:
        StartRefused: if the API keys file cannot be used, or, once Kafka answers, if the topics are unfit.
        InvalidSettings: if the signing keys file cannot be used.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as undo:
        lag = await undo.enter_async_context(loop_lag(clock))
        built = _build(settings, lag, clock=clock, clients=clients, open_feed=open_feed, new_id=new_id, random=random)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_run_tasks(built, settings, undo, clock=clock, random=random, in_spans=in_spans))
            ]
            if built.keys_file is not None:
                running.append(tasks.create_task(built.keys_file.follow(clock), name="follow-api-keys"))
            try:
                yield built
            finally:
                for task in running:
                    task.cancel()


def _build(
    settings: ServiceSettings,
    lag: LoopLag,
    *,
    clock: Clock,
    clients: Clients | None,
    open_feed: OpenFeed | None,
    new_id: Callable[[], UUID],
    random: Callable[[], float],
) -> Facade:
    keys = read_signing_keys(settings)
    log_signing_keys(keys)
    topics, metrics = Topics(settings.namespace), make_metrics()
    connection = Connection(clients, trouble=trouble_with(settings))
    waiting = WaitingCallers(limit=settings.max_waiting_callers, limit_of_one=settings.max_waiting_of_one_caller)
    recent = RecentDispatches(limit=settings.recent_dispatches)
    calls = PublishAndWait(connection, topics, waiting, recent, keys=keys, clock=clock, metrics=metrics)
    callers = Callers(None, KeyFailures(metrics.key_failures, clock.monotonic))
    keys_file = _open_keys_file(settings, callers, metrics)
    log_api_keys(callers, keys)
    feedback = FeedbackReader(topics.feedback, keys, clock, settings.feedback_overdue)
    parts = Dependencies(
        calls=calls,
        lookup=Lookup(connection, topics, recent, keys, feedback),
        callers=callers,
        unknown_fields=UnknownFields(metrics.unknown_fields),
        new_id=new_id,
        reply_timeout_seconds=settings.reply_timeout_seconds,
    )

    feed = open_feed or (lambda: Reader(client_arguments(settings)))
    follower = DispatchFollower(topics.dispatches, feed, waiting, recent, clock=clock, random=random, metrics=metrics)
    app = create_app(parts, metrics, clock=clock, trust_prefix=settings.trust_forwarded_prefix)
    rights = RightsWatch(partial(client_arguments, settings), needs(topics), clock, metrics.missing_rights)
    built = Facade(app, metrics, connection, follower, calls, waiting, lag, rights, keys, keys_file)
    metrics.kafka_connected.set_function(lambda: connection.connected)
    metrics.ready.set_function(lambda: built.ready().ok)
    return built


def _open_keys_file(settings: ServiceSettings, callers: Callers, metrics: Metrics) -> KeysFile | None:
    """Read the API keys file, if the settings name one: then only callers with a key are let in."""
    if settings.api_keys_file is None:
        return None
    try:
        return open_keys_file(
            settings.api_keys_file, callers, reloads=metrics.keys_reloads, outdated=metrics.keys_outdated
        )
    except (InvalidKeysFile, OSError) as error:
        raise StartRefused(
            f"{env_name('api_keys_file')} is {settings.api_keys_file}, which cannot be used: {error}."
        ) from error


async def _run_tasks(
    built: Facade,
    settings: ServiceSettings,
    undo: AsyncExitStack,
    *,
    clock: Clock,
    random: Callable[[], float],
    in_spans: Callable[[ConnectedPublisher], ConnectedPublisher],
) -> None:
    """Connect, then follow the dispatches and watch Kafka, until cancelled."""
    bound_batches(settings.max_batch_bytes)
    topics = Topics(settings.namespace)

    async def try_once() -> Clients:
        deadline = settings.publish_deadline_seconds
        found = await connect(client_arguments(settings), topics, undo, publish_deadline_seconds=deadline)
        return replace(found, publisher=in_spans(found.publisher))

    without_brokers = built.connection.clients is not None  # the clients were given, in a test
    await connect_until_it_works(try_once, built.connection, clock=clock, random=random)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_connection(built.connection, topics, clock=clock), name="ask-kafka")
        tasks.create_task(built.follower.run(), name="follow-dispatches")
        if not without_brokers:
            tasks.create_task(built.rights.run(), name="watch-rights")
            tasks.create_task(follow_log_level(settings, built.keys, clock), name="follow-log-level")


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the REST contract; nothing connects."""
    clock = SystemClock()
    built = _build(
        ServiceSettings(),
        LoopLag(clock),
        clock=clock,
        clients=None,
        open_feed=None,
        new_id=uuid4,
        random=system_random.random,
    )
    return built.app.openapi()
