"""The contacts, and the records that producers write; made once, for all seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from runtime.kafka.records import Place
from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.contacts import Contact, contact_json
from schemas.events import EVENTS_BY_NAME, Event, Role
from schemas.headers import Headers
from schemas.placement import partition_for
from tests.signing import KEYS
from tests.simulation.kafka import PARTITIONS

TOPICS = Topics()
REFUSED = frozenset({"refused@example.org"})
"""SES never accepts e-mails for these."""


def _mentor(contact_id: str, email: str | None = "m@example.org", coordinator_id: str | None = "c-0") -> Contact:
    return Contact(id=contact_id, role=Role.MENTOR, email=email, coordinator_id=coordinator_id)


KNOWN = {
    contact.id: contact
    for contact in (
        Contact(id="c-0", role=Role.COORDINATOR, email="c@example.org"),
        _mentor("m-0"),
        _mentor("m-1"),
        _mentor("m-2"),
        _mentor("m-3", coordinator_id=None),
        _mentor("m-refused", email="refused@example.org"),
        _mentor("m-no-address", email=None, coordinator_id="c-nobody"),
    )
}
LATE = _mentor("m-late")
"""A contact that is published during the run."""
CONTACTS = {**KNOWN, LATE.id: LATE}
MENTORS = ("m-0", "m-1", "m-2", "m-3") * 3 + ("m-refused", "m-no-address", LATE.id, "m-nobody")
"""The mentors of events; repeated ones are drawn more often."""
SOURCES = ("/simulation/even", "/simulation/odd")
"""By number: the two producers of events."""
KINDS = tuple(EVENTS_BY_NAME)


@dataclass(frozen=True)
class Written:
    """A record as a producer writes it."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Headers
    what: str

    def at(self, place: Place, what: str) -> Written:
        """Return the same record elsewhere."""
        return replace(self, place=place, what=f"{what} {self.what}")


@cache
def contact_record(contact_id: str) -> Written:
    """Return a contact's record."""
    contact = CONTACTS[contact_id]
    return Written(Place(TOPICS.contacts, 0), contact_id.encode(), contact_json(contact), (), f"contact {contact_id}")


@cache
def event_record(mentor_id: str, kind: str, number: int) -> Written:
    """Return the record of one event, in its right place."""
    row = EVENTS_BY_NAME[kind]
    event = Event(
        kind=row,
        id=f"e-{number}",
        source=SOURCES[number % len(SOURCES)],
        data=row.model.model_validate({**row.example, "mentor_id": mentor_id}),
    )
    encoded = encode_binary(event)
    place = Place(encoded.topic, partition_for(mentor_id, PARTITIONS))
    return Written(place, encoded.key, encoded.value, tuple(encoded.headers), f"{kind} e-{number} of {mentor_id}")


def keyless(written: Written, request: int) -> Written:
    """Return the record of a REST call without a key."""
    ours = ((names.REQUEST_ID, b"r-%d" % request), (names.CALLER, b"caller"), (names.KEYLESS, b"1"))
    headers = KEYS.signed(written.place.topic, written.key, written.value, [*written.headers, *ours])
    return replace(written, headers=tuple(headers), what=f"keyless {written.what}")


def poison(written: Written) -> Written:
    """Return an invalid record."""
    return replace(written, value=b"{", what=f"poison for {written.key!r}")
