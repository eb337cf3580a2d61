from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.local.kafka import data
from deploy.local.kafka.errors import DataDirForeign, DataDirInUse

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_keeps_its_cluster(tmp_path: Path) -> None:
    """A directory gives the same cluster id every time."""
    first = data.identify(tmp_path, kafka_version="4.1.0", brokers=1)

    assert data.identify(tmp_path, kafka_version="4.1.0", brokers=1) == first


@pytest.mark.parametrize(
    ("version", "brokers"), [pytest.param("4.2.0", 1, id="version"), pytest.param("4.1.0", 3, id="brokers")]
)
def test_another_clusters_data_is_refused(tmp_path: Path, version: str, brokers: int) -> None:
    """Data of another version or number of brokers is refused, and the error says what to do."""
    data.identify(tmp_path, kafka_version="4.1.0", brokers=1)

    with pytest.raises(DataDirForeign, match=r"written by Kafka 4\.1\.0 with 1 broker.*--fresh"):
        data.identify(tmp_path, kafka_version=version, brokers=brokers)


def test_an_unreadable_identity_is_refused(tmp_path: Path) -> None:
    """A damaged cluster.json is refused, and the error says what to do."""
    (tmp_path / "cluster.json").write_text("{")

    with pytest.raises(DataDirForeign, match="--fresh"):
        data.identify(tmp_path, kafka_version="4.1.0", brokers=1)


def test_data_without_identity_is_refused(tmp_path: Path) -> None:
    """Data of a broker without cluster.json is refused, and the error says what to do."""
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1" / "meta.properties").write_text("cluster.id=other\n")

    with pytest.raises(DataDirForeign, match="--fresh"):
        data.identify(tmp_path, kafka_version="4.1.0", brokers=1)


def test_a_directory_of_another_cluster_is_not_formatted_over(tmp_path: Path) -> None:
    """The directory of a broker must be new or belong to this cluster."""
    new = data.is_formatted(tmp_path, "broker-1", "ours")
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1" / "meta.properties").write_text("node.id=1\ncluster.id=ours\n")

    assert (False, True) == (new, data.is_formatted(tmp_path, "broker-1", "ours"))
    with pytest.raises(DataDirForeign, match="--fresh"):
        data.is_formatted(tmp_path, "broker-1", "theirs")


def test_delete_removes_only_the_clusters_files(tmp_path: Path) -> None:
    """Everything that a cluster wrote is deleted; other files stay."""
    data.identify(tmp_path, kafka_version="4.1.0", brokers=1)
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1.log").touch()
    (tmp_path / "notes.txt").touch()

    data.delete(tmp_path)

    assert [tmp_path / "notes.txt"] == list(tmp_path.iterdir())


def test_a_locked_directory_is_refused(tmp_path: Path) -> None:
    """While one instance locks a directory, another is refused; afterwards it is free."""
    with data.locked(tmp_path), pytest.raises(DataDirInUse), data.locked(tmp_path):
        pass
    with data.locked(tmp_path):
        held_again = True

    assert held_again
