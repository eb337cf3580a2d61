"""How dead letters are counted."""

from __future__ import annotations

from deploy.command.dead_letters.browse import Counts
from deploy.command.dead_letters.selection import Selection, StoredLetter
from schemas.dead_letters import DeadLetter, DeadLetterReason
from tests.unit.deploy.command.dead_letters.test_plan import FAILED, an_event, as_stored, dispatch_with, letter_of
from tests.unit.dispatches import NOW


def _about_feedback() -> StoredLetter:
    """Return a letter about feedback, whose record has the dispatch's id as its key."""
    event = an_event()
    dispatch = dispatch_with(event, FAILED)
    key = event.dispatch_id.encode()
    reason = DeadLetterReason.COORDINATOR_UNREACHABLE
    return as_stored(DeadLetter(reason, dispatch.origin, key, b"{}", [], "", dispatch))


def test_a_letter_about_feedback_counts_for_its_mentor() -> None:
    """Its record's key is the id of a dispatch, which is no mentor."""
    counts = Counts(NOW)
    counts.add(_about_feedback())

    assert {"mentor-042": 1} == counts.as_json()["mentors"]


def test_a_letter_about_feedback_is_found_by_its_mentor() -> None:
    """So `--mentor` shows all that went wrong for somebody."""
    assert Selection(mentor="mentor-042").matches(_about_feedback())


def test_an_event_counts_for_the_mentor_in_its_data() -> None:
    """A producer may have written another key, or none."""
    event = an_event()
    stored = letter_of(event, dispatch_with(event, FAILED))

    assert event.mentor_id == stored.mentor
