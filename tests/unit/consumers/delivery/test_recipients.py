"""Find the recipients of an event."""

from __future__ import annotations

import pytest

from consumers.contacts import Invalid
from consumers.delivery.recipients import recipients_of
from schemas.contacts import Contact
from schemas.events import ALL_EVENTS, EVENTS_BY_NAME, Event, Role
from tests.unit.dispatches import COORDINATOR, MENTOR

KIND = EVENTS_BY_NAME["pause-activated"]
EVENT = Event(kind=KIND, id="1", source="/tests", data=KIND.model.model_validate(KIND.example))


@pytest.mark.parametrize(
    ("name", "coordinator", "expected"),
    [
        ("pause-activated", "c", ["mentor-042", "c"]),
        ("pause-lifted", "c", ["mentor-042", "c"]),
        ("cert-expiry", "c", ["mentor-042", "c"]),
        ("cert-expiry-reminder", "c", ["mentor-042"]),
        ("pause-activated", None, ["mentor-042"]),
        ("pause-activated", "mentor-042", ["mentor-042"]),
        ("notice-undelivered", "c", ["c"]),
        ("notice-undelivered", None, []),
        ("notice-undelivered", "mentor-042", []),
    ],
)
def test_the_mentor_and_then_the_coordinator(name: str, coordinator: str | None, expected: list[str]) -> None:
    """Each is named once, even a mentor who coordinates themself; some events concern only one of them."""
    kind = next(kind for kind in ALL_EVENTS if kind.name == name)
    event = Event(kind=kind, id="1", source="/tests", data=kind.model.model_validate(kind.example))
    mentor = Contact(id="mentor-042", role=Role.MENTOR, coordinator_id=coordinator)

    assert expected == [recipient.contact_id for recipient in recipients_of(event, mentor)]


def test_an_invalid_mentor_still_has_a_coordinator() -> None:
    """An invalid contact of the mentor does not keep the e-mail from the coordinator."""
    rest = Contact(id="mentor-042", role=Role.MENTOR, coordinator_id="coordinator-007")

    assert (MENTOR, COORDINATOR) == recipients_of(EVENT, Invalid("email", rest))
