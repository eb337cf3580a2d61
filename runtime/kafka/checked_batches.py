"""
Reads fetched bytes batch by batch, and checks everything that they claim.

aiokafka decompresses without a bound, trusts counts, and raises in the middle of a fetch, which loses the records of
healthy partitions. Here a batch yields its valid records and, in their order, a `Fault` for offsets that cannot be
read. No content of the bytes makes `contents` raise.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import decode_varint

from runtime.kafka import legacy_batches
from runtime.kafka.decompression import CannotDecompress, decompress
from schemas.headers import Headers

log = structlog.get_logger(__name__)

DEFAULT_MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_HEADERS = 1000
"""How many headers a record may have: each takes two bytes in the batch, and a hundred in memory."""

_BASE, _LENGTH = struct.Struct(">q"), struct.Struct(">i")
_LENGTH_AT = _BASE.size
_FRAME_BYTES = _LENGTH_AT + _LENGTH.size
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CLAIMS = struct.Struct(">q13xhi30xi")
"""The claims of a header that are checked: base offset, attributes, last offset delta, number of records."""
_MAGIC_AT = 16
_LEAST_BATCH_BYTES = 14
_MAGIC = 2
_CODEC, _CONTROL = 0x07, 0x20
_LEAST_RECORD_BYTES = 7
_SMALL_BYTES = 1024 * 1024
"""Of a larger payload, each record's header count is checked first: it may be all headers of one record."""
_PAYLOADS_HELD = 4
_RECORDS_IN_A_FAULT = 100
_READS = 3
_READS_OF_A_WRONG_CHECKSUM = 2
_BEYOND = 2**62


class Raw(Protocol):
    """A record in a batch."""

    @property
    def offset(self) -> int:
        """Return its offset."""

    @property
    def timestamp(self) -> int:
        """Return its timestamp, in milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Return its key."""

    @property
    def value(self) -> bytes | None:
        """Return its value."""

    @property
    def headers(self) -> Headers:
        """Return its headers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Offsets that cannot be read, starting at the reader's position."""

    next_offset: int | None
    """The offset after them, or None if what the batch says of it cannot be trusted."""
    error: str
    reads: int = 1
    """How many reads must fail before it is skipped: more than one if another read may bring valid bytes."""


class _Bad(Exception):
    """A record or batch that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """The rest of a fetch, which must be fetched again because the allowance is spent."""

    first: int
    """Its first offset, if the batch says it; everything before it was read."""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


NO_RECORD = (Fault, Deferred)
"""What a batch yields beside records. A tuple, because a union would be built again for each of millions of records."""


class Allowance:
    """
    Bounds what all consumers decompress in one turn of the event loop, and how much of it they hold.

    A fetch of 256 KiB may hold a hundred batches, each below the bound of a batch. What exceeds the allowance is
    fetched again later.
    """

    def __init__(self, max_batch_bytes: int) -> None:
        self.max_batch_bytes = max_batch_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spent = 0
        self._held = 0

    def spend(self, length: int) -> None:
        """Count what was decompressed; each turn of the loop begins at zero."""
        loop = _running_loop()
        if loop is None:  # no other task waits for this thread
            return
        if loop is not self._loop or not self._spent:
            self._loop, self._spent = loop, 0
            loop.call_soon(self._begin_turn)
        self._spent += length

    def _begin_turn(self) -> None:
        self._spent = 0

    @property
    def spent(self) -> bool:
        """Return whether nothing more may be decompressed in this turn."""
        return self._spent >= self.max_batch_bytes and self._loop is _running_loop()

    def has_room(self, length: int) -> bool:
        """Return whether a payload may be held: small ones and the first always may."""
        most = _PAYLOADS_HELD * self.max_batch_bytes
        return length <= _SMALL_BYTES or not self._held or self._held + length <= most

    @contextmanager
    def holding(self, length: int) -> Iterator[None]:
        """Count a payload while its records are read."""
        self._held += length
        try:
            yield
        finally:
            self._held -= length


allowance = Allowance(DEFAULT_MAX_BATCH_BYTES)
"""There is one for the process, which has one memory and one loop."""


def bound_batches(max_batch_bytes: int) -> None:
    """Set the maximum size of a decompressed batch, for all consumers of this process."""
    allowance.max_batch_bytes = max_batch_bytes


class CheckedRecords:
    """
    The batches in a fetched buffer, with the three methods of aiokafka's `MemoryRecords`.

    Nothing is read after a damaged frame, because the beginning of the next one is not known.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._size = len(data)
        self._at = 0
        self._ended = False
        self.expected_offset = 0
        """The offset after the last batch with a valid checksum: the next batch cannot begin before it."""

    def size_in_bytes(self) -> int:
        """Return how many bytes were fetched."""
        return self._size

    def has_next(self) -> bool:
        """Return whether a complete or a damaged batch follows."""
        return not self._ended and self._next_length() is not None

    def _next_length(self) -> int | None:
        """Return the length of the next batch; 0 if it is damaged, None if no complete one follows."""
        left = self._size - self._at - _FRAME_BYTES
        if left < 0:
            return None
        (length,) = _LENGTH.unpack_from(self._data, self._at + _LENGTH_AT)
        if length < _LEAST_BATCH_BYTES:
            return 0
        if length > left:
            # A broker sends the first batch complete, and may cut off the last.
            return 0 if self._at == 0 else None
        return _FRAME_BYTES + int(length)

    def next_batch(self) -> CheckedBatch | None:
        """Return the next batch, or None if there is none."""
        begin, length = self._at, self._next_length()
        if self._ended or length is None:
            return None
        self._at = end = begin + length
        self._ended = length == 0
        return CheckedBatch(self, self._data[begin:end])

    def base_of_next(self) -> int | None:
        """Return the base offset that the next batch claims, or None if none follows."""
        if self._size - self._at < _FRAME_BYTES:
            return None
        return int(_BASE.unpack_from(self._data, self._at)[0])

    def end(self) -> None:
        """Read no further: the rest must be fetched again."""
        self._ended = True


class CheckedBatch:
    """
    One batch; iterate over it once to get its records and faults, in order.

    It has what aiokafka's fetcher needs of a batch when it reads uncommitted records, as all our consumers do.
    """

    __slots__ = (
        "_attributes",
        "_count",
        "_data",
        "_fault",
        "_magic",
        "_plain",
        "_records",
        "base_offset",
        "is_control_batch",
        "is_plain",
        "next_offset",
    )

    def __init__(self, records: CheckedRecords, data: memoryview) -> None:
        self._records = records
        self._data = data
        self._fault: Fault | None = None
        self.base_offset = self.next_offset = 0
        self.is_control_batch = False
        self.is_plain = False
        """Whether it can be read and is not compressed."""
        self._magic = data[_MAGIC_AT] if data else None
        if self._magic == _MAGIC and len(data) >= _HEADER.size:
            self._check_header()
        elif self._magic is None:
            self._fault = Fault(None, "a damaged length", _READS)
        elif self._magic < _MAGIC:
            self._check_message()
        else:
            self._note(Fault(None, "a damaged header", _READS))

    def _note(self, fault: Fault) -> None:
        """Note why the batch cannot be read; if its end is not known, no batch after it can be read either."""
        self._fault = fault
        if fault.next_offset is None:
            self._records.end()

    def _check_message(self) -> None:
        """Check a message of format 0 or 1: its offset is that of the last record in it."""
        (self.base_offset,) = _BASE.unpack_from(self._data)
        self.next_offset = self.base_offset + 1
        if not legacy_batches.has_right_checksum(self._data):
            self._note_wrong_checksum()

    def _note_wrong_checksum(self) -> None:
        """Note it; the header may be damaged, and is trusted only if the next batch begins where it says."""
        trusted = self.base_offset < self.next_offset == self._records.base_of_next()
        end = self.next_offset if trusted else None
        self._note(Fault(end, "a wrong checksum", _READS_OF_A_WRONG_CHECKSUM))

    def _check_header(self) -> None:
        base, self._attributes, last_delta, self._count = _CLAIMS.unpack_from(self._data)
        self.base_offset = base
        if base < self._records.expected_offset:
            self._note(Fault(None, "a damaged base offset", _READS))  # no checksum covers it
            return
        self.next_offset = base + last_delta + 1
        self._plain = DefaultRecordBatch(self._data)
        if not self._plain.validate_crc():
            self._note_wrong_checksum()
            return
        if self._attributes & _CONTROL:
            self.is_control_batch = True
        if last_delta != self._count - 1:
            # The log was compacted, or the header is wrong and would skip what follows.
            following = self._records.base_of_next()
            if following is not None and base < following:
                self.next_offset = min(self.next_offset, following) if last_delta >= 0 else following
        if last_delta < 0:
            end = self.next_offset if self.next_offset > base else None
            self._note(Fault(end, "a negative last offset"))
        else:
            self.is_plain = not self._attributes & _CODEC
        self._records.expected_offset = self.next_offset

    def validate_crc(self) -> bool:
        """Return True: a wrong checksum becomes a fault among the records, not an error of the whole fetch."""
        return True

    def __iter__(self) -> Iterator[Raw | Marker]:
        """Yield records, and for each fault a `Marker`, which aiokafka passes on as a record."""
        for found in self.contents():
            yield Marker(found) if isinstance(found, NO_RECORD) else found

    def contents(self) -> Iterator[Raw | Fault | Deferred]:
        """Yield records and faults."""
        if self._fault is not None:
            yield self._fault
            return
        try:
            payload = self._payload()
            if payload is None:
                self._records.end()
                yield Deferred(self.base_offset if self._magic == _MAGIC else 0)
                return
            reading = self._message(payload) if self._magic != _MAGIC else self._default(payload)
            if len(payload) <= _SMALL_BYTES:
                yield from reading
                return
            with allowance.holding(len(payload)):
                yield from reading
        except MemoryError:
            self._records.end()
            yield Fault(self.next_offset, "MemoryError", _READS)
        except (_Bad, CannotDecompress) as error:
            yield Fault(self.next_offset, str(error))

    def _payload(self) -> bytes | None:
        """Return the records' bytes, decompressed, or None if the allowance is spent; raise as `decompress` does."""
        if self._magic == _MAGIC:
            codec, packed = self._attributes & _CODEC, bytes(self._data[_HEADER.size :])
        else:
            codec, packed = legacy_batches.codec(self._data), b""
        if not codec:
            return packed
        if self._magic != _MAGIC:
            packed = _packed_messages(self._data)
        if allowance.spent:
            return None
        try:
            payload = decompress(codec, packed, allowance.max_batch_bytes)
        except CannotDecompress:
            allowance.spend(allowance.max_batch_bytes)
            raise
        allowance.spend(len(payload))
        return payload if allowance.has_room(len(payload)) else None

    def may_hold(self, content: bytes) -> bool:
        """Return False if certainly no record holds *content*: much faster than to read them. Compressed ones may."""
        return not self.is_plain or content in bytes(self._data)

    def read(self) -> Iterable[Raw]:
        """Return the records; raise KafkaError at the first fault, perhaps not before they are iterated over."""
        if self.is_plain:
            records = self._read_at_once(self._plain, len(self._data) - _HEADER.size)
            if records is not None:
                return records
        return self._read_or_raise()

    def _read_or_raise(self) -> Iterator[Raw]:
        for found in self.contents():
            if isinstance(found, NO_RECORD):
                raise KafkaError(found.error if isinstance(found, Fault) else "too much was decompressed")
            yield found

    def _default(self, payload: bytes) -> Iterator[Raw | Fault]:
        count = self._count
        if not 0 <= count * _LEAST_RECORD_BYTES <= len(payload):
            raise _Bad("a wrong number of records")
        plain = self._plain
        if plain.compression_type and len(payload) <= _SMALL_BYTES:
            plain = DefaultRecordBatch(self._plain_header(count) + payload)
        records = self._read_at_once(plain, len(payload))
        yield from self._one_by_one(payload, count) if records is None else records

    def _read_at_once(self, plain: DefaultRecordBatch, length: int) -> list[Raw] | None:
        """Return the records of a small batch, or None if they must be read one by one."""
        if length > _SMALL_BYTES or not 0 <= self._count * _LEAST_RECORD_BYTES <= length:
            return None
        expected, behind = self.base_offset, self.next_offset
        try:
            records: list[Raw] = list(plain)
            for record in records:
                offset = record.offset
                if not expected <= offset < behind or len(record.headers) > MAX_HEADERS:
                    return None
                expected = offset + 1
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever one record raises, the others must be read
            log.debug("kafka.batch.read_one_by_one", first=self.base_offset)
            return None
        return records

    def _plain_header(self, count: int) -> bytes:
        """Return the header of an uncompressed batch of *count* records, for aiokafka to read."""
        header = list(_HEADER.unpack_from(self._data))
        header[5], header[12] = header[5] & ~_CODEC, count
        return _HEADER.pack(*header)

    def _one_by_one(self, payload: bytes, count: int) -> Iterator[Raw | Fault]:
        """Yield the records; one that cannot be read does not affect the others."""
        one, expected, bad, bad_records = self._plain_header(1), self.base_offset, "", 0
        for begin, body, end in _frames(payload, count):
            offset = self.base_offset + _offset_delta(payload, body, end)
            if not expected <= offset < self.next_offset:
                raise _Bad("an offset outside of its batch")
            expected = offset + 1
            try:
                _check_header_count(payload, body, end)
                (record,) = DefaultRecordBatch(one + payload[begin:end])
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - foreign bytes may raise anything
                bad, bad_records = bad or _explain(error), bad_records + 1
                if bad_records < _RECORDS_IN_A_FAULT:
                    continue
                yield Fault(expected, bad)
            else:
                if bad:
                    yield Fault(offset, bad)
                yield record
            bad, bad_records = "", 0
        if bad:
            yield Fault(self.next_offset, bad)

    def _message(self, payload: bytes) -> Iterator[Raw | Fault]:
        try:
            wrapper = legacy_batches.read(self._data)
            if legacy_batches.codec(self._data):
                yield from legacy_batches.read_set(wrapper, self._data, payload)
            else:
                yield wrapper
        except ValueError as error:
            raise _Bad(str(error)) from error


class Marker:
    """A fault among the records that aiokafka's consumer returns, which passes `checksum` on unread."""

    key = value = None
    timestamp = timestamp_type = 0
    headers: Headers = ()

    def __init__(self, found: Fault | Deferred) -> None:
        end = found.next_offset if isinstance(found, Fault) else None
        # A reader that begins inside a batch skips the records before its position, but never this offset.
        self.offset = _BEYOND if end is None else end - 1
        self.checksum = found


def _packed_messages(data: memoryview) -> bytes:
    if not legacy_batches.has_codec(data):
        raise _Bad(f"unknown codec {legacy_batches.codec(data)}")
    try:
        packed = legacy_batches.read(data).value
    except ValueError as error:
        raise _Bad(str(error)) from error
    if packed is None:
        raise _Bad("a compressed message without a value")
    return packed


def _frames(payload: bytes, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield for each record where it begins, where its content begins, and where it ends; raise _Bad."""
    at = 0
    for _ in range(count):
        length, body = _varint(payload, at, len(payload))
        if not 0 < length <= len(payload) - body:
            raise _Bad("a length outside of its batch")
        yield at, body, body + length
        at = body + length
    if at != len(payload):
        raise _Bad("bytes after the last record")


def _varint(payload: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends; aiokafka's own function checks no bound."""
    if at >= end:
        raise _Bad("a record shorter than its fields")
    try:
        number, at = decode_varint(payload, at)
    except ValueError as error:
        raise _Bad("a number that is too long") from error
    if at > end:
        raise _Bad("a record shorter than its fields")
    return number, at


def _offset_delta(payload: bytes, body: int, end: int) -> int:
    _, at = _varint(payload, body + 1, end)  # after the attributes: the time
    return _varint(payload, at, end)[0]


def _check_header_count(payload: bytes, body: int, end: int) -> None:
    """Raise _Bad if a record has too many headers, without building them: that would take the memory."""
    _, at = _varint(payload, body + 1, end)
    _, at = _varint(payload, at, end)
    for _ in ("key", "value"):
        length, at = _varint(payload, at, end)
        at += max(length, 0)
    count, _ = _varint(payload, at, end)
    if count > MAX_HEADERS:
        raise _Bad(f"more than {MAX_HEADERS} headers")


def _explain(error: Exception) -> str:
    """Return why a record cannot be read, without any of its bytes."""
    if isinstance(error, _Bad):
        return str(error)
    return "a header name that is not UTF-8" if isinstance(error, UnicodeDecodeError) else "a corrupt record"
