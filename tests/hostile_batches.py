"""Build record batches byte by byte, of any codec and format, with true or false claims."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import cramjam
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c, encode_varint

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS: Mapping[int, Callable[[bytes], bytes]] = {
    NONE: bytes,
    GZIP: gzip_encode,
    SNAPPY: snappy_encode,
    LZ4: lz4_encode,
    ZSTD: zstd_encode,
}
HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_AT, _ATTRIBUTES_AT = 17, 21
_STEP = 1024 * 1024


def varint(number: int) -> bytes:
    """Return a number as Kafka encodes it."""
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


def sized(content: bytes | None) -> bytes:
    """Return bytes with their length before them."""
    return varint(-1) if content is None else varint(len(content)) + content


def record(
    offset_delta: int,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    headers: Sequence[tuple[bytes, bytes | None]] = (),
    *,
    header_count: int | None = None,
) -> bytes:
    """Return one record; its header names need not be text, and their count need not be true."""
    count = len(headers) if header_count is None else header_count
    body = b"\0" + varint(0) + varint(offset_delta) + sized(key) + sized(value) + varint(count)
    body += b"".join(sized(name) + sized(content) for name, content in headers)
    return varint(len(body)) + body


def header_flood(count: int) -> bytes:
    """Return a record with only headers, of two bytes each."""
    body = b"\0" + varint(0) + varint(0) + varint(-1) + varint(-1) + varint(count) + b"\0\x01" * count
    return varint(len(body)) + body


def batch(
    records: Sequence[bytes],
    *,
    codec: int = NONE,
    base: int = 0,
    packed: bytes | None = None,
    count: int | None = None,
    last_delta: int | None = None,
    attributes: int = 0,
    timestamp: int = 0,
) -> bytes:
    """Return a batch with a right checksum; *packed* replaces the compressed records."""
    payload = CODECS[codec](b"".join(records)) if packed is None else packed
    last = max(len(records) - 1, 0) if last_delta is None else last_delta
    number = len(records) if count is None else count
    length = HEADER.size - 12 + len(payload)
    header = HEADER.pack(base, length, -1, 2, 0, attributes | codec, last, timestamp, timestamp, -1, -1, -1, number)
    return sealed(bytearray(header + payload))


def sealed(batch: bytearray) -> bytes:
    """Return a changed batch with its right checksum."""
    struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(bytes(memoryview(batch)[_ATTRIBUTES_AT:])))
    return bytes(batch)


def broken(batch: bytes) -> bytes:
    """Return a batch with a wrong checksum."""
    changed = bytearray(batch)
    changed[_CRC_AT] ^= 0xFF
    return bytes(changed)


def bomb(codec: int, size: int, *, base: int = 0, headers: Sequence[tuple[bytes, bytes | None]] = ()) -> bytes:
    """Return a batch of one record with *size* zeros, without holding them in memory."""
    tail = varint(len(headers)) + b"".join(sized(name) + sized(content) for name, content in headers)
    head = b"\0" + varint(0) + varint(0) + sized(b"bomb") + varint(size)
    whole = varint(len(head) + size + len(tail)) + head
    return batch([b""], codec=codec, base=base, packed=_packed(codec, whole, size, tail))


_COMPRESSORS: Mapping[int, Callable[[], Any]] = {
    GZIP: cramjam.gzip.Compressor,
    LZ4: lambda: cramjam.lz4.Compressor(level=9, content_checksum=False, block_linked=False),  # as brokers want it
    ZSTD: cramjam.zstd.Compressor,
}


def _packed(codec: int, head: bytes, size: int, tail: bytes) -> bytes:
    pieces = _pieces(head, size, tail)
    if codec == SNAPPY:
        blocks = (bytes(cramjam.snappy.compress_raw(piece)) for piece in pieces)
        return b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01" + b"".join(struct.pack(">i", len(one)) + one for one in blocks)
    compressor = _COMPRESSORS[codec]()
    for piece in pieces:
        compressor.compress(piece)
    return bytes(compressor.finish())


def _pieces(head: bytes, size: int, tail: bytes) -> Iterator[bytes]:
    yield head
    zeros = bytes(_STEP)
    for begin in range(0, size, _STEP):
        yield zeros[: min(_STEP, size - begin)]
    yield tail


def message(
    offset: int,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    *,
    magic: int = 1,
    attributes: int = 0,
    timestamp: int = 0,
) -> bytes:
    """Return a message of format 0 or 1."""
    body = struct.pack(">bb", magic, attributes) + (struct.pack(">q", timestamp) if magic else b"")
    for content in (key, value):
        body += struct.pack(">i", -1) if content is None else struct.pack(">i", len(content)) + content
    return struct.pack(">qiI", offset, len(body) + 4, crc32(body)) + body


def resealed_message(message: bytearray) -> bytes:
    """Return a changed message with its right length and checksum."""
    struct.pack_into(">iI", message, 8, len(message) - 12, crc32(memoryview(message)[16:]))
    return bytes(message)


def message_set(messages: Iterable[bytes], last: int, *, codec: int, magic: int = 1) -> bytes:
    """Return messages as a compressed set whose last message has the offset *last*."""
    return message(last, None, CODECS[codec](b"".join(messages)), magic=magic, attributes=codec)
