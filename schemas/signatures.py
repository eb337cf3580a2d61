"""
Signatures prove that a record is ours: an HMAC over everything in it that the service reads.

Anybody who may write to an event topic may write any header. So a `pn_` header counts only if one of our keys signed
the whole record: topic, key, value, the CloudEvents headers and all `pn_` headers, in their order. Producers sign
nothing. A signature does not cover the offset, so a copy of a record is as valid as the original; it is the same event.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from binascii import Error as InvalidBase64
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from schemas.headers import SIGNATURE, Headers, is_ours

MIN_KEY_BYTES = 32
"""The least number of random bytes in a signing key."""

_MIN_DISTINCT_BYTES = 16
"""Only one random key in 10**16 has fewer distinct bytes; passwords and repeated letters often have."""
_DOMAIN = b"pause-notifications record signature v1"
_VERSION = "v1"
_SIGNATURE = re.compile(rb"v1:([0-9a-f]{8}):([0-9a-f]{64})")
_HEX = re.compile(r"[0-9a-fA-F]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_NULL = (0xFFFFFFFF).to_bytes(4, "big")


class Proof(StrEnum):
    """Whether a record's `pn_` headers are proven to be ours: a stable code, and the label of a metric."""

    PROVEN = "proven"
    """One of our keys signed the record as it is."""
    MISSING = "missing"
    """There is no signature."""
    UNREADABLE = "unreadable"
    """The signature has an unknown form, or there are two."""
    UNKNOWN_KEY = "unknown_key"
    """The key is not one of ours: it is a stranger's, or was removed too early."""
    WRONG = "wrong"
    """One of our keys signed, but not this record."""
    NO_KEYS = "no_keys"
    """This installation has no keys, so nothing can be proven."""

    @property
    def proven(self) -> bool:
        """Return whether the record's `pn_` headers count."""
        return self is Proof.PROVEN

    @property
    def counts(self) -> bool:
        """Return whether a record that must be signed counts: it is proven, or without keys nobody can tell."""
        return self in {Proof.PROVEN, Proof.NO_KEYS}


class InvalidSigningKeys(ValueError):
    """A file of signing keys is unusable. The message names the line, never a key."""


class SigningKeys:
    """The keys of one installation: the first signs, all verify. Without keys nothing is signed or proven."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys = {_id_of(key): key for key in keys}
        self._signing = next(iter(self._keys), None)

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the keys' ids, the signing key's first. An id reveals nothing of its key."""
        return tuple(self._keys)

    def signed(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> list[tuple[str, bytes | None]]:
        """Return a record's headers with its signature added at the end; without keys, only remove a signature."""
        kept = [pair for pair in headers if pair[0] != SIGNATURE]
        if self._signing is None:
            return kept
        mac = hmac.digest(self._keys[self._signing], _message(topic, key, value, kept), hashlib.sha256)
        return [*kept, (SIGNATURE, f"{_VERSION}:{self._signing}:{mac.hex()}".encode())]

    def check(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Proof:
        """Return whether one of the keys signed this record."""
        if not self._keys:
            return Proof.NO_KEYS
        signatures = [text for name, text in headers if name == SIGNATURE]
        if not signatures:
            return Proof.MISSING
        found = _SIGNATURE.fullmatch(signatures[0] or b"")
        if found is None or len(signatures) > 1:
            return Proof.UNREADABLE
        signing = self._keys.get(found[1].decode())
        if signing is None:
            return Proof.UNKNOWN_KEY
        mac = hmac.digest(signing, _message(topic, key, value, headers), hashlib.sha256)
        return Proof.PROVEN if hmac.compare_digest(mac.hex().encode(), found[2]) else Proof.WRONG


NO_KEYS = SigningKeys()
"""No keys: nothing is signed, and no `pn_` header counts."""


def decode_signing_keys(content: bytes) -> str:
    """Return the text of a file of signing keys, without a byte order mark; raise InvalidSigningKeys if it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidSigningKeys("It is not UTF-8.") from None


def parse_signing_keys(text: str) -> SigningKeys:
    """
    Read a file of signing keys, one per line in base64 or hexadecimal; skip blank lines and comments (#).

    Raises:
        InvalidSigningKeys: if a line is not a key, or there is no key. The error names the line and what is allowed.
    """
    keys: list[bytes] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = _decoded(line.strip())
        if len(key) < MIN_KEY_BYTES or len({*key}) < _MIN_DISTINCT_BYTES:
            raise InvalidSigningKeys(
                f"Line {number} is no signing key: it must be {MIN_KEY_BYTES} random bytes or more, in base64 or "
                "hexadecimal, as `pause-notifications signing-keys add` makes them."
            )
        if key in keys:
            raise InvalidSigningKeys(f"Line {number} repeats a key.")
        keys.append(key)
    if not keys:
        raise InvalidSigningKeys("There is no key in it. Make one with: pause-notifications signing-keys add FILE")
    return SigningKeys(keys)


def key_id_of(headers: Headers) -> str | None:
    """Return the id of the key that signed a record, as the record itself says; None if it does not say one."""
    signatures = [text for name, text in headers if name == SIGNATURE]
    found = _SIGNATURE.fullmatch(signatures[0] or b"") if len(signatures) == 1 else None
    return None if found is None else found[1].decode()


def without_ours(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Return headers without those that only we may write."""
    return [pair for pair in headers if not is_ours(pair[0])]


def _decoded(text: str) -> bytes:
    """Return the bytes that a line encodes; none if it has neither form."""
    if _HEX.fullmatch(text) and len(text) % 2 == 0:
        return bytes.fromhex(text)
    if not _BASE64.fullmatch(text):
        return b""
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(unpadded + "=" * (-len(unpadded) % 4))
    except InvalidBase64:
        return b""


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"pause-notifications signing key id" + key).hexdigest()[:8]


def _message(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """
    Return the bytes to sign: every part after its length, so that no two records have the same bytes.

    The parts are topic, key, value, then name and value of each header that the service reads, in order. A null has a
    special length. Other headers, such as `traceparent`, may be added on the way.
    """
    return b"".join([_DOMAIN, *_measured([topic.encode(), key, value, *_read_headers(headers)])])


def _read_headers(headers: Headers) -> Iterator[bytes | None]:
    for name, text in headers:
        if name != SIGNATURE and (is_ours(name) or name[:3].lower() == "ce_" or name.lower() == "content-type"):
            yield name.encode("utf-8", "surrogatepass")
            yield text


def _measured(parts: Iterable[bytes | None]) -> Iterator[bytes]:
    for part in parts:
        if part is None:
            yield _NULL
        else:
            yield len(part).to_bytes(4, "big")
            yield part
