"""Events: their ids, their digests, and the limits of their data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.events import EVENTS, EVENTS_BY_NAME, Event, ShortText, dispatch_id, unknown_fields
from schemas.times import format_instant

APPENDED = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


def event_of(name: str, *, without: str = "", **data: Any) -> Event:
    """Return the contract's example of an event with *data*; leave out the field *without*."""
    kind = EVENTS_BY_NAME[name]
    whole = {**kind.example, **data}
    whole.pop(without, None)
    return Event(kind=kind, id="1", source="/tests", data=kind.model.model_validate(whole))


_INSTANTS = st.builds(
    lambda microseconds, minutes: (datetime(2, 1, 2, tzinfo=UTC) + timedelta(microseconds=microseconds)).astimezone(
        timezone(timedelta(minutes=minutes))
    ),
    st.integers(0, 3 * 10**17),
    st.integers(-23 * 60, 23 * 60),
)


def _is_short_text(text: str) -> bool:
    try:
        TypeAdapter(ShortText).validate_python(text)
    except ValidationError:
        return False
    return True


_TEXT = st.text(min_size=1, max_size=128).filter(_is_short_text)


class TestIdentity:
    """When two events are the same one."""

    def test_source_id_and_mentor_make_the_dispatch_id(self) -> None:
        """It is the first 32 hex digits of SHA-256 over the three, separated by NUL."""
        expected = hashlib.sha256(b"/tests\x001\x00mentor-042").hexdigest()[:32]

        assert expected == event_of("pause-lifted").dispatch_id

    def test_the_parts_of_an_identity_are_separated(self) -> None:
        """The same letters, divided elsewhere, are another dispatch."""
        assert dispatch_id("a", "bc", "d") != dispatch_id("ab", "c", "d")


class TestDigest:
    """When two contents are equal."""

    @pytest.mark.parametrize(
        "same",
        [
            {"pause_reason": "personal_leave", "mentor_id": "mentor-042"},
            {"expected_return_date": "2026-05-01T02:00:00+02:00"},
            {"expected_return_date": "2026-05-01T00:00:00.000Z"},
            {"colour": "green", "nested": {"a": [1]}},
        ],
    )
    def test_spelling_makes_no_difference(self, same: dict[str, Any]) -> None:
        """The order of keys, the zone of a time and unknown fields do not change the digest."""
        kind = EVENTS_BY_NAME["pause-activated"]
        respelt = {**same, **{name: value for name, value in kind.example.items() if name not in same}}
        again = Event(kind=kind, id="2", source="/elsewhere", data=kind.model.model_validate(respelt))

        assert event_of("pause-activated").digest == again.digest

    @pytest.mark.parametrize(
        "other",
        [
            {"mentor_id": "mentor-043"},
            {"pause_reason": "Personal_leave"},
            {"expected_return_date": "2026-05-01T00:00:00.001Z"},
        ],
    )
    def test_content_makes_a_difference(self, other: dict[str, Any]) -> None:
        """Another value has another digest."""
        assert event_of("pause-activated").digest != event_of("pause-activated", **other).digest

    def test_the_type_makes_a_difference(self) -> None:
        """Equal data of another type is different content."""
        lifted = event_of("pause-lifted")

        assert lifted.digest != replace(lifted, kind=EVENTS_BY_NAME["pause-activated"]).digest

    def test_a_whole_number_may_be_written_with_a_fraction(self) -> None:
        """14 and 14.0 are the same number in JSON."""
        assert (
            event_of("cert-expiry-reminder", days_remaining=14).digest
            == event_of("cert-expiry-reminder", days_remaining=14.0).digest
        )

    def test_it_never_changes(self) -> None:
        """The digest of the contract's example is that of the first release, since records contain it."""
        canonical = '{"data":{"mentor_id":"mentor-042"},"type":"mentor.pause.lifted.v1"}'  # sorted keys, no blanks

        assert hashlib.sha256(canonical.encode()).hexdigest() == event_of("pause-lifted").digest

    @settings(deadline=None)
    @given(_TEXT, _TEXT, _INSTANTS, st.integers(0, 3650))
    def test_it_is_the_digest_of_the_json_of_earlier_releases(
        self, mentor: str, reason: str, at: datetime, days: int
    ) -> None:
        """They digested the standard library's JSON; the digests in the topics are of its bytes."""
        data: dict[str, dict[str, Any]] = {
            "pause-activated": {"expected_return_date": at, "pause_reason": reason},
            "pause-lifted": {},
            "cert-expiry": {"expiry_date": at},
            "cert-expiry-reminder": {"days_remaining": days},
        }
        in_utc = format_instant(at)
        for name, fields in data.items():
            written = {key: in_utc if value is at else value for key, value in fields.items()}
            content = {"type": EVENTS_BY_NAME[name].type, "data": {"mentor_id": mentor, **written}}
            canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

            digest = event_of(name, mentor_id=mentor, **fields).digest

            assert hashlib.sha256(canonical.encode()).hexdigest() == digest


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no mentor": ("pause-lifted", {"mentor_id": None}),
    "an empty mentor": ("pause-lifted", {"mentor_id": ""}),
    "a blank mentor": ("pause-lifted", {"mentor_id": "  "}),
    "too long a mentor": ("pause-lifted", {"mentor_id": "m" * 129}),
    "a number for a mentor": ("pause-lifted", {"mentor_id": 42}),
    "a line break in the mentor": ("pause-lifted", {"mentor_id": "mentor\n042"}),
    "NUL in the mentor": ("pause-lifted", {"mentor_id": "mentor\x00042"}),
    "DEL in the mentor": ("pause-lifted", {"mentor_id": "mentor\x7f042"}),
    "C1 in the mentor": ("pause-lifted", {"mentor_id": "mentor\x85042"}),
    "a line separator in the mentor": ("pause-lifted", {"mentor_id": "mentor\u2028042"}),
    "a lone surrogate in the mentor": ("pause-lifted", {"mentor_id": "mentor\ud800"}),
    "an empty reason": ("pause-activated", {"pause_reason": ""}),
    "too long a reason": ("pause-activated", {"pause_reason": "r" * 501}),
    "a control character in the reason": ("pause-activated", {"pause_reason": "a\x1bb"}),
    "a naive time": ("cert-expiry", {"expiry_date": "2026-03-31T00:00:00"}),
    "a date alone": ("cert-expiry", {"expiry_date": "2026-03-31"}),
    "a numeric time": ("cert-expiry", {"expiry_date": 1_774_915_200}),
    "a numeric time as text": ("cert-expiry", {"expiry_date": "1774915200"}),
    "a time that is no text": ("cert-expiry", {"expiry_date": True}),
    "the year 10000": ("cert-expiry", {"expiry_date": "10000-01-01T00:00:00Z"}),
    "a time that was never set": ("cert-expiry", {"expiry_date": "0001-01-01T00:00:00Z"}),
    "no time": ("cert-expiry", {"expiry_date": None}),
    "days before": ("cert-expiry-reminder", {"days_remaining": -1}),
    "too many days": ("cert-expiry-reminder", {"days_remaining": 3651}),
    "half a day": ("cert-expiry-reminder", {"days_remaining": 0.5}),
    "days as text": ("cert-expiry-reminder", {"days_remaining": "14"}),
    "days as a truth": ("cert-expiry-reminder", {"days_remaining": True}),
    "no number of days": ("cert-expiry-reminder", {"days_remaining": float("nan")}),
    "endless days": ("cert-expiry-reminder", {"days_remaining": float("inf")}),
    "a huge number of days": ("cert-expiry-reminder", {"days_remaining": 10**400}),
}


class TestLimits:
    """The limits of data."""

    @pytest.mark.parametrize(("name", "data"), REFUSED.values(), ids=REFUSED)
    def test_data_beyond_the_contract_is_refused_by_field(self, name: str, data: dict[str, Any]) -> None:
        """The error names only the field."""
        with pytest.raises(ValidationError) as refused:
            event_of(name, **data)

        assert {tuple(data)} == {problem["loc"] for problem in refused.value.errors()}

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("pause-lifted", {"mentor_id": "m"}),
            ("pause-lifted", {"mentor_id": "m" * 128}),
            ("pause-lifted", {"mentor_id": "Zoë 🎉"}),
            ("pause-activated", {"pause_reason": "r" * 500}),
            ("pause-activated", {"expected_return_date": "1999-01-01T00:00:00Z"}),
            ("cert-expiry-reminder", {"days_remaining": 0}),
            ("cert-expiry-reminder", {"days_remaining": 3650}),
        ],
    )
    def test_data_at_the_limits_is_accepted(self, name: str, data: dict[str, Any]) -> None:
        """The shortest and the longest texts, past dates and any script are valid."""
        assert data.items() <= event_of(name, **data).data.model_dump(mode="json").items()

    @pytest.mark.parametrize(
        ("name", "field"), [(event.name, field) for event in EVENTS for field in event.model.model_fields]
    )
    def test_no_field_may_be_missing(self, name: str, field: str) -> None:
        """Every field of every event is required."""
        with pytest.raises(ValidationError, match="Field required"):
            event_of(name, without=field)

    def test_unknown_fields_are_named(self) -> None:
        """Their names are sorted, and their values left out."""
        kind = EVENTS_BY_NAME["pause-lifted"]

        assert ("a", "z") == unknown_fields(kind.model, {"z": 1, "mentor_id": "m", "a": 2})


class TestExpiry:
    """Until when an e-mail is true."""

    def test_a_reminder_is_true_to_the_end_of_the_last_day(self) -> None:
        """That is the remaining days and one more, from the event's instant."""
        assert APPENDED + timedelta(days=15) == event_of("cert-expiry-reminder").true_until(APPENDED)

    @pytest.mark.parametrize(
        ("shift", "expected"), [(timedelta(hours=-2), timedelta(hours=-2)), (timedelta(hours=2), timedelta())]
    )
    def test_the_earlier_of_the_two_times_counts(self, shift: timedelta, expected: timedelta) -> None:
        """An event may have happened before it was appended, but not after."""
        event = replace(event_of("cert-expiry-reminder"), time=APPENDED + shift)

        assert APPENDED + expected == event.happened_at(APPENDED)

    @pytest.mark.parametrize("ahead", [timedelta(), timedelta(seconds=1)])
    def test_the_day_is_the_producers(self, ahead: timedelta) -> None:
        """The calendar day is the producer's, even if its clock is ahead of the broker's."""
        kind = EVENTS_BY_NAME["cert-expiry-reminder"]
        zone = timezone(timedelta(hours=14))
        time = (APPENDED + ahead).astimezone(zone)
        event = Event(kind, "1", "/tests", kind.model.model_validate(kind.example), time=time)

        happened_at = event.happened_at(APPENDED)

        assert APPENDED == happened_at
        assert zone == happened_at.tzinfo

    @pytest.mark.parametrize("name", ["pause-activated", "pause-lifted", "cert-expiry"])
    def test_other_events_stay_true(self, name: str) -> None:
        """Only an advance warning can be too late."""
        assert event_of(name).true_until(APPENDED) is None


_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(EVENTS), st.data())
def test_any_data_is_accepted_or_refused(kind: Any, data: st.DataObject) -> None:
    """Any JSON is either data with a digest or causes a ValidationError."""
    drawn = {field: data.draw(_ANYTHING) for field in kind.model.model_fields}
    try:
        valid = kind.model.model_validate(drawn)
    except ValidationError:
        return
    event = Event(kind=kind, id="1", source="/tests", data=valid)

    assert 32 == len(event.dispatch_id)
    assert 64 == len(event.digest)
