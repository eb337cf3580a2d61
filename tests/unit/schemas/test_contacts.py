"""Contacts: which are valid, and which errors the others cause."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import available_timezones

import pytest
from babel.core import get_global

from schemas.contacts import (
    MAX_CONTACT_BYTES,
    Contact,
    InvalidContact,
    contact_json,
    parse_contact,
    read_contact,
    read_contacts,
)
from schemas.events import Role
from schemas.zones import iana_zone

AMARA: dict[str, Any] = {
    "id": "mentor-042",
    "role": "mentor",
    "email": "amara@example.org",
    "name": "Amara Diallo",
    "locale": "en",
    "timezone": "Europe/Berlin",
    "coordinator_id": "coordinator-007",
}


def line_of(**changes: Any) -> str:
    """Return a contact's line with *changes*; ... omits a field."""
    return json.dumps({name: value for name, value in {**AMARA, **changes}.items() if value is not ...})


class TestContact:
    """One person."""

    def test_a_written_contact_is_read_back_unchanged(self) -> None:
        """Its texts may have characters beyond ASCII."""
        contact = Contact.model_validate({**AMARA, "name": "Zoë 🎉", "id": "Zoë"})

        assert contact == parse_contact(contact_json(contact), key="Zoë")

    def test_id_and_role_suffice(self) -> None:
        """Such a contact has the default locale and time zone."""
        contact = parse_contact('{"id": "c", "role": "coordinator"}')

        assert Contact(id="c", role=Role.COORDINATOR, locale="en", timezone="UTC") == contact

    def test_a_contact_under_another_key_is_refused(self) -> None:
        """A contact must not be found under another contact's id."""
        with pytest.raises(InvalidContact, match=r"^id: differs from the record's key$"):
            parse_contact(line_of(), key="mentor-043")

    def test_too_long_a_value_is_not_parsed(self) -> None:
        """Parsing may take two hundred times its bytes. The contact is known, but gets no e-mail."""
        value = line_of().encode() + b" " * MAX_CONTACT_BYTES

        _, faults = read_contact(value, key=AMARA["id"])

        assert {"value": f"must have at most {MAX_CONTACT_BYTES} bytes"} == faults

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("A.B@EXAMPLE.org", "A.B@example.org"),
            ("amara@bücher.example", "amara@xn--bcher-kva.example"),
            ("amara..diallo.@example.org", "amara..diallo.@example.org"),
            ('"amara diallo"@example.org', '"amara diallo"@example.org'),
            ('"a@b"@example.org', '"a@b"@example.org'),
            ("o'neil+x/y=z@example.org", "o'neil+x/y=z@example.org"),
            ("amara@under_score.example", "amara@under_score.example"),
        ],
    )
    def test_an_address_is_kept_as_ses_accepts_it(self, given: str, kept: str) -> None:
        """The domain becomes ASCII in lower case. The part before it stays as it is, and SES judges it."""
        assert kept == parse_contact(line_of(email=given)).email


WRONG: dict[str, tuple[str, Any]] = {
    "no address": ("email", "secret-address"),
    "two addresses": ("email", "secret@a.example,secret@b.example"),
    "two addresses in brackets": ("email", "<secret@a.example> <secret@b.example>"),
    "an address with its name": ("email", "Secret <secret@a.example>"),
    "an address after a quoted one": ("email", '"secret"@a.example"@b.example'),
    "nothing before the @": ("email", "@secret.example"),
    "nothing after the @": ("email", "secret@"),
    "a line's end after the address": ("email", "secret@a.example\n"),
    "a header in quotes": ("email", '"secret\r\nBcc: x"@a.example'),
    "a domain that is none": ("email", "secret@ü..example"),
    "a header in the address": ("email", "secret@a.example\r\nBcc: x@b.example"),
    "a mailbox beyond ASCII": ("email", "sécret@a.example"),
    "too long an address": ("email", "s" * 321),
    "an address that is a number": ("email", 4711),
    "an unknown role": ("role", "secret-role"),
    "an unknown zone": ("timezone", "Secret/Zone"),
    "a zone that is a path": ("timezone", "../../etc/secret"),
    "a zone that is a folder": ("timezone", "Europe"),
    "a control character in the name": ("name", "secret\nname"),
    "an empty name": ("name", ""),
    "a name that nobody sees": ("name", "\u200b\u2060\ufeff\u202e \u00ad\u3164\u115f\u2800\ufe0f\u034f"),
    "an empty coordinator": ("coordinator_id", ""),
    "too long an id": ("id", "secret" * 30),
    "too long a language": ("locale", "secret" * 10),
    "no id": ("id", ...),
    "no role": ("role", ...),
}


class TestFile:
    """A contacts file."""

    @pytest.mark.parametrize(("field", "value"), WRONG.values(), ids=WRONG)
    def test_an_error_names_line_and_field_but_no_value(self, field: str, value: Any) -> None:
        """A person can find the fault, but no address or name reaches a log."""
        lines = [line_of(id="first"), "", line_of(**{field: value})]

        with pytest.raises(InvalidContact) as refused:
            list(read_contacts(lines))

        text = str(refused.value)
        assert text.startswith(f"line 3: {field}: ")
        assert not any(part in text.lower() for part in ("secret", "sécret", "amara", "4711", "../", "\n"))

    @pytest.mark.parametrize("line", ["{secret", "[]", '"secret"', "null", '{"id": "\\ud800"}', "1"])
    def test_a_line_that_is_not_an_object_is_refused(self, line: str) -> None:
        """The error names its number."""
        with pytest.raises(InvalidContact, match=r"^line 1: (is|must) ") as refused:
            list(read_contacts([line]))

        assert "secret" not in str(refused.value)

    def test_a_repeated_id_is_refused(self) -> None:
        """The error names both lines."""
        with pytest.raises(InvalidContact, match=r"^line 3: id: is already on line 1$"):
            list(read_contacts([line_of(), line_of(id="other"), line_of()]))

    def test_contacts_are_read_in_the_order_of_the_file(self) -> None:
        """Blank lines and unknown fields are ignored."""
        lines = [line_of(), "  \n", line_of(id="b", colour="green")]

        assert ["mentor-042", "b"] == [contact.id for contact in read_contacts(lines)]


@pytest.mark.parametrize("name", ["Zoë", "李", "O'Neil", "😀", "Ⅻ", "\u200bAmara\u200b", "محمد", "-"])
def test_a_name_with_a_visible_character_is_valid(name: str) -> None:
    """It may be in any script, and may have invisible characters, too."""
    assert name == parse_contact(line_of(name=name)).name


def test_every_zone_is_known_in_any_case() -> None:
    """Each IANA zone is also found by its name in capitals."""
    zones = sorted(available_timezones())

    assert zones == [iana_zone(zone.upper()) for zone in zones]


def test_every_zone_of_windows_is_known() -> None:
    """Each name in CLDR's table means an IANA zone."""
    for name in get_global("windows_zone_mapping"):
        assert iana_zone(name) in available_timezones()
