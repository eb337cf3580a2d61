"""The broker for the tests: an existing one, one in a container, or an embedded one.

PAUSE_NOTIFICATIONS_TEST_KAFKA_BOOTSTRAP=host:port   an existing broker
PAUSE_NOTIFICATIONS_TEST_KAFKA=container|embedded    that kind, or fail with the reason
PAUSE_NOTIFICATIONS_TEST_KAFKA_IMAGE=name:tag        the container's image

With none of them the tests use a container if a Docker engine answers and has the image, else the embedded broker.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from deploy.local.kafka.cluster import BrokerError, Cluster, Secured, embedded_kafka
from deploy.local.kafka.readiness import until_ready
from tests import kafka_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

T = TypeVar("T")

KIND = "PAUSE_NOTIFICATIONS_TEST_KAFKA"
BOOTSTRAP = "PAUSE_NOTIFICATIONS_TEST_KAFKA_BOOTSTRAP"
IMAGE = "PAUSE_NOTIFICATIONS_TEST_KAFKA_IMAGE"
DEFAULT_IMAGE = "apache/kafka:4.1.0"

_GIVEN_SECONDS = 10.0

_RAN_ON = pytest.StashKey[str]()
_MISSING = pytest.StashKey[str]()
_NOTED = {"kafka ran on": _RAN_ON, "kafka is missing": _MISSING}
"""What a worker of pytest-xdist reports to the process that prints the summary."""


@dataclass(frozen=True)
class Kafka:
    """A broker for tests: its address, and what it runs in."""

    bootstrap_servers: str
    runs_in: str


class NoKafkaError(RuntimeError):
    """There is no broker to test with; the message says why."""


@pytest.fixture(scope="session", name="kafka")
def _kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Return a real broker for the whole session; each test keeps to its `namespace`.

    It belongs to no test's event loop. Without a broker the test is skipped, or fails if CI or a setting asks for one.
    """
    began = time.monotonic()
    with or_explain(pytestconfig, broker(os.environ, tmp_path_factory)) as kafka:
        _note(pytestconfig, "kafka ran on", f"{kafka.runs_in}, ready after {time.monotonic() - began:.1f} s")
        yield kafka


@pytest.fixture(name="namespace")
def _namespace() -> str:
    """Return a prefix that no other test has, for topics and groups."""
    return f"t-{secrets.token_hex(4)}"


def choose(environ: Mapping[str, str], container_trouble: Callable[[], str | None]) -> str:
    """Return the kind to use: given, container or embedded; raise `NoKafkaError` if it is not available."""
    wanted = environ.get(KIND, "")
    if wanted not in ("", "container", "embedded"):
        raise NoKafkaError(f"{KIND} is {wanted!r}; container and embedded are allowed")
    if environ.get(BOOTSTRAP):
        return "given"
    if wanted == "embedded":
        return "embedded"
    trouble = container_trouble()
    if wanted == "container" and trouble is not None:
        raise NoKafkaError(f"{KIND}=container, but {trouble}")
    return "container" if trouble is None else "embedded"


@contextmanager
def broker(environ: Mapping[str, str], directories: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Run the broker that *environ* asks for; raise `NoKafkaError` or `BrokerError`."""
    image = environ.get(IMAGE) or DEFAULT_IMAGE
    kind = choose(environ, lambda: kafka_container.trouble(image))
    if kind == "given":
        yield given(environ[BOOTSTRAP])
    elif kind == "container":
        with kafka_container.running(image) as address:
            yield Kafka(address, f"a container of {image}")
    else:
        with embedded(directories.mktemp("kafka"), patient=True) as cluster:
            yield Kafka(cluster.bootstrap_servers, "an embedded broker")


def given(bootstrap_servers: str) -> Kafka:
    """Return the existing broker; raise `NoKafkaError` if it does not answer."""
    first = bootstrap_servers.split(",", maxsplit=1)[0]
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        if not runner.run(until_ready(first, set(), within=_GIVEN_SECONDS)):
            raise NoKafkaError(f"{BOOTSTRAP}={bootstrap_servers}, but no Kafka answers at {first}")
    return Kafka(bootstrap_servers, f"the broker given at {bootstrap_servers}")


@contextmanager
def embedded(
    data_dir: Path,
    *,
    brokers: int = 1,
    second_doors: bool = False,
    secured: Secured | None = None,
    patient: bool = False,
) -> Iterator[Cluster]:
    """Run embedded brokers from outside any event loop."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        running = embedded_kafka(data_dir, brokers=brokers, second_doors=second_doors, secured=secured, patient=patient)
        cluster = runner.run(running.__aenter__())
        try:
            yield cluster
        finally:
            runner.run(running.__aexit__(None, None, None))


@contextmanager
def or_explain(config: pytest.Config, running: AbstractContextManager[T]) -> Iterator[T]:
    """Run brokers for tests; without them skip the test, or fail it if CI or a setting asks for brokers."""
    with ExitStack() as undo:
        try:
            kafka = undo.enter_context(running)
        except (BrokerError, NoKafkaError) as error:
            missing = str(error)
        else:
            yield kafka
            return
    without_kafka(config, missing)


def without_kafka(config: pytest.Config, missing: str) -> NoReturn:
    """Skip a test without brokers, or fail it if CI or a setting asks for them; *missing* says why there are none."""
    _note(config, "kafka is missing", missing)
    if os.environ.get("CI") or os.environ.get(KIND) or os.environ.get(BOOTSTRAP):
        pytest.fail(f"no Kafka to test with: {missing}", pytrace=False)
    pytest.skip(f"NO KAFKA TO TEST WITH: {missing}")


def _note(config: pytest.Config, what: str, text: str) -> None:
    config.stash[_NOTED[what]] = text
    if hasattr(config, "workeroutput"):
        config.workeroutput[what] = text


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the notes of a worker."""
    for what, text in getattr(node, "workeroutput", {}).items():
        if what in _NOTED:
            node.config.stash[_NOTED[what]] = text


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which broker the tests used, or that there was none."""
    if ran_on := config.stash.get(_RAN_ON, None):
        terminalreporter.write_line(f"Kafka: {ran_on}")
    if missing := config.stash.get(_MISSING, None):
        terminalreporter.write_sep("!", "WITHOUT KAFKA: the tests that need it did not run", red=True)
        terminalreporter.write_line(missing)
        terminalreporter.write_line(f"To test with an existing broker: {BOOTSTRAP}=host:port")
