"""Check that a replay adds no recipient, no `sent` and no place to those of the event and the ledger."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from consumers.contacts import Invalid
from consumers.delivery.decisions import Delivery
from consumers.delivery.recipients import recipients_of
from consumers.delivery.replay_bounds import within_bounds
from schemas.contacts import Contact
from schemas.dispatch import Dispatch, Origin, Recipient, Status, fold
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event, Role
from tests.unit.dispatches import COORDINATOR, INSTANTS, MENTOR, NOW, ORIGIN, changed, dispatch_of, recipients

KIND = EVENTS_BY_NAME["pause-activated"]
EVENT = Event(kind=KIND, id="1", source="/tests", data=KIND.model.model_validate(KIND.example))
CONTACT = Contact(id="mentor-042", role=Role.MENTOR, email="m@example.org", coordinator_id="coordinator-007")
OTHERS = [MENTOR, COORDINATOR, changed(MENTOR, contact_id="mentor-100"), changed(COORDINATOR, contact_id="c-100")]

INVALID = Invalid("email", CONTACT.model_copy(update={"email": None}))

mentors = st.sampled_from([CONTACT, CONTACT.model_copy(update={"coordinator_id": "c-200"}), INVALID, None])
states = st.lists(st.sampled_from(OTHERS), unique=True, max_size=4).flatmap(
    lambda who: st.tuples(*(recipients(one) for one in who))
)
origins = st.builds(
    Origin,
    topic=st.sampled_from([PAUSES_TOPIC, "elsewhere"]),
    partition=st.sampled_from([5, 6]),
    offset=st.sampled_from([-1, 3, 8, 9, 10**9]),
    appended_at=INSTANTS,
)


def of_the_event(states: tuple[Recipient, ...], **changes: Any) -> Dispatch:
    """Return a dispatch of the event with these recipients."""
    identity = {"dispatch_id": EVENT.dispatch_id, "digest": EVENT.digest}
    return dispatch_of(*states, **{**identity, **changes})


carried_ones = st.builds(
    of_the_event,
    states,
    origin=origins,
    seen_through=st.dictionaries(st.sampled_from([PAUSES_TOPIC, "x"]), st.integers()),
)
known_ones = st.none() | st.builds(of_the_event, states)


def bounded(carried: Dispatch, known: Dispatch | None, mentor: Contact | Invalid | None) -> Dispatch:
    """Return what the bounds leave of a carried dispatch."""
    delivery = Delivery(EVENT, structs.replace(ORIGIN, offset=9), NOW, replay=True, carried=carried)
    left = within_bounds(delivery, known, recipients_of(EVENT, mentor)).carried
    assert left is not None
    return left


def sent_to(dispatch: Dispatch | None) -> set[str]:
    """Return the contacts that were sent to."""
    return {one.contact_id for one in (dispatch.recipients if dispatch else ()) if one.status is Status.SENT}


@given(carried=carried_ones, known=known_ones, mentor=mentors)
def test_a_replay_cannot_say_sent(carried: Dispatch, known: Dispatch | None, mentor: Contact | Invalid | None) -> None:
    """Merged into the known dispatch, the carried one adds no `sent`."""
    left = bounded(carried, known, mentor)

    assert sent_to(known) == sent_to(left if known is None else fold(known, left))
    assert sent_to(left) <= sent_to(known)


@given(carried=carried_ones, known=known_ones, mentor=mentors)
def test_a_replay_adds_no_recipients(
    carried: Dispatch, known: Dispatch | None, mentor: Contact | Invalid | None
) -> None:
    """It names only those of the contacts and of the ledger's dispatch, each once."""
    left = [one.contact_id for one in bounded(carried, known, mentor).recipients]
    concerned = {one.contact_id for one in recipients_of(EVENT, mentor)}

    assert {*left} <= concerned | {one.contact_id for one in (known.recipients if known else ())}
    assert len(left) == len({*left})


@given(carried=carried_ones, mentor=mentors)
def test_a_recipient_carried_as_sent_is_not_sent_to_again(carried: Dispatch, mentor: Contact | Invalid | None) -> None:
    """The ledger may have forgotten the dispatch: whoever is carried as sent is final."""
    left = bounded(carried, None, mentor)

    assert all(one.status.final for one in left.recipients if one.contact_id in sent_to(carried))


@given(carried=carried_ones, known=known_ones)
def test_the_origin_lies_before_the_replay(carried: Dispatch, known: Dispatch | None) -> None:
    """The origin and the processed offsets lie earlier in the same partition."""
    left = bounded(carried, known, CONTACT)

    assert PAUSES_TOPIC == left.origin.topic
    assert 5 == left.origin.partition
    assert 0 <= left.origin.offset <= 9
    assert all((topic, 0 <= offset < 9) == (PAUSES_TOPIC, True) for topic, offset in left.seen_through.items())
