"""The Docker engine: one that answers here; in CI, where none does, one that is installed and started."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker  # it ships no types
import pytest
from docker import DockerClient
from docker.errors import DockerException  # likewise

from deploy.local.child import Child
from tests.contract.installed import need, present

_START_SECONDS = 60.0
_STARTED_BY_APT_SECONDS = 3.0
_STOP_SECONDS = 20.0
_REQUEST_SECONDS = 120  # docker stop waits for a program's drain
_POLL_SECONDS = 0.2
_LOG_CHARACTERS = 3_000


class NoEngine(Exception):
    """No engine answers; the message says why."""


@contextmanager
def running_engine(folder: Path) -> Iterator[DockerClient]:
    """Yield a client of an engine; without one fail in CI, or skip, with the reason. Its log goes to *folder*."""
    try:
        client = _connected(0)
    except NoEngine as why:
        if not os.environ.get("CI"):
            pytest.skip(f"NOT RUN, no Docker engine answers: {why}")
    else:
        with closing(client):
            yield client
        return
    with _started(folder / "dockerd.log") as client:
        yield client


@contextmanager
def _started(log: Path) -> Iterator[DockerClient]:
    """Install an engine and start it, unless the installation has; stop what was started here."""
    need(lambda: present("dockerd"), "docker.io")
    engine = None
    try:
        try:
            client = _connected(_STARTED_BY_APT_SECONDS)
        except NoEngine:
            engine = Child(["dockerd"], log=log)
            client = _connected(_START_SECONDS, engine)
        with closing(client):
            yield client
    except NoEngine as why:
        assert engine is not None
        end = log.read_text(errors="replace")[-_LOG_CHARACTERS:]
        pytest.fail(f"dockerd does not answer after its start ({why}). Its log ends:\n{end}", pytrace=False)
    finally:
        if engine is not None:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(engine.stop(within=_STOP_SECONDS))


def _connected(within: float, engine: Child | None = None) -> DockerClient:
    """Return a client of an engine that answers in time; raise `NoEngine`. An *engine* that ends never will."""
    limit = time.monotonic() + within
    while True:
        try:
            return _client()
        except NoEngine:
            if time.monotonic() >= limit:
                raise
        if engine is not None and not engine.running:
            raise NoEngine(f"it has ended: {engine.end}")
        time.sleep(_POLL_SECONDS)


def _client() -> DockerClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker forgets the socket that it could not connect
        try:
            client = docker.from_env(timeout=_REQUEST_SECONDS)
            client.ping()
        except (DockerException, OSError) as error:
            why = str(error)
        else:
            return client
        gc.collect()
    raise NoEngine(why)
