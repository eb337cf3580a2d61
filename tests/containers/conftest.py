"""One engine, one set of images and one network for all tests of the image."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker import DockerClient  # it ships no types

from tests.containers.engine import running_engine
from tests.containers.images import Images, images
from tests.containers.network import Network, open_network


@pytest.fixture(scope="session", name="engine")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerClient]:
    with running_engine(tmp_path_factory.mktemp("engine")) as client:
        yield client


@pytest.fixture(scope="session", name="built")
def _built(engine: DockerClient) -> Images:
    return images(engine)


@pytest.fixture(scope="session", name="network")
def _network(engine: DockerClient, built: Images) -> Iterator[Network]:
    with open_network(engine, built) as network:
        yield network
