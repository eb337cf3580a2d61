"""Contacts: what one may be, and what is said of one that is none."""

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
    """Return a contact's line, but for what is stated; a field that is ... is left out."""
    return json.dumps({name: value for name, value in {**AMARA, **changes}.items() if value is not ...})


class TestContact:
    """One person."""

    def test_it_is_read_as_it_was_written(self) -> None:
        """A contact comes back from its record as itself, characters beyond ASCII among them."""
        contact = Contact.model_validate({**AMARA, "name": "Zoë 🎉", "id": "Zoë"})

        assert contact == parse_contact(contact_json(contact), key="Zoë")

    def test_little_is_needed(self) -> None:
        """Id and role suffice: such a contact is written to in English and UTC, once it has an address."""
        contact = parse_contact('{"id": "c", "role": "coordinator"}')

        assert Contact(id="c", role=Role.COORDINATOR, locale="en", timezone="UTC") == contact

    def test_a_contact_under_another_key_is_refused(self) -> None:
        """A record whose key is not its contact's id would let one be found under another's name."""
        with pytest.raises(InvalidContact, match=r"^id: differs from the record's key$"):
            parse_contact(line_of(), key="mentor-043")

    def test_what_is_too_long_is_refused_unread(self) -> None:
        """JSON may take two hundred times its bytes while it is read; its contact is known, but not written to."""
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
    def test_an_address_is_kept_as_ses_takes_it(self, given: str, kept: str) -> None:
        """The domain becomes ASCII and lower case; the part before it is left alone, and for SES to judge."""
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
    def test_an_error_names_line_and_field_and_no_value(self, field: str, value: Any) -> None:
        """What is wrong is said so that it can be found, without an address or a name reaching a log."""
        lines = [line_of(id="first"), "", line_of(**{field: value})]

        with pytest.raises(InvalidContact) as refused:
            list(read_contacts(lines))

        said = str(refused.value)
        assert said.startswith(f"line 3: {field}: ")
        assert not any(part in said.lower() for part in ("secret", "sécret", "amara", "4711", "../", "\n"))

    @pytest.mark.parametrize("line", ["{secret", "[]", '"secret"', "null", '{"id": "\\ud800"}', "1"])
    def test_a_line_that_is_no_object_is_named(self, line: str) -> None:
        """A line that is no JSON object is refused by its number."""
        with pytest.raises(InvalidContact, match=r"^line 1: line: ") as refused:
            list(read_contacts([line]))

        assert "secret" not in str(refused.value)

    def test_an_id_that_stands_twice_is_refused(self) -> None:
        """The second line is named, and the first."""
        with pytest.raises(InvalidContact, match=r"^line 3: id: stands on line 1 already$"):
            list(read_contacts([line_of(), line_of(id="other"), line_of()]))

    def test_good_lines_are_given_in_their_order(self) -> None:
        """Blank lines are passed over, unknown fields ignored."""
        lines = [line_of(), "  \n", line_of(id="b", colour="green")]

        assert ["mentor-042", "b"] == [contact.id for contact in read_contacts(lines)]


@pytest.mark.parametrize("name", ["Zoë", "李", "O'Neil", "😀", "Ⅻ", "\u200bAmara\u200b", "محمد", "-"])
def test_a_name_that_shows_something_is_a_name(name: str) -> None:
    """Whatever the script, and whatever invisible characters stand beside it."""
    assert name == parse_contact(line_of(name=name)).name


def test_every_zone_is_known_in_any_case() -> None:
    """Each zone of IANA's is found by its name in capitals, too."""
    zones = sorted(available_timezones())

    assert zones == [iana_zone(zone.upper()) for zone in zones]


def test_every_zone_of_windows_is_known() -> None:
    """Each name of CLDR's table stands for a zone of IANA's."""
    for name in get_global("windows_zone_mapping"):
        assert iana_zone(name) in available_timezones()
