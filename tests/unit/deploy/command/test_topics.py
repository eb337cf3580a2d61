"""Differences of existing topics, and data that is left of forgotten contacts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploy.command.contacts import KnownContacts
from deploy.command.doctor.check import fall_findings, lingering_findings
from deploy.command.findings import State
from deploy.support.topic_differences import fits
from runtime.kafka.records import Record
from runtime.kafka.topics import CONFIGS
from schemas.contacts import CONTACTS_TOPIC

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SOUND = b'{"id":"mentor-1","role":"mentor"}'


@pytest.mark.parametrize(
    ("key", "found", "wanted", "fitting"),
    [
        ("retention.ms", "1000", "1000", True),
        ("retention.ms", "2000", "1000", True),
        ("retention.ms", "-1", "1000", True),
        ("retention.ms", "999", "1000", False),
        ("max.compaction.lag.ms", "1000", "1000", True),
        ("max.compaction.lag.ms", "999", "1000", True),
        ("max.compaction.lag.ms", "1001", "1000", False),
        ("min.insync.replicas", "1", "2", False),
        ("cleanup.policy", "compact", "compact", True),
        ("cleanup.policy", "compact,delete", "compact", False),
        ("unclean.leader.election.enable", "true", "false", False),
    ],
)
def test_an_equally_good_value_is_not_a_difference(key: str, found: str, wanted: str, *, fitting: bool) -> None:
    """Longer retention and earlier compaction are fine."""
    assert fitting == fits(key, found, wanted)


def a_record(value: bytes | None, *, days_ago: float, offset: int = 0) -> Record:
    """Return a record of the contacts."""
    return Record(
        topic=CONTACTS_TOPIC,
        partition=0,
        offset=offset,
        key=b"mentor-1",
        value=value,
        headers=(),
        appended_at=NOW - timedelta(days=days_ago),
        size=0,
    )


@pytest.mark.parametrize(
    ("records", "lingering"),
    [
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=3)], {b"mentor-1"}),
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=1)], set()),
        ([a_record(None, days_ago=3)], set()),
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=3), a_record(SOUND, days_ago=0)], set()),
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=3), a_record(None, days_ago=0)], set()),
    ],
    ids=["left", "lately forgotten", "compacted", "known again", "forgotten once more"],
)
def test_an_address_that_was_left_is_seen(records: list[Record], lingering: set[bytes]) -> None:
    """Data that is left two days after forgetting is found; data that will still be compacted is not."""
    known = KnownContacts()
    for record in records:
        known.add(record, NOW)

    assert lingering == known.lingering


def test_doctor_warns_of_remaining_addresses() -> None:
    """The warning has the ids, and how to get them compacted."""
    (finding,) = lingering_findings({b"mentor-1"})

    assert (State.WARN, []) == (finding.state, lingering_findings(set()))
    assert "'mentor-1'" in finding.advice


@pytest.mark.parametrize(
    ("records", "forgotten"),
    [
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=0.5)], {b"mentor-1"}),
        ([a_record(None, days_ago=0.5)], {b"mentor-1"}),
        ([a_record(SOUND, days_ago=9), a_record(None, days_ago=1.5)], set()),
        ([a_record(None, days_ago=0.5), a_record(SOUND, days_ago=0.1)], set()),
        ([a_record(SOUND, days_ago=0.1)], set()),
    ],
    ids=["lately", "compacted already", "longer ago", "known again", "known"],
)
def test_who_was_lately_forgotten_is_counted(records: list[Record], forgotten: set[bytes]) -> None:
    """A contact counts for a day after it was forgotten, unless it is loaded again."""
    known = KnownContacts()
    for record in records:
        known.add(record, NOW)

    assert forgotten == known.lately_forgotten


@pytest.mark.parametrize(
    ("forgotten", "left", "warns"),
    [(2019, 1, True), (405, 1615, True), (404, 1616, False), (0, 2020, False), (3, 7, True), (9, 0, False)],
)
def test_doctor_warns_of_a_fall_of_the_contacts(forgotten: int, left: int, *, warns: bool) -> None:
    """More than a fifth within a day is a warning, unless there were next to none."""
    found = fall_findings(forgotten=forgotten, left=left)

    assert [State.WARN] * warns == [one.state for one in found]


def test_the_warning_of_a_fall_has_the_numbers() -> None:
    """It says how many of them are gone, and what to do."""
    (finding,) = fall_findings(forgotten=2019, left=1)

    assert "2019 of 2020 were forgotten within a day" == finding.detail
    assert "contacts load FILE" in finding.advice


def test_a_forgotten_address_is_gone_within_the_documented_time() -> None:
    """The configuration leaves half a day for the next record, which closes a segment and starts compaction."""
    config = {name: int(value) for name, value in CONFIGS[CONTACTS_TOPIC].items() if name.endswith(".ms")}
    day = 24 * 3600 * 1000

    assert config["segment.ms"] + config["max.compaction.lag.ms"] <= 1.5 * day
