"""The table of suppressions: which records count, and whom they concern."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.suppressions import Suppressions, clear_suppression, digest_of, publish_suppression
from runtime.kafka.records import Place, Record
from schemas.placement import partition_for
from schemas.signatures import NO_KEYS, SigningKeys
from schemas.suppressions import (
    SUPPRESSIONS_TOPIC,
    Suppression,
    SuppressionList,
    SuppressionReason,
    removed,
    suppression_json,
    suppression_key,
)
from tests.fakes.kafka_log import APPENDED_AT, PARTITIONS, FakeLog
from tests.fakes.publisher import FakePublisher
from tests.signing import KEYS

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
ADDRESS = "m@example.org"
KEY = suppression_key(SuppressionList.HARD, "mentor-042")
STRANGERS = SigningKeys([bytes(range(101, 133))])


def entry_of(reason: SuppressionReason = SuppressionReason.BOUNCED, **fields: Any) -> Suppression:
    """Return an entry of mentor-042."""
    known: dict[str, Any] = {
        "contact_id": "mentor-042",
        "address": digest_of("mentor-042", ADDRESS),
        "reason": reason,
        "since": NOW,
    }
    return Suppression(**{**known, **fields})


def table_of(*entries: Suppression) -> Suppressions:
    """Return a table of these entries."""
    table = Suppressions()
    for entry in entries:
        table.take(suppression_key(entry.on, entry.contact_id), suppression_json(entry))
    return table


def record(value: bytes | None, headers: Any) -> Record:
    """Return a record of the topic."""
    return Record(SUPPRESSIONS_TOPIC, 0, 0, KEY, value, headers, APPENDED_AT, 1)


class TestFind:
    """Whether an address gets e-mail now."""

    @pytest.mark.parametrize("reason", list(SuppressionReason))
    def test_an_address_on_a_list_is_found(self, reason: SuppressionReason) -> None:
        """The entry says why; letter case of the address does not count."""
        entry = entry_of(reason, bounces=("1", "2", "3"))

        assert entry == table_of(entry).find("mentor-042", "M@example.org", NOW)

    @pytest.mark.parametrize(
        ("contact_id", "address"), [("mentor-042", "new@example.org"), ("mentor-043", ADDRESS), ("mentor-042", "")]
    )
    def test_any_other_contact_or_address_is_free(self, contact_id: str, address: str) -> None:
        """An entry concerns one contact at one address."""
        assert table_of(entry_of()).find(contact_id, address, NOW) is None

    @pytest.mark.parametrize(("seconds", "found"), [(-1, True), (0, False), (1, False)])
    def test_an_entry_ends(self, seconds: int, *, found: bool) -> None:
        """It no longer applies from `until` on."""
        table = table_of(entry_of(until=NOW))

        assert found == (table.find("mentor-042", ADDRESS, NOW + timedelta(seconds=seconds)) is not None)

    def test_the_two_lists_are_apart(self) -> None:
        """Bounces that are still counted hide no hard bounce, and the other way round."""
        counted = entry_of(SuppressionReason.UNREACHABLE, bounces=("1",))
        table = table_of(entry_of(), counted)

        assert entry_of() == table.find("mentor-042", ADDRESS, NOW)
        assert counted == table.entry(SuppressionList.TRANSIENT, "mentor-042")
        assert table_of(counted).find("mentor-042", ADDRESS, NOW) is None
        assert (2, {"suppressions": 2}) == (len(table), table.counts)


class TestTake:
    """Which records change the table."""

    def test_the_last_record_counts_and_null_removes(self) -> None:
        """As for every compacted topic."""
        table = table_of(entry_of(), entry_of(SuppressionReason.COMPLAINED))
        assert (entry_of(SuppressionReason.COMPLAINED),) == table.entries()

        table.take(KEY, None)
        assert () == table.entries()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (None, None),
            (b"mentor-042", None),
            (b"soft:mentor-042", None),
            (b"\xff:mentor-042", None),
            (KEY, b""),
            (KEY, b"{}"),
            (KEY, b"[" * 10_000),
            (KEY, b"\xff"),
            (KEY, suppression_json(entry_of(contact_id="mentor-043"))),
            (KEY, suppression_json(entry_of(SuppressionReason.UNREACHABLE))),
            (KEY, suppression_json(entry_of()).replace(b'"bounced"', b'"of_a_newer_release"')),
            (KEY, suppression_json(entry_of(detail="x" * 40_000))),
        ],
    )
    def test_an_unreadable_record_is_counted_and_changes_nothing(self, key: bytes | None, value: bytes | None) -> None:
        """Whatever stands in it."""
        faults: list[str] = []
        table = Suppressions(on_fault=faults.append)
        table.take(KEY, suppression_json(entry_of()))
        table.take(key, value)

        assert (["unreadable"], (entry_of(),)) == (faults, table.entries())

    @given(st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=200))
    def test_no_record_is_a_crash(self, key: bytes | None, value: bytes | None) -> None:
        """Strangers may write any bytes."""
        table = table_of(entry_of())
        table.take(key, value)

        assert 1 == len(table)

    def test_a_fresh_table_replaces_the_old_one(self) -> None:
        """A recreated topic is read into a table of its own."""
        table = table_of(entry_of())
        fresh = table.fresh()
        assert (1, 0, False) == (len(table), len(fresh), table.current)

        table.replace(fresh)
        assert (0, True) == (len(table), table.current)


class TestProof:
    """A record counts only if one of our keys signed it."""

    @pytest.mark.parametrize("value", [suppression_json(entry_of()), None], ids=["entry", "null"])
    @pytest.mark.parametrize(
        ("signed_by", "checked_by", "fault"),
        [
            (KEYS, KEYS, None),
            (NO_KEYS, KEYS, "missing"),
            (STRANGERS, KEYS, "unknown_key"),
            (NO_KEYS, NO_KEYS, None),
            (STRANGERS, NO_KEYS, None),
        ],
    )
    def test_only_signed_records_count(
        self, value: bytes | None, signed_by: SigningKeys, checked_by: SigningKeys, fault: str | None
    ) -> None:
        """Without keys nothing can be proven, and every record counts."""
        faults: list[str] = []
        table = Suppressions(on_fault=faults.append)
        signed = record(value, signed_by.signed(SUPPRESSIONS_TOPIC, KEY, value, []))

        assert (fault is None) == table.believes(signed, checked_by)
        assert ([] if fault is None else [fault]) == faults

    def test_a_signature_of_something_else_is_wrong(self) -> None:
        """A null with the signature of an entry removes nothing."""
        faults: list[str] = []
        headers = KEYS.signed(SUPPRESSIONS_TOPIC, KEY, suppression_json(entry_of()), [])

        assert not Suppressions(on_fault=faults.append).believes(record(None, headers), KEYS)
        assert ["wrong"] == faults

    def test_an_earlier_record_that_is_published_again_counts(self) -> None:
        """A signature does not cover the offset, so only Kafka's rights keep a freed address free."""
        bounced, freed = entry_of(), removed(entry_of(), "amara", NOW)
        table = Suppressions()
        for entry in (bounced, freed, bounced):
            value = suppression_json(entry)
            one = record(value, KEYS.signed(SUPPRESSIONS_TOPIC, KEY, value, []))
            assert table.believes(one, KEYS)
            table.take(one.key, one.value)

        assert bounced == table.find("mentor-042", ADDRESS, NOW)


class TestPublish:
    """How an entry is written."""

    @staticmethod
    def written(log: FakeLog) -> list[Record]:
        """Return the records, which must all be in the contact's partition."""
        place = Place(SUPPRESSIONS_TOPIC, partition_for("mentor-042", PARTITIONS))
        assert {place} == {*log.records}
        return log.records[place]

    async def test_what_is_written_is_believed_and_read_back(self) -> None:
        """Entries of both lists, and the null that clears one, are signed and in one partition."""
        log = FakeLog()
        publisher = FakePublisher(log)
        hard, transient = entry_of(), entry_of(SuppressionReason.UNREACHABLE, bounces=("1",))
        for entry in (hard, transient):
            await publish_suppression(publisher, SUPPRESSIONS_TOPIC, PARTITIONS, KEYS, entry)
        await clear_suppression(
            publisher, SUPPRESSIONS_TOPIC, PARTITIONS, KEYS, SuppressionList.TRANSIENT, "mentor-042"
        )

        table = Suppressions()
        for one in self.written(log):
            assert table.believes(one, KEYS)
            table.take(one.key, one.value)
        assert (hard,) == table.entries()
