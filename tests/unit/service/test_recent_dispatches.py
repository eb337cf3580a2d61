"""The dispatches that a facade has seen recently."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from msgspec import structs

from runtime.kafka.publisher import Published
from schemas.dispatch import Dispatch, Status, dispatch_json, parse_dispatch
from schemas.events import EVENTS_BY_NAME, Event
from service import recent_dispatches
from service.recent_dispatches import RecentDispatches
from tests.unit.service.dispatches import NOW, dispatch_of


def _json(dispatch_id: str, status: Status = Status.SENT, *, send: int = 1) -> bytes:
    return dispatch_json(dispatch_of(dispatch_id, status, send=send))


def _read(recent: RecentDispatches, dispatch_id: str) -> Dispatch | None:
    known = recent.get(dispatch_id)
    assert known is not None
    return known.dispatch


def test_bounded() -> None:
    """The one longest untouched is forgotten."""
    recent = RecentDispatches(limit=2)
    for dispatch_id in ("a", "b", "a", "c"):
        recent.add_record(dispatch_id, _json(dispatch_id))

    assert [True, False, True] == [recent.get(dispatch_id) is not None for dispatch_id in ("a", "b", "c")]


def test_off() -> None:
    """With a limit of 0 nothing is kept."""
    recent = RecentDispatches(limit=0)
    recent.add_record("a", _json("a"))

    assert recent.get("a") is None


def test_call_and_records() -> None:
    """A call's own event and its records are kept together, the records folded."""
    kind = EVENTS_BY_NAME["pause-lifted"]
    event = Event(kind, "e", "/s", kind.model.model_validate(kind.example))
    published = Published("mentor.pauses.v1", 0, 0, NOW)
    recent = RecentDispatches(limit=1)

    dispatched = structs.replace(dispatch_of(event.dispatch_id), digest=event.digest)

    recent.add_record(event.dispatch_id, dispatch_json(dispatched))
    recent.add_call(event, published, caller="billing")
    recent.add_record(event.dispatch_id, _json(event.dispatch_id, Status.PENDING))

    known = recent.get(event.dispatch_id)
    assert known is not None
    assert event == known.event
    assert published == known.published
    assert "billing" == known.caller
    assert dispatched == known.dispatch


def test_a_call_with_other_content_replaces_nothing() -> None:
    """Of an id that is used twice, the first event is what a look-up is about."""
    kind = EVENTS_BY_NAME["pause-activated"]
    first, other = (
        Event(kind, "e", "/s", kind.model.model_validate({**kind.example, "pause_reason": reason}))
        for reason in ("training", "vacation")
    )
    recent = RecentDispatches(limit=1)

    for number, event in enumerate((first, other)):
        recent.add_call(event, Published("mentor.pauses.v1", 0, number, NOW), caller="billing")

    known = recent.get(first.dispatch_id)
    assert known is not None
    assert first == known.event
    assert known.published is not None
    assert 0 == known.published.offset


def test_nothing_is_parsed_before_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is parsed when its dispatch is asked for, and once."""
    parse = Mock(side_effect=parse_dispatch)
    monkeypatch.setattr(recent_dispatches, "parse_dispatch", parse)
    recent = RecentDispatches(limit=1)

    recent.add_record("a", _json("a"))
    assert 0 == parse.call_count

    assert dispatch_of("a") == _read(recent, "a") == _read(recent, "a")
    assert 1 == parse.call_count


def test_many_records_of_one_dispatch_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records a dispatch has, only a few are kept as they came."""
    parse = Mock(side_effect=parse_dispatch)
    monkeypatch.setattr(recent_dispatches, "parse_dispatch", parse)
    recent = RecentDispatches(limit=1)

    for send in range(1, 101):
        recent.add_record("a", _json("a", Status.SENDING, send=send))

    assert parse.call_count > 90
    assert dispatch_of("a", Status.SENDING, send=100) == _read(recent, "a")


@pytest.mark.parametrize("value", [b"{junk", _json("b")], ids=["no dispatch", "another dispatch"])
def test_what_is_not_this_dispatch_is_left_out(value: bytes) -> None:
    """A record whose value is not a dispatch, or not the one that its key names, changes nothing."""
    recent = RecentDispatches(limit=1)
    recent.add_record("a", _json("a"))
    recent.add_record("a", value)

    assert dispatch_of("a") == _read(recent, "a")
