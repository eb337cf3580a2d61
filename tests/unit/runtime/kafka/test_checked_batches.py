"""Read a fetched buffer, whatever it claims."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from runtime.kafka.checked_batches import (
    DEFAULT_MAX_BATCH_BYTES,
    MAX_HEADERS,
    CheckedRecords,
    Deferred,
    Fault,
    Raw,
    allowance,
    bound_batches,
)
from tests.hostile_batches import (
    CODECS,
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    batch,
    bomb,
    broken,
    header_flood,
    message,
    message_set,
    record,
    sealed,
    varint,
)

MIB = 1024 * 1024
COMPRESSED = [GZIP, SNAPPY, LZ4, ZSTD]
NO_TEXT = [(b"\xff\xfe", b"1")]


def read(data: bytes) -> list[object]:
    """Return the offset of each record in a buffer, and each fault."""
    fetched = CheckedRecords(data)
    found: list[object] = []
    while (one := fetched.next_batch()) is not None:
        found += [each if isinstance(each, Fault | Deferred) else each.offset for each in one.contents()]
    return found


def records(data: bytes) -> list[Raw]:
    """Return the records of a valid buffer."""
    fetched = CheckedRecords(data)
    found: list[Raw] = []
    while (one := fetched.next_batch()) is not None:
        for of_record in one.contents():
            assert not isinstance(of_record, Fault | Deferred)
            found.append(of_record)
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_a_sound_batch_of_every_codec_is_read(codec: int) -> None:
    """Keys, values, headers and offsets are returned as they were written, nulls included."""
    written = [record(0, b"a" * 500, b"1" * 500, [(b"name", b"x"), (b"null", None)]), record(1, None, None)]

    first, second = records(batch(written, codec=codec, base=7))

    assert 7 == first.offset
    assert b"a" * 500 == first.key
    assert b"1" * 500 == first.value
    assert [("name", b"x"), ("null", None)] == list(first.headers)
    assert 8 == second.offset
    assert second.key is None
    assert second.value is None
    assert [] == list(second.headers)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_batch_is_decompressed_up_to_the_bound(codec: int) -> None:
    """A bomb is a fault that costs no more than the limit, and the batch after it is read."""
    data = bomb(codec, 64 * MIB) + batch([record(0)], base=1)
    tracemalloc.start()

    found = read(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [Fault(1, f"more than {DEFAULT_MAX_BATCH_BYTES} bytes when decompressed"), 1] == found
    assert peak < 2 * DEFAULT_MAX_BATCH_BYTES + len(data)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_the_bound_can_be_set(codec: int) -> None:
    """A record of a mebibyte is read with a limit of two, and is a fault with a limit of one."""
    data = bomb(codec, MIB)
    try:
        bound_batches(2 * MIB)
        at_two = read(data)
        bound_batches(MIB)
        at_one = read(data)
    finally:
        bound_batches(DEFAULT_MAX_BATCH_BYTES)

    assert [0] == at_two
    assert [Fault(1, f"more than {MIB} bytes when decompressed")] == at_one


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4])
def test_a_message_set_is_decompressed_up_to_the_bound(codec: int) -> None:
    """Formats 0 and 1 compress in no other way."""
    zeros = message(0, None, bytes(20 * MIB))

    assert [Fault(6, f"more than {DEFAULT_MAX_BATCH_BYTES} bytes when decompressed")] == read(
        message_set([zeros], 5, codec=codec)
    )


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY])
def test_messages_of_older_formats_are_read(magic: int, codec: int) -> None:
    """In format 1 the offsets of a set count from its start, in format 0 they are those of the log."""
    if codec == NONE:
        data = message(5, magic=magic) + message(6, None, None, magic=magic)
    else:
        inside = [message(offset if magic else offset + 5, magic=magic) for offset in range(2)]
        data = message_set(inside, 6, codec=codec, magic=magic)

    assert [5, 6] == read(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(message_set([message(0)], 0, codec=LZ4, magic=0), "unknown codec 3", id="lz4 in format 0"),
        pytest.param(message(0, attributes=7), "unknown codec 7", id="no such codec"),
        pytest.param(message(0, attributes=GZIP), "corrupt compressed data", id="not compressed"),
        pytest.param(message(0, None, None, attributes=GZIP), "a compressed message without a value", id="no value"),
        pytest.param(
            message_set([message_set([message(0)], 0, codec=GZIP)], 0, codec=GZIP),
            "a message of another format, or compressed twice",
            id="compressed twice",
        ),
        pytest.param(
            message_set([message(0)[:-1]], 0, codec=GZIP), "a length outside of its set", id="a set that is cut"
        ),
        pytest.param(
            message_set([message(-9), message(0)], 0, codec=GZIP), "an offset outside of its set", id="offset"
        ),
    ],
)
def test_a_message_that_cannot_be_read(data: bytes, error: str) -> None:
    """It is skipped at once."""
    assert [Fault(1, error)] == read(data)


def test_a_record_with_a_header_name_that_is_no_text_costs_itself_only() -> None:
    """All other records of its batch are read, and consecutive bad records are one fault."""
    written = [record(number, headers=NO_TEXT if number in {1, 3, 4} else [(b"name", b"x")]) for number in range(6)]

    no_text = "a header name that is not UTF-8"
    assert [0, Fault(2, no_text), 2, Fault(5, no_text), 5] == read(batch(written))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            batch([record(0)], count=2), [0, Fault(1, "a record shorter than its fields")], id="one more record"
        ),
        pytest.param(
            batch([record(0)], count=2**31 - 1), [Fault(1, "a wrong number of records")], id="many more records"
        ),
        pytest.param(batch([record(0)], count=-1), [Fault(1, "a wrong number of records")], id="fewer than none"),
        pytest.param(
            batch([record(0), record(0), record(2)]),
            [0, Fault(3, "an offset outside of its batch")],
            id="an offset twice",
        ),
        pytest.param(batch([record(9)]), [Fault(1, "an offset outside of its batch")], id="an offset too high"),
        pytest.param(batch([record(-1)]), [Fault(1, "an offset outside of its batch")], id="an offset below"),
        pytest.param(batch([record(0, header_count=-1)]), [Fault(1, "a corrupt record")], id="a negative header count"),
        pytest.param(
            batch([record(0, header_count=9)]), [Fault(1, "a corrupt record")], id="headers that are not there"
        ),
        pytest.param(
            batch([record(0, header_count=2**31 - 1)]), [Fault(1, "more than 1000 headers")], id="two billion headers"
        ),
        pytest.param(batch([record(0)], count=0), [Fault(1, "bytes after the last record")], id="a record too few"),
        pytest.param(
            batch([varint(-5) + record(0)]), [Fault(1, "a length outside of its batch")], id="negative length"
        ),
        pytest.param(batch([varint(2**40) + record(0)]), [Fault(1, "a length outside of its batch")], id="huge length"),
        pytest.param(batch([b"\xff" * 30]), [Fault(1, "a number that is too long")], id="a number without end"),
        pytest.param(batch([], last_delta=3), [], id="emptied by compaction"),
        pytest.param(
            batch([record(0)], last_delta=-5), [Fault(None, "a negative last offset")], id="ends before it began"
        ),
        pytest.param(batch([b""], codec=ZSTD, packed=b"junk"), [Fault(1, "corrupt compressed data")], id="no zstd"),
        pytest.param(batch([record(0)], attributes=5), [Fault(1, "unknown codec 5")], id="no such codec"),
        pytest.param(
            batch([record(0, headers=[(b"", None)] * (MAX_HEADERS + 1)), record(1)]),
            [Fault(1, f"more than {MAX_HEADERS} headers"), 1],
            id="many headers",
        ),
    ],
)
def test_a_batch_whose_claims_are_wrong(data: bytes, expected: list[object]) -> None:
    """False claims are found, and nothing raises."""
    assert expected == read(data)


@pytest.mark.parametrize("codec", CODECS)
def test_a_flood_of_headers_takes_no_memory(codec: int) -> None:
    """Eight million headers would take half a gigabyte before they could be counted."""
    data = batch([header_flood(7 * MIB), record(1)], codec=codec)
    tracemalloc.start()

    found = read(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [Fault(1, f"more than {MAX_HEADERS} headers"), 1] == found
    assert peak < 100 * MIB


def test_a_wrong_checksum_is_read_again() -> None:
    """Two reads must fail, since the second may be intact; the end is trusted if the next batch begins there."""
    data = broken(batch([record(0), record(1)])) + batch([record(0)], base=2)

    assert [Fault(2, "a wrong checksum", reads=2), 2] == read(data)


@pytest.mark.parametrize("behind", [b"", batch([record(0)], base=9)], ids=["nothing", "another place"])
def test_the_end_of_a_batch_with_a_wrong_checksum_is_not_believed_alone(behind: bytes) -> None:
    """Its header may be damaged, too; nothing after it is read before its end is known."""
    assert [Fault(None, "a wrong checksum", reads=2)] == read(broken(batch([record(0)])) + behind)


@pytest.mark.parametrize("length", [-1, 0, 13, 2**31 - 1])
def test_a_damaged_length(length: int) -> None:
    """The start of the next batch is unknown then."""
    data = bytearray(batch([record(0)]) + batch([record(0)], base=1))
    data[8:12] = length.to_bytes(4, "big", signed=True)

    assert [Fault(None, "a damaged length", reads=3)] == read(bytes(data))


def test_a_batch_that_is_cut_at_the_end_of_a_fetch_is_left_for_the_next() -> None:
    """A broker may cut the last batch of a fetch."""
    whole = batch([record(0)])

    assert [0] == read(whole + batch([record(0)], base=1)[:-1])


def test_a_batch_does_not_end_behind_the_beginning_of_the_next() -> None:
    """A false last offset would skip the records after it."""
    data = batch([record(0)], last_delta=99) + batch([record(0)], base=1)
    fetched = CheckedRecords(data)
    first = fetched.next_batch()

    assert first is not None
    assert 1 == first.next_offset


@pytest.mark.parametrize("base", [2, 0, -1])
def test_a_batch_does_not_begin_before_the_end_of_the_last(base: int) -> None:
    """No checksum covers its base offset."""
    data = batch([record(0), record(1), record(2)]) + batch([record(0)], base=base)

    assert [0, 1, 2, Fault(None, "a damaged base offset", reads=3)] == read(data)


def test_a_control_batch_is_one_only_with_a_right_checksum() -> None:
    """Control batches are skipped without being read."""
    control = batch([record(0)], attributes=0x20)
    sound, bad = CheckedRecords(control).next_batch(), CheckedRecords(broken(control)).next_batch()

    assert sound is not None
    assert bad is not None
    assert sound.is_control_batch
    assert not bad.is_control_batch


async def test_what_is_decompressed_in_one_turn_of_the_loop_is_bounded() -> None:
    """If batches below the limit exceed the allowance, the rest waits for the next fetch."""
    one = bomb(ZSTD, 10 * MIB)
    data = b"".join(sealed(bytearray((base).to_bytes(8, "big") + one[8:])) for base in range(4))

    at_once = read(data)
    await asyncio.sleep(0)
    next_turn = read(data)

    assert [0, 1, Deferred(2)] == at_once == next_turn


async def test_small_batches_are_read_however_much_is_held() -> None:
    """Large payloads wait while too many are held; a small batch never waits for them."""
    fetched = CheckedRecords(batch([record(0, value=b"x" * 1000)], codec=LZ4))
    with allowance.holding(5 * DEFAULT_MAX_BATCH_BYTES):
        large = read(batch([record(0, value=bytes(2 * MIB))], codec=GZIP))
        await asyncio.sleep(0)
        small = fetched.next_batch()
        assert small is not None
        found = list(small.contents())

    assert [Deferred(0)] == large
    assert 1 == len(found)


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_holds_a_key_is_never_passed_over(codec: int) -> None:
    """Of a plain batch the bytes tell; a compressed or a damaged one may hold anything."""
    data = batch([record(0, b"this"), record(1, b"that")], codec=codec)
    found, damaged = CheckedRecords(data).next_batch(), CheckedRecords(broken(data)).next_batch()

    assert found is not None
    assert damaged is not None
    assert [True, True, codec != NONE, True] == [
        *(found.may_hold(key) for key in (b"this", b"that", b"other")),
        damaged.may_hold(b"other"),
    ]
