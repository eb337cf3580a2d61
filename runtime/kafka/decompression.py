"""Decompress a batch up to a bound: whoever writes a few kilobytes chooses how large they become."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress

import cramjam

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4

_LEAST_GUESS = 16 * 1024
_USUAL_RATIO = 8
_GROWTH = 8
_FULL = "failed to write whole buffer"
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16  # the magic bytes, a version, and the lowest compatible version
_BLOCK_LENGTH = struct.Struct(">i")


class CannotDecompress(Exception):
    """A payload that cannot be decompressed; the text says why."""


class TooLarge(CannotDecompress):
    """A payload that exceeds the bound when decompressed."""

    def __init__(self, at_most: int) -> None:
        super().__init__(f"more than {at_most} bytes when decompressed")


def decompress(codec: int, payload: bytes, at_most: int) -> bytes:
    """
    Return the decompressed *payload*, of at most *at_most* bytes; never use more memory than that.

    Raises:
        CannotDecompress: The payload is larger, corrupt, or has a codec that Kafka does not know.
    """
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise CannotDecompress(f"unknown codec {codec}")
    return decoder(payload, at_most)


def _streamed(decompress_into: Callable[[bytes, bytearray], int]) -> Callable[[bytes, int], bytes]:
    def decode(payload: bytes, at_most: int) -> bytes:
        # Nearly every batch fits the first guess. A buffer of the whole bound would cost more to clear.
        guess = max(_LEAST_GUESS, _USUAL_RATIO * len(payload))
        while guess < at_most:
            with suppress(TooLarge):
                return _into(decompress_into, payload, guess)
            guess *= _GROWTH
        return _into(decompress_into, payload, at_most)

    return decode


def _into(decompress_into: Callable[[bytes, bytearray], int], payload: bytes, at_most: int) -> bytes:
    buffer = bytearray(at_most)
    try:
        length = decompress_into(payload, buffer)
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise TooLarge(at_most) from error
        raise CannotDecompress("corrupt compressed data") from error
    return bytes(memoryview(buffer)[:length])


def _snappy(payload: bytes, at_most: int) -> bytes:
    """Decompress raw snappy, or the blocks of it that Java's clients write."""
    if not payload.startswith(_XERIAL) or len(payload) < _XERIAL_HEADER_BYTES:
        return _snappy_block(payload, at_most, left=at_most)
    blocks: list[bytes] = []
    left, at = at_most, _XERIAL_HEADER_BYTES
    while at < len(payload):
        if at + _BLOCK_LENGTH.size > len(payload):
            raise CannotDecompress("corrupt compressed data")
        (length,) = _BLOCK_LENGTH.unpack_from(payload, at)
        at += _BLOCK_LENGTH.size
        if not 0 < length <= len(payload) - at:
            raise CannotDecompress("corrupt compressed data")
        blocks.append(_snappy_block(payload[at : at + length], at_most, left=left))
        left -= len(blocks[-1])
        at += length
    return b"".join(blocks)


def _snappy_block(block: bytes, at_most: int, *, left: int) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(block) > left:
            raise TooLarge(at_most)
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise CannotDecompress("corrupt compressed data") from error


_DECODERS: Mapping[int, Callable[[bytes, int], bytes]] = {
    GZIP: _streamed(cramjam.gzip.decompress_into),
    SNAPPY: _snappy,
    LZ4: _streamed(cramjam.lz4.decompress_into),
    ZSTD: _streamed(cramjam.zstd.decompress_into),
}
