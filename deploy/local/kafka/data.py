"""The data directory of a local cluster: who holds it, what it was made for, and how to forget it.

<data_dir>/lock               held while an instance runs; says which process
<data_dir>/cluster.json       the cluster's id and what wrote it
<data_dir>/broker-1/          a broker's records and metadata
<data_dir>/broker-1.log       its log of this run
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from deploy.local.kafka.errors import DataDirForeign, DataDirInUse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLUSTER = "cluster.json"


@dataclass(frozen=True, kw_only=True)
class ClusterIdentity:
    """What a data directory belongs to."""

    cluster_id: str
    kafka_version: str
    brokers: int


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold *data_dir* against other instances; raise `DataDirInUse`. The lock ends with this process."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            pid = lock.read().strip()
            raise DataDirInUse(
                f"{data_dir} is in use by another instance (process {pid}): stop it, or name another directory"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def identify(data_dir: Path, *, kafka_version: str, brokers: int) -> ClusterIdentity:
    """Return the identity of the cluster in *data_dir*, a new one where it is empty; raise `DataDirForeign`."""
    wanted = ClusterIdentity(cluster_id=_new_cluster_id(), kafka_version=kafka_version, brokers=brokers)
    file = data_dir / _CLUSTER
    if not file.exists():
        if any(data_dir.glob("broker-*/meta.properties")):
            raise _foreign(data_dir, "there is a broker's data that nothing says the origin of")
        file.write_text(json.dumps(asdict(wanted)) + "\n")
        return wanted
    try:
        found = ClusterIdentity(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise _foreign(data_dir, f"{_CLUSTER} cannot be read") from error
    if (found.kafka_version, found.brokers) != (kafka_version, brokers):
        raise _foreign(
            data_dir,
            f"it was written by Kafka {found.kafka_version} with {found.brokers} broker(s), "
            f"and this is {kafka_version} with {brokers}",
        )
    return found


def is_formatted(data_dir: Path, directory: str, cluster_id: str) -> bool:
    """Return whether the broker's *directory* is ready; raise `DataDirForeign` if another cluster uses it."""
    meta = data_dir / directory / "meta.properties"
    if not meta.exists():
        return False
    if f"cluster.id={cluster_id}" not in meta.read_text().splitlines():
        raise _foreign(data_dir, f"{directory} belongs to another cluster")
    return True


def forget(data_dir: Path) -> None:
    """Remove all that a cluster has written into *data_dir*, and nothing else."""
    (data_dir / _CLUSTER).unlink(missing_ok=True)
    for path in data_dir.glob("broker-*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _new_cluster_id() -> str:
    """Make an id as Kafka does: a random UUID in URL-safe base 64, none that a command line takes for an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _foreign(data_dir: Path, why: str) -> DataDirForeign:
    return DataDirForeign(f"{data_dir} cannot be used: {why}; --fresh forgets it, or name another directory")
