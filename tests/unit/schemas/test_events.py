"""Events: their ids, their fingerprints, and what their data may hold."""

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
    """Return the contract's own example of an event, but for what is stated."""
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
    """What makes two events one."""

    def test_a_dispatch_is_named_by_source_id_and_mentor(self) -> None:
        """The name is the first 32 hex digits of SHA-256 over the three, parted by NUL."""
        expected = hashlib.sha256(b"/tests\x001\x00mentor-042").hexdigest()[:32]

        assert expected == event_of("pause-lifted").dispatch_id

    def test_the_parts_of_a_name_cannot_run_together(self) -> None:
        """The same letters parted elsewhere are another dispatch."""
        assert dispatch_id("a", "bc", "d") != dispatch_id("ab", "c", "d")


class TestDigest:
    """What makes two contents equal."""

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
        """The order of keys, the zone of a time, and fields that nobody knows leave the digest as it is."""
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
        """Any other value is another digest."""
        assert event_of("pause-activated").digest != event_of("pause-activated", **other).digest

    def test_the_type_makes_a_difference(self) -> None:
        """Equal data of another type is another content."""
        lifted = event_of("pause-lifted")

        assert lifted.digest != replace(lifted, kind=EVENTS_BY_NAME["pause-activated"]).digest

    def test_whole_numbers_are_equal_however_written(self) -> None:
        """14 and 14.0 are one number in JSON."""
        assert (
            event_of("cert-expiry-reminder", days_remaining=14).digest
            == event_of("cert-expiry-reminder", days_remaining=14.0).digest
        )

    def test_it_is_the_same_for_ever(self) -> None:
        """The digest of the contract's example is what it has been since the first release: records hold it."""
        canonical = '{"data":{"mentor_id":"mentor-042"},"type":"mentor.pause.lifted.v1"}'  # sorted keys, no blanks

        assert hashlib.sha256(canonical.encode()).hexdigest() == event_of("pause-lifted").digest

    @settings(deadline=None)
    @given(_TEXT, _TEXT, _INSTANTS, st.integers(0, 3650))
    def test_it_is_of_the_json_that_earlier_releases_wrote(
        self, mentor: str, reason: str, at: datetime, days: int
    ) -> None:
        """The standard library's JSON was digested at first: every digest in the topics is one of those bytes."""
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
    """What data may hold."""

    @pytest.mark.parametrize(("name", "data"), REFUSED.values(), ids=REFUSED)
    def test_data_beyond_the_contract_is_refused_by_field(self, name: str, data: dict[str, Any]) -> None:
        """Each is refused, and the error names the field alone."""
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
    def test_data_at_the_limits_is_taken(self, name: str, data: dict[str, Any]) -> None:
        """The shortest and the longest, past dates, and any script are legal."""
        assert data.items() <= event_of(name, **data).data.model_dump(mode="json").items()

    @pytest.mark.parametrize(
        ("name", "field"), [(event.name, field) for event in EVENTS for field in event.model.model_fields]
    )
    def test_no_field_may_be_missing(self, name: str, field: str) -> None:
        """Every field of every event is needed."""
        with pytest.raises(ValidationError, match="Field required"):
            event_of(name, without=field)

    def test_unknown_fields_are_named(self) -> None:
        """Fields that the model does not know are given by name, sorted, without their values."""
        kind = EVENTS_BY_NAME["pause-lifted"]

        assert ("a", "z") == unknown_fields(kind.model, {"z": 1, "mentor_id": "m", "a": 2})


class TestExpiry:
    """Until when an e-mail is true."""

    def test_a_reminder_is_true_to_the_end_of_the_last_day(self) -> None:
        """From the event's instant: the days remaining and one more."""
        assert APPENDED + timedelta(days=15) == event_of("cert-expiry-reminder").true_until(APPENDED)

    @pytest.mark.parametrize(
        ("shift", "expected"), [(timedelta(hours=-2), timedelta(hours=-2)), (timedelta(hours=2), timedelta())]
    )
    def test_the_earlier_of_the_two_times_counts(self, shift: timedelta, expected: timedelta) -> None:
        """A producer's clock may say that it was earlier, never that it was later than it was appended."""
        event = replace(event_of("cert-expiry-reminder"), time=APPENDED + shift)

        assert APPENDED + expected == event.happened_at(APPENDED)

    @pytest.mark.parametrize("ahead", [timedelta(), timedelta(seconds=1)])
    def test_the_day_is_the_producers(self, ahead: timedelta) -> None:
        """An event counts from its producer's calendar day, whether or not its clock is ahead of the broker's."""
        kind = EVENTS_BY_NAME["cert-expiry-reminder"]
        zone = timezone(timedelta(hours=14))
        time = (APPENDED + ahead).astimezone(zone)
        event = Event(kind, "1", "/tests", kind.model.model_validate(kind.example), time=time)

        assert (APPENDED, zone) == (event.happened_at(APPENDED), event.happened_at(APPENDED).tzinfo)

    @pytest.mark.parametrize("name", ["pause-activated", "pause-lifted", "cert-expiry"])
    def test_other_events_stay_true(self, name: str) -> None:
        """What happened, happened: only the advance warning is ever too late."""
        assert event_of(name).true_until(APPENDED) is None


_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(EVENTS), st.data())
def test_any_data_is_taken_or_refused(kind: Any, data: st.DataObject) -> None:
    """Whatever JSON may hold, validation ends in data with a digest or in a ValidationError, and nothing else."""
    drawn = {field: data.draw(_ANYTHING) for field in kind.model.model_fields}
    try:
        valid = kind.model.model_validate(drawn)
    except ValidationError:
        return
    event = Event(kind=kind, id="1", source="/tests", data=valid)

    assert (32, 64) == (len(event.dispatch_id), len(event.digest))
