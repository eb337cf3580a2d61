"""
Fuzz the reading of batches: random changes, bombs, floods and false headers between two valid batches.

Whatever is between them, the records of both are read once and in order, the reader reaches the end of the log, no
fetch blocks the event loop for long, nothing raises, and memory stays bounded.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from runtime.kafka.fetching import Fetching
from runtime.kafka.records import Place
from tests.fakes.kafka_consumer import FakeBatches, FakeConsumer
from tests.hostile_batches import (
    CODECS,
    GZIP,
    HEADER,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    batch,
    bomb,
    header_flood,
    message,
    message_set,
    record,
    resealed_message,
    sealed,
    varint,
)

_PLACE = Place("pauses", 0)
_MIB = 1024 * 1024
_MOST_FETCHES = 400
_SLOWEST_SECONDS = 5.0
_MAX_GROWTH = 300 * _MIB
_BETWEEN = 10
"""The first offset of the hostile batch."""
_BEHIND = 40
_FRAME_BYTES = 12
_FIELDS = {
    "length": (8, "i"),
    "codec and kind": (21, "h"),
    "last offset": (23, "i"),
    "count": (57, "i"),
    "base": (0, "q"),
}
_EDGES = (0, 1, -1, 7, 127, 128, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))


class Found(Exception):
    """A finding, and the input that caused it."""


def fuzz(seed: int, seconds: float) -> str:
    """Read hostile batches for some seconds; return a summary."""
    until, number = time.monotonic() + seconds, 0
    before, outcomes, slowest = _peak(), Counter[str](), 0.0
    with asyncio.Runner() as runner:
        while time.monotonic() < until or not number:
            hostile = hostile_batch(Random(f"{seed}:{number}"))
            try:
                outcome, took = runner.run(_read(hostile))
            except Exception as error:
                raise Found(f"seed {seed}, batch {number}: {error!r}; read {hostile[:500]!r}") from error
            outcomes[outcome] += 1
            slowest, number = max(slowest, took), number + 1
    if (growth := _peak() - before) > _MAX_GROWTH:
        raise Found(f"seed {seed}: memory grew by {growth // _MIB} MiB")
    summary = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{number} batches: {summary}; slowest fetch {slowest * 1000:.0f} ms, memory +{growth // _MIB} MiB"


async def _read(hostile: bytes) -> tuple[str, float]:
    """Read a log with *hostile* in its middle to its end; return the outcome, and the time of the slowest fetch."""
    sound = [record(number, headers=[(b"name", b"value")]) for number in range(3)]
    batches = {0: batch(sound), _BETWEEN: hostile, _BEHIND: batch(sound, base=_BEHIND, codec=ZSTD)}
    log = FakeBatches(batches, end=_BEHIND + len(sound))
    fetching = Fetching(FakeConsumer({_PLACE: log}))
    fetching.seek(_PLACE, 0)
    offsets: list[int] = []
    skipped, slowest = 0, 0.0
    for _ in range(_MOST_FETCHES):
        if fetching.position(_PLACE) == log.end:
            break
        began = time.monotonic()
        fetched = await fetching.fetch([_PLACE], timeout_ms=1, max_records=500)
        slowest = max(slowest, time.monotonic() - began)
        offsets += [one.offset for one in fetched.records.get(_PLACE, [])]
        skipped += len(fetched.unreadable)
    if fetching.position(_PLACE) != log.end:
        raise Found(f"the reader stands at {fetching.position(_PLACE)} of {log.end}")
    if offsets != sorted(set(offsets)):
        raise Found(f"records are repeated or out of order: {offsets}")
    around = [offset for offset in offsets if not len(sound) <= offset < _BEHIND]
    if around != [0, 1, 2, _BEHIND, _BEHIND + 1, _BEHIND + 2]:
        raise Found(f"of the valid records only these arrived: {around}")
    if slowest > _SLOWEST_SECONDS:
        raise Found(f"a fetch took {slowest:.1f} s")
    inside = len(offsets) - len(around)
    return ("partly read" if inside and skipped else "read" if inside else "skipped" if skipped else "empty"), slowest


def hostile_batch(random: Random) -> bytes:
    """Return a batch, valid or not, with records from offset 10 on."""
    kinds: list[Callable[[Random], bytes]] = [
        _mutated,
        _with_fields,
        _garbled,
        _records_that_lie,
        _bomb,
        _flood,
        _legacy,
    ]
    return random.choices(kinds, [6, 4, 4, 4, 1, 1, 4])[0](random)


def _sound(random: Random) -> bytes:
    """Return a valid batch of any codec."""
    count = random.randint(1, _BEHIND - _BETWEEN)
    return batch([_record(random, number) for number in range(count)], codec=random.choice(list(CODECS)), base=_BETWEEN)


def _record(random: Random, number: int) -> bytes:
    key = random.choice([None, b"", b"mentor-001", random.randbytes(5)])
    value = random.choice([None, b"{}", random.randbytes(random.choice([0, 10, 5000])), b"x" * 5000])
    names = [
        random.choice([b"ce_id", b"\xff", b"", "\u00e9".encode(), b"\xc3"]) for _ in range(random.choice([0, 0, 1, 5]))
    ]
    return record(number, key, value, [(name, random.choice([None, b"", b"value"])) for name in names])


def _mutated(random: Random) -> bytes:
    """Return a batch with some bytes changed, removed or inserted, mostly with the right checksum and length."""
    data = bytearray(_sound(random))
    for _ in range(random.choice([1, 1, 2, 8, 50])):
        if len(data) <= HEADER.size:
            break
        at = random.randrange(_FRAME_BYTES, len(data))
        change = random.randrange(4)
        if change == 0:
            data[at] ^= 1 << random.randrange(8)
        elif change == 1:
            data[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif change == 2 and len(data) > HEADER.size + 1:
            del data[at : at + random.choice([1, 3, 100])]
        else:
            data[at:at] = random.randbytes(random.choice([1, 3, 100]))
    return _framed(random, data)


def _with_fields(random: Random) -> bytes:
    """Return a batch with a false header."""
    data = bytearray(_sound(random))
    name = random.choice(list(_FIELDS))
    at, kind = _FIELDS[name]
    size = struct.calcsize(kind)
    # No checksum covers the base offset: a false one within the log cannot be detected.
    edge = random.choice([*_EDGES] if name == "base" else [*_EDGES, random.randrange(-100, 100)])
    data[at : at + size] = (edge % (1 << 8 * size)).to_bytes(size, "big")
    return sealed(data) if random.random() < 0.9 else bytes(data)


def _garbled(random: Random) -> bytes:
    """Return a batch whose compressed bytes belong to another codec, are cut, or are missing."""
    codec = random.choice([GZIP, SNAPPY, LZ4, ZSTD])
    packed = CODECS[random.choice(list(CODECS))](b"".join(_record(random, number) for number in range(5)))
    cut = random.randrange(len(packed) + 1)
    packed = random.choice([packed, packed[:cut], packed * 2, packed + random.randbytes(9), random.randbytes(cut), b""])
    return batch([b""] * 5, codec=codec, base=_BETWEEN, packed=packed)


def _records_that_lie(random: Random) -> bytes:
    """Return a batch with extreme numbers in its records."""
    written = []
    for number in range(random.randint(1, 5)):
        edge = random.choice([number, number, *_EDGES])
        body = random.choice([b"\0", b"\xff"]) + varint(random.choice([0, *_EDGES[:-2]])) + varint(_in_range(edge))
        for _ in range(random.randint(0, 4)):
            body += varint(_in_range(random.choice([0, -1, 3, *_EDGES]))) + random.randbytes(random.choice([0, 0, 3]))
        length = random.choice([len(body), len(body), _in_range(random.choice(_EDGES))])
        written.append(varint(length) + body)
    return batch(written, codec=random.choice([NONE, ZSTD]), base=_BETWEEN, count=random.choice([None, None, 0, 2, 99]))


def _in_range(number: int) -> int:
    return max(min(number, 2**62), -(2**62))


@cache
def _cached_bomb(codec: int, size: int) -> bytes:
    return bomb(codec, size, base=_BETWEEN)


def _bomb(random: Random) -> bytes:
    return _cached_bomb(random.choice([GZIP, SNAPPY, LZ4, ZSTD]), random.choice([1, 15, 17, 40]) * _MIB)


@cache
def _cached_flood(codec: int) -> bytes:
    return batch([header_flood(3 * _MIB), record(1)], codec=codec, base=_BETWEEN)


def _flood(random: Random) -> bytes:
    return _cached_flood(random.choice(list(CODECS)))


def _legacy(random: Random) -> bytes:
    """Return a message of format 0 or 1, or a set of them, with some bytes changed."""
    magic, codec = random.choice([0, 1]), random.choice([NONE, GZIP, SNAPPY, LZ4])
    last = _BEHIND - 1
    if codec == NONE:
        data = bytearray(message(last, value=random.randbytes(9), magic=magic))
    else:
        offsets = range(5) if magic else range(last - 4, last + 1)
        data = bytearray(message_set([message(at, magic=magic) for at in offsets], last, codec=codec, magic=magic))
    for _ in range(random.choice([0, 1, 3])):
        data[random.randrange(17, len(data))] = random.randrange(256)
    return resealed_message(data)


def _framed(random: Random, data: bytearray) -> bytes:
    if random.random() < 0.9:
        struct.pack_into(">i", data, 8, len(data) - _FRAME_BYTES)
    return sealed(data) if random.random() < 0.8 and len(data) > HEADER.size else bytes(data)


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
