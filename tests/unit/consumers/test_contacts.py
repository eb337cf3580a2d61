"""The table of contacts: what it keeps of a faulty record, and how often it reports the fault."""

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
    """Return the value of a contact's record with *fields* changed; a field that is `...` is left out."""
    whole = {"id": ID, "role": "mentor", "email": "m@example.org", "coordinator_id": "c", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def read(value: bytes) -> Contact | Invalid | None:
    """Return the entry of a table after that record."""
    contacts = Contacts()
    contacts.take(ID.encode(), value)
    return contacts.get(ID)


@pytest.mark.parametrize("left_out", [None, ...])
@pytest.mark.parametrize("field", ["name", "locale", "timezone", "coordinator_id", "email"])
def test_null_is_a_field_left_out(field: str, left_out: Any) -> None:
    """Null means the same as a missing field, since many writers write null for what they do not know."""
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
def test_a_cosmetic_field_falls_back(field: str, wrong: Any, instead: Any) -> None:
    """A contact with a valid id and address is valid, whatever else is wrong with it."""
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
def test_the_rest_of_an_invalid_contact_is_known(fields: dict[str, Any], wrong: str) -> None:
    """The entry names the faulty field and still knows who coordinates the mentor."""
    known = read(record(**fields))

    assert isinstance(known, Invalid)
    assert wrong == known.field
    assert "c" == known.rest.coordinator_id


def test_of_a_record_about_somebody_else_nothing_is_believed() -> None:
    """If key and id name two people, no field is used: the coordinator may be the other person's."""
    assert Invalid("id", Contact(id=ID, role=Role.MENTOR)) == read(record(id="mentor-043"))


@pytest.mark.parametrize("value", [b"[]", b"{", b"", b"\xff", b"[" * 5000, b'"x"'])
def test_a_value_that_is_no_object_is_invalid(value: bytes) -> None:
    """The entry names the value, since there is no field to name."""
    assert Invalid("value", Contact(id=ID, role=Role.MENTOR)) == read(value)


@given(
    st.dictionaries(
        st.sampled_from([*Contact.model_fields, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
    )
)
def test_no_record_stops_the_reading(fields: dict[str, Any]) -> None:
    """Any value of any field can be read, and the entry is within the contract."""
    known = read(record(**fields))
    contact = known.rest if isinstance(known, Invalid) else known

    assert contact is not None
    assert contact == Contact.model_validate(contact.model_dump())


def test_an_id_that_no_event_can_name_is_not_kept() -> None:
    """A contact whose id no event can name is neither valid nor invalid."""
    contacts = Contacts()
    contacts.take(b"a\nb", record(id="a\nb"))

    assert 0 == contacts.valid
    assert 0 == contacts.invalid


class TestReports:
    """Faults are logged once for each contact and counted by field, never with a value."""

    def test_a_fault_is_reported_once(self) -> None:
        """A second record with the same faults reports nothing."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        with capture_logs() as logs:
            for _ in range(3):
                contacts.take(ID.encode(), record(timezone="secret", name="secret\n"))

        assert ["contacts.fallback"] == [log["event"] for log in logs]
        assert ID == logs[0]["contact"]
        assert ["name", "timezone"] == sorted(counted)
        assert "secret" not in str(logs)

    def test_a_fault_that_comes_back_is_reported_again(self) -> None:
        """A corrected fault is forgotten, and so are the faults of a deleted contact."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        for value in (record(email="secret"), record(), record(email="secret"), None, record(email="secret")):
            contacts.take(ID.encode(), value)

        assert ["email"] * 3 == counted

    def test_an_invalid_contact_is_reported_as_such(self) -> None:
        """An invalid contact has a log event of its own, since it receives no e-mail."""
        with capture_logs() as logs:
            read(record(email="secret", timezone="secret"))

        assert ["contacts.invalid"] == [log["event"] for log in logs]
        assert "email: must be an e-mail address" in logs[0]["problem"]
        assert "secret" not in str(logs)

    def test_only_some_of_very_many_faults_are_logged(self) -> None:
        """A producer of many faulty contacts does not fill the log; the metric counts all of them."""
        counted: list[str] = []
        contacts = Contacts(on_fault=counted.append)
        with capture_logs() as logs:
            for number in range(1500):
                contacts.take(f"m-{number}".encode(), record(id=f"m-{number}", timezone="secret"))

        assert 1500 == len(counted)
        assert 1000 == len(logs)
