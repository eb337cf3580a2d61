"""Read messages of formats 0 and 1, which brokers before Kafka 4 may still hold: single or compressed in a set."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from runtime.kafka.decompression import GZIP, LZ4, SNAPPY
from schemas.headers import Headers

ATTRIBUTES_AT = 17

_FRAME = struct.Struct(">qi")
_HEADERS = {0: struct.Struct(">qiIbb"), 1: struct.Struct(">qiIbbq")}
_CRC_AT, _MAGIC_AT = 12, 16
_INT = struct.Struct(">i")
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_NULL = -1


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a record: these formats have no headers, and format 0 has no timestamp."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_type: int = 0
    checksum: None = None


def has_right_checksum(data: memoryview) -> bool:
    """Return whether a message's checksum is right."""
    (checksum,) = struct.unpack_from(">I", data, _CRC_AT)
    return bool(checksum == crc32(data[_MAGIC_AT:]))


def codec(data: memoryview) -> int:
    """Return the codec of a message's value; 0 if it is not compressed."""
    return data[ATTRIBUTES_AT] & _CODEC


def has_codec(data: memoryview) -> bool:
    """Return whether the message's format knows its codec."""
    return codec(data) in ((GZIP, SNAPPY) if data[_MAGIC_AT] == 0 else (GZIP, SNAPPY, LZ4))


def read(data: memoryview, offset: int | None = None) -> Message:
    """Return an uncompressed message; raise ValueError if its lengths are wrong."""
    layout = _HEADERS[data[_MAGIC_AT]]
    if len(data) < layout.size:
        raise ValueError("a message shorter than its header")
    own_offset, _, _, _, _, *timestamp = layout.unpack_from(data)
    key, at = _bytes_at(data, layout.size)
    value, at = _bytes_at(data, at)
    if at != len(data):
        raise ValueError("a message longer than its value")
    return Message(own_offset if offset is None else offset, timestamp[0] if timestamp else 0, key, value)


def _bytes_at(data: memoryview, at: int) -> tuple[bytes | None, int]:
    if at + _INT.size > len(data):
        raise ValueError("a message shorter than its lengths")
    (length,) = _INT.unpack_from(data, at)
    at += _INT.size
    if length == _NULL:
        return None, at
    if not 0 <= length <= len(data) - at:
        raise ValueError("a length outside of its message")
    return bytes(data[at : at + length]), at + length


def read_set(wrapper: Message, data: memoryview, payload: bytes) -> Iterator[Message]:
    """
    Yield the messages of a decompressed set; raise ValueError if one cannot be read.

    In format 1 offsets count from the start of the set, and the wrapper has the offset of the last message.
    """
    inside = memoryview(payload)
    spans = list(_spans(inside))
    magic = data[_MAGIC_AT]
    base = 0
    if magic and spans:
        (last,) = struct.unpack_from(">q", inside, spans[-1][0])
        base = wrapper.offset - last
    expected = 0
    for begin, end in spans:
        message = inside[begin:end]
        if message[_MAGIC_AT] != magic or codec(message):
            raise ValueError("a message of another format, or compressed twice")
        (offset,) = struct.unpack_from(">q", message)
        if not expected <= base + offset <= wrapper.offset:
            raise ValueError("an offset outside of its set")
        expected = base + offset + 1
        one = read(message, base + offset)
        log_append_time = data[ATTRIBUTES_AT] & _LOG_APPEND_TIME
        yield Message(one.offset, wrapper.timestamp, one.key, one.value) if log_append_time else one


def _spans(inside: memoryview) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(inside):
        if at + _FRAME.size > len(inside):
            raise ValueError("bytes after the last message")
        _, length = _FRAME.unpack_from(inside, at)
        end = at + _FRAME.size + length
        if length < _HEADERS[0].size - _FRAME.size or end > len(inside):
            raise ValueError("a length outside of its set")
        yield at, end
        at = end
