"""The cache of Kafka's classes: made once, and never a reason not to start."""

from __future__ import annotations

from pathlib import Path

from deploy.local.kafka.class_cache import class_cache
from deploy.local.kafka.data import locked
from deploy.local.kafka.errors import BrokerDidNotStart

JAVA = ("java", "-cp", "kafka.jar")


def _write(cache: Path, content: str) -> None:
    cache.write_text(content)


async def _written(cache: Path) -> None:
    _write(cache, "classes")


async def _failed(cache: Path) -> None:
    _write(cache, "half")
    raise BrokerDidNotStart("no memory")


async def _option(folder: Path, java: tuple[str, ...] = JAVA) -> tuple[str, ...]:
    return await class_cache(java, folder, _written, lambda _: None)


def _files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.aot"))


async def test_a_cache_is_made_once(tmp_path: Path) -> None:
    """The second start uses what the first has made."""
    first = await _option(tmp_path)

    assert first == await class_cache(JAVA, tmp_path, _failed, lambda _: None)
    assert (f"-XX:AOTCache={tmp_path / _files(tmp_path)[0]}",) == first


async def test_other_jars_have_a_cache_of_their_own(tmp_path: Path) -> None:
    """It replaces the old one, which nobody uses any more."""
    before = await _option(tmp_path)
    after = await _option(tmp_path, ("java", "-cp", "newer.jar"))

    assert before != after
    assert 1 == len(_files(tmp_path))


async def test_a_cache_that_cannot_be_made_delays_no_start(tmp_path: Path) -> None:
    """The broker starts without one, and nothing half-written is used."""
    assert () == await class_cache(JAVA, tmp_path, _failed, lambda _: None)
    assert [] == _files(tmp_path)


async def test_nobody_waits_for_another_process_to_make_it(tmp_path: Path) -> None:
    """Brokers that start side by side would wait for one another."""
    with locked(tmp_path):
        assert () == await _option(tmp_path)

    assert () != await _option(tmp_path)
