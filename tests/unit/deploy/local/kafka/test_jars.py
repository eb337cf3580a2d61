from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING

import pytest

from deploy.local.kafka import jars, maven
from deploy.local.kafka.errors import DownloadFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JAR = f"kafka-clients-{jars.KAFKA_VERSION}.jar"


def a_jar(directory: Path, name: str = JAR) -> Path:
    """Create a small complete jar."""
    with zipfile.ZipFile(directory / name, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "")
    return directory / name


@pytest.fixture(name="resolved")
def _resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Return the resolved list; each call of resolve adds a line to the file `resolutions`."""
    jars = [a_jar(tmp_path)]

    def resolve(_endpoint: str, *, unfinished: Path, on_file: Callable[[str], object]) -> list[Path]:
        on_file("a.jar")
        with (unfinished.parent / "resolutions").open("a") as counted:
            counted.write("once\n")
        return jars

    monkeypatch.setattr(maven, "resolve", resolve)
    return jars


def resolutions(directory: Path) -> int:
    """Count how often the jars were resolved."""
    return len((directory / "resolutions").read_text().splitlines())


async def test_a_second_start_does_not_resolve_again(tmp_path: Path, resolved: list[Path]) -> None:
    """The stored class path is used while all its files are complete."""
    told: list[str] = []

    first = await jars.kafka_jars(told.append, remembered=tmp_path / "classpath")
    second = await jars.kafka_jars(told.append, remembered=tmp_path / "classpath")

    assert (resolved, resolved, 1, 2) == (first, second, resolutions(tmp_path), len(told))


def test_two_checkouts_do_not_download_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All checkouts of a user share the files: one that finds them half written would remember too few."""
    met, both = [], Barrier(2)

    def resolve(*_: object, **__: object) -> list[Path]:
        with suppress(BrokenBarrierError):
            both.wait(timeout=0.2)
            met.append("both at once")
        return [a_jar(tmp_path)]

    monkeypatch.setattr(maven, "resolve", resolve)
    with ThreadPoolExecutor() as threads:
        checkouts = [tmp_path / name / "classpath" for name in ("one", "other")]
        found = list(threads.map(lambda where: jars.find_jars(lambda _: None, remembered=where), checkouts))

    assert [[tmp_path / JAR]] * 2 == found
    assert [] == met


@pytest.mark.parametrize("damage", ["missing", "cut", "other version"])
def test_an_outdated_list_is_resolved_again(tmp_path: Path, resolved: list[Path], damage: str) -> None:
    """A stored class path with a missing or cut off file, or of another version, is not used."""
    remembered = tmp_path / "classpath"
    jars.find_jars(lambda _: None, remembered=remembered)
    if damage == "other version":
        remembered.write_text(remembered.read_text().replace(jars.KAFKA_VERSION, "3.0.0", 1))
    elif damage == "cut":
        resolved[0].write_bytes(resolved[0].read_bytes()[:10])
    else:
        resolved[0].unlink()
    resolved[:] = [a_jar(tmp_path, f"kafka-again-{jars.KAFKA_VERSION}.jar")]

    assert resolved == jars.find_jars(lambda _: None, remembered=remembered)


@pytest.mark.parametrize(
    ("name", "size", "complaint"),
    [
        pytest.param(JAR, 10, "damaged", id="cut"),
        pytest.param("kafka-clients-3.9.1.jar", None, "mixes versions of Kafka: kafka-clients-3.9.1.jar", id="mixed"),
    ],
)
def test_a_bad_download_is_refused(
    tmp_path: Path, resolved: list[Path], name: str, size: int | None, complaint: str
) -> None:
    """A class path with a damaged jar, or with two versions of Kafka, is refused and not stored."""
    resolved[:] = [a_jar(tmp_path, name)]
    resolved[0].write_bytes(resolved[0].read_bytes()[:size])

    with pytest.raises(DownloadFailed, match=complaint):
        jars.find_jars(lambda _: None, remembered=tmp_path / "classpath")

    assert not (tmp_path / "classpath").exists()


async def test_a_failed_download_has_cause_and_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the cause without credentials, and says that another broker can be used."""

    def resolve(*_: object, **__: object) -> list[Path]:
        raise ConnectionError("no route to https://me:secret@mirror.example/a.pom")

    monkeypatch.setattr(maven, "resolve", resolve)

    with pytest.raises(DownloadFailed) as failure:
        await jars.kafka_jars(lambda _: None, remembered=tmp_path / "classpath")

    said = str(failure.value)
    assert (True, True, False) == (
        "https://***@mirror.example/a.pom" in said,
        "PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS" in said,
        "secret" in said,
    )
