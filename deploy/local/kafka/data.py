"""The data directory of a local cluster: lock it, identify its cluster, and delete its data.

<data_dir>/lock               locked while an instance runs; has the process id
<data_dir>/cluster.json       the id of the cluster, and the Kafka version that wrote it
<data_dir>/broker-1/          records and metadata of a broker
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
    """The cluster that a data directory belongs to."""

    cluster_id: str
    kafka_version: str
    brokers: int


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lock *data_dir* against other instances; raise `DataDirInUse`. The lock ends with this process."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            pid = lock.read().strip()
            raise DataDirInUse(
                f"{data_dir} is in use by another instance (process {pid}): stop it, or choose another directory"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def identify(data_dir: Path, *, kafka_version: str, brokers: int) -> ClusterIdentity:
    """Return the identity of the cluster in *data_dir*, or a new one if it is empty; raise `DataDirForeign`."""
    wanted = ClusterIdentity(cluster_id=new_cluster_id(), kafka_version=kafka_version, brokers=brokers)
    file = data_dir / _CLUSTER
    if not file.exists():
        if any(data_dir.glob("broker-*/meta.properties")):
            raise _foreign(data_dir, "it has data of a broker, but no cluster.json")
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
            f"and this run uses {kafka_version} with {brokers}",
        )
    return found


def is_formatted(data_dir: Path, directory: str, cluster_id: str) -> bool:
    """Check whether the broker's *directory* is formatted; raise `DataDirForeign` if it belongs to another cluster."""
    meta = data_dir / directory / "meta.properties"
    if not meta.exists():
        return False
    if f"cluster.id={cluster_id}" not in meta.read_text(errors="replace").splitlines():
        raise _foreign(data_dir, f"{directory} belongs to another cluster")
    return True


def delete(data_dir: Path) -> None:
    """Delete everything that a cluster wrote to *data_dir*, and nothing else."""
    (data_dir / _CLUSTER).unlink(missing_ok=True)
    for path in data_dir.glob("broker-*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def new_cluster_id() -> str:
    """Make an id as Kafka does: a random UUID in URL-safe base 64. It must not look like a command-line option."""
    while (new := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return new


def _foreign(data_dir: Path, why: str) -> DataDirForeign:
    return DataDirForeign(f"{data_dir} cannot be used: {why}; delete it with --fresh, or choose another directory")
