"""The table of contacts: what is kept of a record that is not as it should be, and how often that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumers.contacts import Contacts, Invalid
from schemas.contacts import Contact
from schemas.events import Role

ID = "mentor-042"


def record(**fields: Any) -> bytes:
    """Return the value of a contact's record, but for what is stated; a field that is ... is left out."""
    whole = {"id": ID, "role": "mentor", "email": "m@example.org", "coordinator_id": "c", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def read(value: bytes) -> Contact | Invalid | None:
    """Return what a table holds after that record."""
    contacts = Contacts()
    contacts.take(ID.encode(), value)
    return contacts.get(ID)


@pytest.mark.parametrize("left_out", [None, ...])
@pytest.mark.parametrize("field", ["name", "locale", "timezone", "coordinator_id", "email"])
def test_null_is_a_field_left_out(field: str, left_out: Any) -> None:
    """Many writers write null for what they do not know."""
    contacts = Contacts(on_fault=lambda field: pytest.fail(f"{field} was counted"))
    contacts.take(ID.encode(), record(**{field: left_out}))

    known = contacts.get(ID)
    assert isinstance(known, Contact)
    assert Contact.model_fields[field].default == getattr(known, field)


@pytest.mark.parametrize(
    ("field", "wrong", "instead"),
    [
        ("timezone", "", "UTC"),
        ("timezone", "Mars/Olympus", "UTC"),
        ("timezone", 2, "UTC"),
        ("timezone", "../../etc/passwd", "UTC"),
        ("timezone", "europe/berlin", "Europe/Berlin"),
        ("timezone", "W. Europe Standard Time", "Europe/Berlin"),
        ("timezone", "w. europe standard time", "Europe/Berlin"),
        ("locale", 7, "en"),
        ("locale", "d" * 36, "en"),
        ("name", "Amara\nDiallo", None),
        ("name", "", None),
        ("name", "\u200b", None),
        ("name", "n" * 501, None),
        ("name", ["Amara"], None),
        ("coordinator_id", "", None),
        ("coordinator_id", " ", None),
    ],
)
def test_what_is_cosmetic_falls_back(field: str, wrong: Any, instead: Any) -> None:
    """A contact whose id and address are right can be written to, whatever else is wrong with it."""
    known = read(record(**{field: wrong}))

    assert isinstance(known, Contact)
    assert instead == getattr(known, field)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": ""}, "email"),
        ({"email": 7}, "email"),
        ({"role": "owner"}, "role"),
        ({"role": None}, "role"),
        ({"id": ...}, "id"),
        ({"id": 42}, "id"),
        ({"email": "nobody", "role": "owner", "timezone": ""}, "role"),
    ],
)
def test_of_a_contact_that_is_invalid_the_rest_is_known(fields: dict[str, Any], wrong: str) -> None:
    """The field is named, and who coordinates the mentor is still known."""
    known = read(record(**fields))

    assert isinstance(known, Invalid)
    assert wrong == known.field
    assert "c" == known.rest.coordinator_id


def test_of_a_record_about_somebody_else_nothing_is_believed() -> None:
    """When key and id name two people, the coordinator may be the other one's, who must not hear of this mentor."""
    assert Invalid("id", Contact(id=ID, role=Role.MENTOR)) == read(record(id="mentor-043"))


@pytest.mark.parametrize("value", [b"[]", b"{", b"", b"\xff", b"[" * 5000, b'"x"'])
def test_a_value_that_is_no_object_is_invalid_as_a_whole(value: bytes) -> None:
    """There is no field to name."""
    assert Invalid("value", Contact(id=ID, role=Role.MENTOR)) == read(value)


@given(
    st.dictionaries(
        st.sampled_from([*Contact.model_fields, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
    )
)
def test_whatever_a_record_holds_the_table_takes_it(fields: dict[str, Any]) -> None:
    """No value of any field stops the reading, and what is kept is within the contract."""
    known = read(record(**fields))
    contact = known.rest if isinstance(known, Invalid) else known

    assert contact is not None
    assert contact == Contact.model_validate(contact.model_dump())


def test_an_id_that_none_can_ask_for_is_not_kept() -> None:
    """No event can name such a mentor, so that nobody is missed."""
    contacts = Contacts()
    contacts.take(b"a\nb", record(id="a\nb"))

    assert (0, 0) == (contacts.valid, contacts.invalid)


class TestTelling:
    """What is wrong is logged once a contact and counted by field, and never with a value."""

    def test_a_fault_is_told_once(self) -> None:
        """A record that comes again with the same faults says nothing new."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        with capture_logs() as logs:
            for _ in range(3):
                contacts.take(ID.encode(), record(timezone="secret", name="secret\n"))

        assert ["contacts.fallback"] == [log["event"] for log in logs]
        assert ID == logs[0]["contact"]
        assert ["name", "timezone"] == sorted(counted)
        assert "secret" not in str(logs)

    def test_a_fault_that_comes_back_is_told_again(self) -> None:
        """Once mended it is forgotten; so is a contact that was forgotten."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        for value in (record(email="secret"), record(), record(email="secret"), None, record(email="secret")):
            contacts.take(ID.encode(), value)

        assert ["email"] * 3 == counted

    def test_a_contact_that_is_invalid_is_told_as_such(self) -> None:
        """Nobody is written to there, which is worse than a fallback."""
        with capture_logs() as logs:
            read(record(email="secret", timezone="secret"))

        assert ["contacts.invalid"] == [log["event"] for log in logs]
        assert "email: must be an e-mail address" in logs[0]["problem"]
        assert "secret" not in str(logs)

    def test_faults_of_very_many_are_logged_of_some(self) -> None:
        """A producer that writes all contacts wrongly does not fill the log; the metric counts all."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        with capture_logs() as logs:
            for number in range(1500):
                contacts.take(f"m-{number}".encode(), record(id=f"m-{number}", timezone="secret"))

        assert 1500 == len(counted)
        assert 1000 == len(logs)
