"""Where an unreadable batch ends according to its header, and when that is not trusted."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.batch_end import end_of_batch
from runtime.kafka.records import Place

PLACE = Place("pauses", 3)
HEADER = ">qiibIhi"


def header(base: int, last: int, *, magic: int = 2) -> bytes:
    """Return the start of a batch from offset *base* to *last*."""
    return struct.pack(HEADER, base, 0, 0, magic, 0, 0, last - base)


class Broker:
    """A client of one broker, with a response for each offset."""

    def __init__(self, batches: dict[int, bytes], *, end: int, leader: int | None = 1) -> None:
        self.batches = batches
        self.end = end
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: leader)

    async def send(self, _leader: int, request: Any) -> SimpleNamespace:
        """Return the batch at the requested offset."""
        ((topic, ((partition, offset, _),)),) = request.topics
        batch = self.batches.get(offset, b"")
        return SimpleNamespace(topics=[(topic, [(partition, 0, self.end, self.end, [], batch)])])


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        pytest.param(Broker({5: header(5, 9), 10: header(10, 10)}, end=11), 10, id="another batch behind"),
        pytest.param(Broker({5: header(3, 9), 10: header(10, 10)}, end=11), 10, id="begun before"),
        pytest.param(
            Broker({5: header(5, 9), 10: header(12, 13)}, end=14), 10, id="a gap behind, as in a compacted log"
        ),
        pytest.param(Broker({5: header(5, 9)}, end=10), 10, id="the end of the log"),
        pytest.param(Broker({5: header(5, 9), 10: header(7, 12)}, end=13), None, id="its end lies in another batch"),
        pytest.param(Broker({5: header(5, 90)}, end=13), None, id="beyond the log"),
        pytest.param(Broker({5: header(5, 3)}, end=13), None, id="before it began"),
        pytest.param(Broker({5: header(8, 9)}, end=13), None, id="another batch than asked for"),
        pytest.param(Broker({5: header(5, 9, magic=1)}, end=10), None, id="another format"),
        pytest.param(Broker({}, end=10), None, id="nothing given"),
        pytest.param(Broker({5: header(5, 9)}, end=10, leader=None), None, id="no leader"),
        pytest.param(Broker({5: header(5, 9)}, end=10, leader=-1), None, id="no leader for now"),
    ],
)
async def test_the_end_of_a_batch(broker: Broker, expected: int | None) -> None:
    """The header is trusted if the log ends, or another batch begins, at the end that it states."""
    assert expected == await end_of_batch(broker, PLACE, 5)


class Gone(Broker):
    """A broker that does not answer."""

    async def send(self, _leader: int, _request: Any) -> SimpleNamespace:
        """Fail like a lost connection."""
        raise KafkaConnectionError


async def test_a_broker_that_cannot_be_asked() -> None:
    """The end is unknown while the broker does not answer."""
    assert await end_of_batch(Gone({5: header(5, 9)}, end=10), PLACE, 5) is None
