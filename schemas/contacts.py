"""Contacts: people, their addresses and their coordinators, from the contacts topic or a contacts file."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import from_json, to_json

from schemas.addresses import ADDRESS_PATTERN, MAX_ADDRESS, ascii_address
from schemas.events import ContactId, Role, ShortText
from schemas.violations import violations
from schemas.zones import iana_zone

CONTACTS_TOPIC = "mentor.contacts.v1"

NEEDED = ("value", "id", "role", "email")
"""Fields that must be valid before e-mail is sent to a contact; `value` is the record's value as a whole."""

_MAX_LOCALE = 35
MAX_CONTACT_BYTES = 64 * 1024
"""Far more than any contact needs. JSON of brackets alone takes two hundred times its bytes while it is parsed."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"})
# Unicode classes them as letters or symbols, but they show nothing: Hangul fillers, and braille without a dot.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


class InvalidContact(ValueError):
    """
    A contact breaks the contract. The message names the field, and for a file also the line.

    *faults* are the broken rules by field.
    """

    def __init__(self, message: str, faults: Mapping[str, str] | None = None) -> None:
        self.faults = faults or {}
        super().__init__(message)


def shows_something(text: str) -> bool:
    """Check whether a text has a visible character. A character newer than Python's tables counts as visible."""
    return any(unicodedata.category(character) not in _INVISIBLE and character not in _BLANK for character in text)


def _visible(text: str) -> str:
    if not shows_something(text):
        raise ValueError("must hold a character that can be seen")
    return text


def _default(default: str) -> BeforeValidator:
    """Treat null as a missing field."""
    return BeforeValidator(lambda value: default if value is None else value)


_ADDRESS_SCHEMA = {"type": "string", "maxLength": MAX_ADDRESS, "pattern": ADDRESS_PATTERN}
_LOCALE_SCHEMA = {"anyOf": [{"type": "string", "maxLength": _MAX_LOCALE}, {"type": "null"}]}
_ZONE_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "null"}]}


class Contact(BaseModel):
    """A person who may be notified."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "id": "mentor-042",
                    "role": "mentor",
                    "email": "mentor-042@example.org",
                    "name": "Amara Diallo",
                    "locale": "en",
                    "timezone": "Europe/Berlin",
                    "coordinator_id": "coordinator-007",
                }
            ]
        },
    )

    id: ContactId = Field(description="The contact's id, and the record's key.")
    role: Role = Field(description="What the person is.")
    email: Annotated[str, AfterValidator(ascii_address), WithJsonSchema(_ADDRESS_SCHEMA)] | None = Field(
        default=None, description="The address; a contact without one gets no e-mail."
    )
    name: Annotated[ShortText, AfterValidator(_visible)] | None = Field(
        default=None, description="How the person is addressed."
    )
    locale: Annotated[str, Field(max_length=_MAX_LOCALE), _default("en"), WithJsonSchema(_LOCALE_SCHEMA)] = Field(
        default="en", description="BCP 47 language; English if the service has no texts in it."
    )
    timezone: Annotated[str, AfterValidator(iana_zone), _default("UTC"), WithJsonSchema(_ZONE_SCHEMA)] = Field(
        default="UTC", description="IANA time zone; those of Windows and other cases are read as well."
    )
    coordinator_id: ContactId | None = Field(default=None, description="Who coordinates this mentor, if anybody.")


def parse_contact(value: bytes | str, *, key: str | None = None) -> Contact:
    """
    Read one contact from JSON. If *key* is given, the contact's id must equal it.

    Raises:
        InvalidContact: if a field is invalid. The error names fields, never values.
    """
    if len(value) > MAX_CONTACT_BYTES:
        rule = f"must have at most {MAX_CONTACT_BYTES} bytes"
        raise InvalidContact(rule, {"value": rule})
    try:
        contact = Contact.model_validate_json(value)
    except ValidationError as error:
        faults = _faults(error)
        raise InvalidContact(
            "; ".join(rule if field == "value" else f"{field}: {rule}" for field, rule in faults.items()), faults
        ) from None
    if key is not None and contact.id != key:
        rule = "differs from the record's key"
        raise InvalidContact(f"id: {rule}", {"id": rule})
    return contact


def read_contact(value: bytes, *, key: str) -> tuple[Contact, Mapping[str, str]]:
    """
    Read the contact of the record with this *key*, as far as it can be read.

    An invalid name, locale or time zone is left out: it must not prevent a notification. An invalid coordinator id
    becomes an id that nobody has, so the coordinator's e-mail fails visibly instead of being skipped.

    Returns:
        The contact, and the broken rules by field. If one of `NEEDED` is broken, no e-mail may be sent to the contact.

    Raises:
        InvalidContact: if the key cannot be a contact's id, so that no event can name it.
    """
    try:
        return parse_contact(value, key=key), {}
    except InvalidContact as error:
        faults = error.faults
    given = _object(value)
    kept: dict[str, Any] = {}
    if not isinstance(given.get("id"), str) or given["id"] == key:  # otherwise it may be about somebody else
        kept = {field: content for field, content in given.items() if field not in faults}
        if "coordinator_id" in faults and not _blank(given["coordinator_id"]):
            kept["coordinator_id"] = _nobody(given["coordinator_id"])
    try:
        return Contact.model_validate({"role": Role.MENTOR, **kept, "id": key}), faults
    except ValidationError as error:
        raise InvalidContact(f"id: {_faults(error).get('id', 'is none')}", faults) from None


def _object(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_CONTACT_BYTES:
        return {}
    try:
        given = from_json(value)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _nobody(coordinator_id: object) -> str:
    return f"invalid-{hashlib.sha256(to_json(coordinator_id)).hexdigest()[:16]}"


def read_contacts(lines: Iterable[str]) -> Iterator[Contact]:
    """
    Read a contacts file in JSON Lines; skip blank lines.

    Raises:
        InvalidContact: at the first line that is invalid or repeats an id. The error names line and field.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            contact = parse_contact(line)
        except InvalidContact as error:
            raise InvalidContact(f"line {number}: {error}") from None
        if contact.id in seen:
            raise InvalidContact(f"line {number}: id: is already on line {seen[contact.id]}")
        seen[contact.id] = number
        yield contact


def contact_json(contact: Contact) -> bytes:
    """Write a contact as the value of its record."""
    return json.dumps(contact.model_dump(mode="json", exclude_none=True), ensure_ascii=False).encode()


def _faults(error: ValidationError) -> dict[str, str]:
    """Return the broken rules by field. They repeat no value, since an address must not reach a log."""
    return {str((*broken.place, "value")[0]): broken.rule for broken in violations(error)}
