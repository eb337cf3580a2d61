"""Find the contact that an e-mail is composed for."""

from __future__ import annotations

import pytest

from consumers.contacts import Contacts
from consumers.delivery.composer import NoAddressee, addressee
from schemas.dispatch import Reason
from tests.unit.dispatches import MENTOR


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NoAddressee(Reason.UNKNOWN_CONTACT)),
        (b"{}", NoAddressee(Reason.INVALID_CONTACT, "id")),
        (b"[]", NoAddressee(Reason.INVALID_CONTACT, "value")),
        (b'{"id":"mentor-042","role":"mentor","email":"nobody"}', NoAddressee(Reason.INVALID_CONTACT, "email")),
        (b'{"id":"mentor-042","role":"mentor"}', NoAddressee(Reason.NO_ADDRESS)),
        (b'{"id":"mentor-042","role":"mentor","email":null}', NoAddressee(Reason.NO_ADDRESS)),
    ],
)
def test_a_recipient_without_a_usable_contact_has_a_reason(value: bytes | None, expected: NoAddressee) -> None:
    """The contact is unknown, has an invalid field, which is named, or has no address."""
    contacts = Contacts()
    contacts.take(b"mentor-042", value)

    assert expected == addressee(MENTOR, contacts)
