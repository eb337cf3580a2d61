"""Who is who, and who coordinates whom: the contacts topic and the contacts file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated
from zoneinfo import ZoneInfo

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.events import ContactId, Role, ShortText

CONTACTS_TOPIC = "mentor.contacts.v1"


class InvalidContact(ValueError):
    """A contact that does not fit the contract, naming line and field where it came from a file."""


def _address(text: str) -> str:
    """Check the form of an address: SES takes ASCII only, and reserved names serve tests and samples."""
    try:
        checked = validate_email(text, check_deliverability=False, test_environment=True, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError("must be an e-mail address") from error
    return checked.ascii_email or checked.normalized


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be an IANA time zone, such as Europe/Berlin") from error
    return name


class Contact(BaseModel):
    """A person who may be told."""

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
    email: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, max_length=320, description="Where to write to; a contact without one cannot be told."
    )
    name: ShortText | None = Field(default=None, description="How the person is addressed.")
    locale: str = Field(default="en", max_length=35, description="BCP 47 language; English where we have none of it.")
    timezone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", description="IANA time zone.")
    coordinator_id: ContactId | None = Field(default=None, description="Who coordinates this mentor, if anybody.")


def parse_contact(value: bytes | str, *, key: str | None = None) -> Contact:
    """
    Read one contact from JSON; where *key* is given, its id must equal it.

    Raises:
        InvalidContact: naming the fields that are wrong, never their values.
    """
    try:
        contact = Contact.model_validate_json(value)
    except ValidationError as error:
        raise InvalidContact(_fields(error)) from None
    if key is not None and contact.id != key:
        raise InvalidContact("id: differs from the record's key")
    return contact


def read_contacts(lines: Iterable[str]) -> Iterator[Contact]:
    """
    Read a contacts file: JSON Lines, blank lines passed over.

    Raises:
        InvalidContact: at the first line that is wrong, naming line and field; also for an id that stands twice.
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
            raise InvalidContact(f"line {number}: id: stands on line {seen[contact.id]} already")
        seen[contact.id] = number
        yield contact


def contact_json(contact: Contact) -> bytes:
    """Write a contact as the value of its record."""
    return json.dumps(contact.model_dump(mode="json", exclude_none=True), ensure_ascii=False).encode()


def _fields(error: ValidationError) -> str:
    """Say which fields are wrong and why, without repeating a value: an address must not reach a log."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, p['loc'])) or 'line'}: {p['msg'].removeprefix('Value error, ')}" for p in problems
    )
