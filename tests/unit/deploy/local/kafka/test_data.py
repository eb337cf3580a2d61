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
    """Data of another version or another number of brokers is refused, naming the way out."""
    data.identify(tmp_path, kafka_version="4.1.0", brokers=1)

    with pytest.raises(DataDirForeign, match=r"written by Kafka 4\.1\.0 with 1 broker.*--fresh"):
        data.identify(tmp_path, kafka_version=version, brokers=brokers)


def test_an_unreadable_identity_is_refused(tmp_path: Path) -> None:
    """An identity that was damaged is refused, naming the way out."""
    (tmp_path / "cluster.json").write_text("{")

    with pytest.raises(DataDirForeign, match="--fresh"):
        data.identify(tmp_path, kafka_version="4.1.0", brokers=1)


def test_data_without_identity_is_refused(tmp_path: Path) -> None:
    """A broker's data that nothing says the origin of is refused, naming the way out."""
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1" / "meta.properties").write_text("cluster.id=other\n")

    with pytest.raises(DataDirForeign, match="--fresh"):
        data.identify(tmp_path, kafka_version="4.1.0", brokers=1)


def test_a_directory_of_another_cluster_is_not_formatted_over(tmp_path: Path) -> None:
    """A broker's directory is new, or this cluster's, or refused."""
    new = data.is_formatted(tmp_path, "broker-1", "ours")
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1" / "meta.properties").write_text("node.id=1\ncluster.id=ours\n")

    assert (False, True) == (new, data.is_formatted(tmp_path, "broker-1", "ours"))
    with pytest.raises(DataDirForeign, match="--fresh"):
        data.is_formatted(tmp_path, "broker-1", "theirs")


def test_forgetting_removes_the_clusters_files_alone(tmp_path: Path) -> None:
    """Forgetting removes what a cluster wrote and leaves anything else in the directory."""
    data.identify(tmp_path, kafka_version="4.1.0", brokers=1)
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1.log").touch()
    (tmp_path / "notes.txt").touch()

    data.delete(tmp_path)

    assert [tmp_path / "notes.txt"] == list(tmp_path.iterdir())


def test_a_held_directory_is_held_against_others(tmp_path: Path) -> None:
    """While one instance holds a directory another is refused; afterwards it is free."""
    with data.locked(tmp_path), pytest.raises(DataDirInUse), data.locked(tmp_path):
        pass
    with data.locked(tmp_path):
        held_again = True

    assert held_again
