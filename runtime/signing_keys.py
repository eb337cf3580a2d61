"""A program's signing keys: read once at the start, and logged by their ids."""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.environment import InvalidSettings
from runtime.kafka.records import Record
from runtime.settings import Settings, env_name
from schemas.cloudevents import NotAnEvent, decode
from schemas.events import Event
from schemas.signatures import (
    NO_KEYS,
    InvalidSigningKeys,
    Proof,
    SigningKeys,
    decode_signing_keys,
    parse_signing_keys,
    without_ours,
)

log = structlog.get_logger(__name__)


def read_signing_keys(settings: Settings) -> SigningKeys:
    """
    Return the keys in the file that the settings name; without one, no keys.

    Raises:
        InvalidSettings: The file cannot be read, or does not hold keys.
    """
    file = settings.signing_keys_file
    if file is None:
        return NO_KEYS
    try:
        return parse_signing_keys(decode_signing_keys(file.read_bytes()))
    except (InvalidSigningKeys, OSError) as error:
        problem = f"{file}: {error}" if isinstance(error, InvalidSigningKeys) else str(error)
        raise InvalidSettings((f"{env_name('signing_keys_file')} cannot be used. {problem}",)) from None


def log_signing_keys(keys: SigningKeys) -> None:
    """Log the ids of a program's keys, or that it trusts no `pn_` header."""
    if keys:
        log.info("signing.keys", signs=keys.ids[0], verifies=keys.ids)
    else:
        log.warning("signing.off", set=env_name("signing_keys_file"), effect="no pn_ header of a record is believed")


def proof_of(record: Record, keys: SigningKeys) -> Proof:
    """Return what is proven about a record."""
    return keys.check(record.topic, record.key, record.value, record.headers)


def checked(record: Record, keys: SigningKeys) -> tuple[Proof, Record]:
    """Return what is proven about a record, and the record without our headers unless they are proven."""
    proof = proof_of(record, keys)
    if proof.proven:
        return proof, record
    others = without_ours(record.headers)
    return proof, record if len(others) == len(record.headers) else replace(record, headers=others)


def is_impostor(event: Event, proof: Proof) -> bool:
    """Return whether a record falsely claims to come from one of ours; without keys nobody can tell: return False."""
    return event.needs_proof and not proof.counts


def sound_event(record: Record, keys: SigningKeys) -> tuple[Event, Record] | None:
    """Return the event in a record, and the record as `checked` does; None if it is invalid, or an impostor's."""
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent:
        return None
    proof, believed = checked(record, keys)
    return None if is_impostor(event, proof) else (event, believed)
