"""The scenarios' short forms, played in a thread beside all other tests: most of their time is waiting."""

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

_SEED = 1
_AT_ONCE = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the end what waits for scenarios: they begin with the first test in here and go on beside all others."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Sort in the order in which scenarios end: what harms brokers comes last."""
    name = _scenario(item)
    if name is not None:
        return 2 if SCENARIOS[name].alone else 1
    return 3 if "one_broker" in getattr(item, "fixturenames", ()) else 0


@pytest.fixture(scope="session", autouse=True)
def _begun(request: pytest.FixtureRequest) -> None:
    """Begin to play the scenarios before the first test in here."""
    if any(map(_scenario, request.session.items)):
        with suppress(pytest.skip.Exception, pytest.fail.Exception):  # whose test asks for them is told
            request.getfixturevalue("played")


@pytest.fixture(scope="session", name="one_broker")
def _one_broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedCluster]:
    """Return a broker that nobody harms; it belongs to no test's event loop."""
    directory = tmp_path_factory.mktemp("chaos")
    with or_explain(pytestconfig, embedded(directory / "kafka", second_doors=True)) as cluster:
        yield SharedCluster(directory, cluster, tell=_to_nobody)


@pytest.fixture(scope="session", name="played")
def _played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_broker: SharedCluster
) -> Iterator[Played]:
    """Play all scenarios that tests of this run ask for, in a thread with a loop of its own; tests wait for theirs."""
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
    """Return the scenario that a test asks for."""
    if "played" not in getattr(item, "fixturenames", ()):
        return None
    name: str | None = item.callspec.params.get("scenario") if hasattr(item, "callspec") else None
    return name


async def _all(one_broker: SharedCluster, directory: Path, scenarios: list[Scenario], played: Played) -> None:
    """Play on one broker what leaves brokers alone, and on three of their own what harms them."""
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
    """Tell nobody what goes on: pytest does."""
