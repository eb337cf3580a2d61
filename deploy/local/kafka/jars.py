"""The class path of Apache Kafka: downloaded once, and kept in a file.

`python -m deploy.local.kafka.jars` prints it, one jar per line.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import threading
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.kafka.errors import BrokerError, DownloadFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KAFKA_VERSION = "4.1.0"
# slf4j-simple, not a log4j binding: the parent POM of the latter pins versions, jgo lets these win, and the broker
# would run with kafka-clients 3.9.1 (tried).
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
REMEMBERED = Path(__file__).parents[3] / ".local" / "kafka-classpath"
_LOCK = Path.home() / ".m2" / "pause-notifications.lock"

_ADVICE = (
    "Use a broker that you have: PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS=host:port. Or make the download possible: "
    "set a proxy as HTTPS_PROXY, or a mirror of Maven's central repository in ~/.m2/settings.xml."
)


async def kafka_jars(on_progress: Callable[[str], object], *, remembered: Path = REMEMBERED) -> list[Path]:
    """Return the jars of a broker; raise `DownloadFailed`.

    A daemon thread does the work: a download cannot be interrupted, and must not delay Ctrl-C.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Path]] = loop.create_future()

    def settle(jars: list[Path] | None, error: BaseException | None) -> None:
        if found.cancelled():
            return
        if error is None:
            found.set_result(jars or [])
        else:
            found.set_exception(error)

    def work() -> None:
        jars, failure = None, None
        try:
            jars = find_jars(on_progress, remembered=remembered)
        except BaseException as error:  # noqa: BLE001 - raised again by `await`
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nothing awaits the result
            loop.call_soon_threadsafe(settle, jars, failure)

    threading.Thread(target=work, name="kafka-jars", daemon=True).start()
    return await found


def find_jars(on_progress: Callable[[str], object], *, remembered: Path = REMEMBERED) -> list[Path]:
    """Return the jars listed in *remembered*; without that, resolve and download them (43 MB) and write the list."""
    jars = _recall(remembered)
    if jars is not None:
        return jars
    remembered.parent.mkdir(parents=True, exist_ok=True)
    with _alone():
        jars = _recall(remembered)
        if jars is None:
            jars = _resolve(on_progress, remembered.with_suffix(".unfinished"))
            _remember(jars, remembered)
    return jars


def _recall(remembered: Path) -> list[Path] | None:
    """Return the listed jars if the list is for this version and every jar is complete."""
    if not remembered.exists():
        return None
    endpoint, *lines = remembered.read_text(errors="replace").splitlines() or [""]
    jars = [Path(line) for line in lines]
    return jars if endpoint == ENDPOINT and jars and all(map(zipfile.is_zipfile, jars)) else None


def _remember(jars: list[Path], remembered: Path) -> None:
    new = remembered.with_suffix(".new")
    new.write_text("\n".join([ENDPOINT, *map(str, jars)]) + "\n")
    new.replace(remembered)


def _resolve(on_progress: Callable[[str], object], unfinished: Path) -> list[Path]:
    from deploy.local.kafka import maven  # noqa: PLC0415 - imports jgo, which only a first start needs

    on_progress(f"Looking for Apache Kafka {KAFKA_VERSION} (43 MB, downloaded only once) ...")
    try:
        jars = maven.resolve(ENDPOINT, unfinished=unfinished, on_file=lambda name: on_progress(f"  {name}"))
    except Exception as error:
        cause = maven.without_credentials(f"{type(error).__name__}: {error}")
        raise DownloadFailed(f"Apache Kafka {KAFKA_VERSION} could not be downloaded. {cause}\n{_ADVICE}") from error
    _check(jars)
    return jars


def _check(jars: list[Path]) -> None:
    """Raise `DownloadFailed` if a jar is damaged, or if Kafka's own jars have different versions."""
    damaged = [str(jar.resolve()) for jar in jars if not zipfile.is_zipfile(jar)]
    if damaged or not jars:
        listed = ", ".join(damaged) or "there are no files"
        raise DownloadFailed(f"the download of Apache Kafka is damaged; delete these files and start again: {listed}")
    mixed = [jar.name for jar in jars if jar.name.startswith("kafka") and KAFKA_VERSION not in jar.name]
    if mixed:
        raise DownloadFailed(f"the class path mixes versions of Kafka: {', '.join(mixed)} with {KAFKA_VERSION}")


@contextmanager
def _alone() -> Iterator[None]:
    """Let only one process of this user download at a time, from whichever checkout: two would write the same files."""
    _LOCK.parent.mkdir(exist_ok=True)
    with _LOCK.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _main() -> None:
    try:
        jars = find_jars(lambda line: sys.stderr.write(f"{line}\n"))
    except BrokerError as error:
        sys.exit(str(error))
    sys.stdout.writelines(f"{jar}\n" for jar in jars)


if __name__ == "__main__":
    _main()
