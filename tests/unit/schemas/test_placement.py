"""A mentor's partition is the one that Java's producers choose."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as of_aiokafka
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.placement import murmur2, partition_for

# From Apache Kafka's own UtilsTest.testMurmur2.
JAVA = {
    "21": -973_932_308,
    "foobar": -790_332_482,
    "a-little-bit-long-string": -985_981_536,
    "a-little-bit-longer-string": -1_486_304_829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58_897_971,
    "abc": 479_470_107,
}


@pytest.mark.parametrize(("text", "hashed"), JAVA.items())
def test_the_hash_is_javas(text: str, hashed: int) -> None:
    """Kafka's own test vectors hold, as Java's signed 32-bit numbers."""
    assert hashed % 2**32 == murmur2(text.encode())


@pytest.mark.parametrize(("text", "hashed"), JAVA.items())
@pytest.mark.parametrize("partitions", [1, 2, 12, 100])
def test_a_mentors_partition_is_the_one_that_java_chooses(text: str, hashed: int, partitions: int) -> None:
    """Java's default partitioner removes the sign bit and takes the remainder."""
    assert (hashed & 0x7FFF_FFFF) % partitions == partition_for(text, partitions)


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(1, 1000))
def test_every_mentor_has_a_partition(mentor_id: str, partitions: int) -> None:
    """Any id, in any script, belongs to one of the partitions."""
    assert 0 <= partition_for(mentor_id, partitions) < partitions


@given(st.binary(max_size=40))
def test_the_hash_is_that_of_aiokafka(key: bytes) -> None:
    """Any bytes have the hash that the Kafka client of our own programs computes."""
    assert int(of_aiokafka(key)) % 2**32 == murmur2(key)
