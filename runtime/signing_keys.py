"""The signing keys of a program: read once at the start, and told of in its log."""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.environment import InvalidSettings
from runtime.kafka.records import Record
from runtime.settings import Settings, env_name
from schemas.events import FACADE_SOURCE
from schemas.signatures import NO_KEYS, InvalidSigningKeys, Proof, SigningKeys, parse_signing_keys, without_ours

log = structlog.get_logger(__name__)


def read_signing_keys(settings: Settings) -> SigningKeys:
    """
    Return the keys in the file that the settings name; without one, no keys.

    Raises:
        InvalidSettings: the file cannot be read, or is no file of keys.
    """
    file = settings.signing_keys_file
    if file is None:
        return NO_KEYS
    try:
        return parse_signing_keys(file.read_text(encoding="utf-8"))
    except (InvalidSigningKeys, OSError, UnicodeDecodeError) as error:
        problem = f"{file}: {error}" if isinstance(error, InvalidSigningKeys) else str(error)
        raise InvalidSettings((f"{env_name('signing_keys_file')} cannot be used. {problem}",)) from None


def log_signing_keys(keys: SigningKeys) -> None:
    """Log which keys a program has, or that it believes no header of ours."""
    if keys:
        log.info("signing.keys", signs=keys.ids[0], verifies=keys.ids)
    else:
        log.warning("signing.off", set=env_name("signing_keys_file"), effect="no pn_ header of a record is believed")


def checked(record: Record, keys: SigningKeys) -> tuple[Proof, Record]:
    """Return what is proven of a record, and the record with the headers that count: ours only if they are proven."""
    proof = keys.check(record.topic, record.key, record.value, record.headers)
    if proof.proven:
        return proof, record
    others = without_ours(record.headers)
    return proof, record if len(others) == len(record.headers) else replace(record, headers=others)


def is_impostor(source: str, proof: Proof) -> bool:
    """Return whether a record claims to be a facade's and is not. Without keys nobody can tell, and it is taken."""
    return source == FACADE_SOURCE and proof not in {Proof.PROVEN, Proof.NO_KEYS}
