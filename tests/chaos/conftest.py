"""Run the short forms of scenarios in a thread beside all other tests, since they mostly wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.chaos.cluster import SharedCluster, shared_cluster
from tests.chaos.scenario import Result, Scenario, play
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.side_by_side import Played, side_by_side
from tests.kafka import embedded, or_explain
from tests.sqs import local_sqs

_SEED = 1
_AT_ONCE = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that wait for scenarios last: the scenarios start with the first test and run beside all others."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Sort in the order in which scenarios end: faults in brokers come last."""
    name = _scenario(item)
    if name is not None:
        return 2 if SCENARIOS[name].alone else 1
    return 3 if "one_broker" in getattr(item, "fixturenames", ()) else 0


@pytest.fixture(scope="session", autouse=True)
def _begun(request: pytest.FixtureRequest) -> None:
    """Start the scenarios before the first test in this folder."""
    if any(map(_scenario, request.session.items)):
        with suppress(pytest.skip.Exception, pytest.fail.Exception):  # each test that asks for them reports it
            request.getfixturevalue("played")


@pytest.fixture(scope="session", name="one_broker")
def _one_broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedCluster]:
    """Yield a broker without faults, outside any test's event loop."""
    directory = tmp_path_factory.mktemp("chaos")
    broker = or_explain(pytestconfig, embedded(directory / "kafka", second_doors=True, patient=True))
    with local_sqs(directory) as sqs, broker as cluster:
        yield SharedCluster(directory, cluster, _to_nobody, sqs)


@pytest.fixture(scope="session", name="played")
def _played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_broker: SharedCluster
) -> Iterator[Played]:
    """Play the scenarios that this run's tests need, in a thread with its own loop; each test waits for its own."""
    wanted = [SCENARIOS[name] for item in request.session.items if (name := _scenario(item)) is not None]
    played = {scenario.name: Future[Result]() for scenario in wanted}
    for future in played.values():
        future.set_running_or_notify_cancel()  # a test that waits no longer must not end it
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        playing = loop.create_task(_all(one_broker, tmp_path_factory.mktemp("chaos"), wanted, played))
        thread = Thread(target=loop.run_until_complete, args=(asyncio.wait({playing}),), name="chaos")
        thread.start()
        try:
            yield played
        finally:
            loop.call_soon_threadsafe(playing.cancel)
            thread.join()


def _scenario(item: pytest.Item) -> str | None:
    """Return the name of the scenario that a test needs."""
    if "played" not in getattr(item, "fixturenames", ()):
        return None
    name: str | None = item.callspec.params.get("scenario") if hasattr(item, "callspec") else None
    return name


async def _all(one_broker: SharedCluster, directory: Path, scenarios: list[Scenario], played: Played) -> None:
    """Play scenarios without broker faults on one broker, and the others on three of their own."""
    gentle = [scenario for scenario in scenarios if not scenario.alone]
    harmful = [scenario for scenario in scenarios if scenario.alone]
    try:
        await side_by_side(gentle, _noting(one_broker, played), most=_AT_ONCE)
        if harmful:
            async with shared_cluster(directory, _to_nobody, quick_start=True) as three_brokers:
                await side_by_side(harmful, _noting(three_brokers, played), most=1)
    except BaseException as error:
        for future in played.values():
            if not future.done():
                future.set_exception(error)
        raise


def _noting(where: SharedCluster, played: Played) -> Callable[[Scenario], Awaitable[None]]:
    async def one(scenario: Scenario) -> None:
        played[scenario.name].set_result(await play(where, scenario, _SEED, full=False))

    return one


def _to_nobody(_line: str) -> None:
    """Show no progress: pytest does."""
