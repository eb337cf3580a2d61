"""What limits a replica, and how many replicas follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.limits import NOT_MEASURED, By, Limit, Measures, limit_of, members_at_least

IDLE = Measures(
    owned=frozenset({4, 5, 6, 7}),
    partitions=12,
    opening=False,
    kafka_connected=True,
    publish_seconds=0.005,
    halt=None,
    account_rate=14.0,
    gate_rate=14 / 3,
    gate_waiting=0.0,
    emails_a_second=1.0,
    in_flight=0.1,
    max_in_flight=64,
    records_held=0,
    longest_lane=0,
    lag_seconds=0.1,
    cpu=0.5,
)
"""One of three replicas, which has work and is not behind."""

RATE = {"gate_waiting": 0.9, "emails_a_second": 4.6, "lag_seconds": 90.0}
LATENCY = {"gate_waiting": 0.9, "emails_a_second": 32.0, "gate_rate": 100.0, "in_flight": 64.0}
MENTOR = {"records_held": 100, "longest_lane": 80, "lag_seconds": 60.0}
CPU = {"cpu": 0.95}
KAFKA = {"publish_seconds": 1.5, "in_flight": 9.0}


def a_share(partitions: int, members: int, index: int) -> frozenset[int]:
    """Return what the range assignor gives to one member."""
    size, larger = divmod(partitions, members)
    first = size * index + min(index, larger)
    return frozenset(range(first, first + size + (index < larger)))


@st.composite
def measures(draw: st.DrawFn) -> Measures:
    """Return any measures of a replica."""
    partitions = draw(st.integers(1, 40))
    members = draw(st.integers(1, partitions + 2))
    share, small = st.floats(0, 3), st.floats(0, 100)
    held = draw(st.integers(0, 1000))
    return Measures(
        owned=a_share(partitions, members, draw(st.integers(0, members - 1))),
        partitions=partitions,
        opening=draw(st.booleans()),
        kafka_connected=draw(st.sampled_from([True, True, True, False])),
        publish_seconds=draw(st.floats(0, 5)),
        halt=draw(st.sampled_from([None, None, None, "credentials"])),
        account_rate=draw(st.floats(0.1, 10_000)),
        gate_rate=draw(small),
        gate_waiting=draw(st.floats(0, 1)),
        emails_a_second=draw(small),
        in_flight=draw(small),
        max_in_flight=draw(st.integers(1, 100)),
        records_held=held,
        longest_lane=draw(st.integers(0, held)),
        lag_seconds=draw(small),
        cpu=draw(share),
    )


class TestMembers:
    """What a share of the partitions tells of the number of replicas."""

    @given(st.integers(1, 60), st.data())
    def test_one_of_all_tells_the_number(self, partitions: int, data: st.DataObject) -> None:
        """The greatest answer of all members is their number, as long as each owns something."""
        members = data.draw(st.integers(1, partitions))
        told = [members_at_least(a_share(partitions, members, index), partitions) for index in range(members)]

        assert members == max(told)

    def test_one_that_owns_nothing_tells_nothing(self) -> None:
        """A replica that stands by does not count itself."""
        assert 1 == members_at_least(frozenset(), 12)

    def test_partitions_that_are_no_range(self) -> None:
        """In the middle of a rebalance the number follows from how many are owned."""
        assert 6 == members_at_least({1, 9}, 12)


class TestWanted:
    """How many replicas are wanted."""

    @given(measures())
    def test_between_one_and_the_partitions(self, any_measures: Measures) -> None:
        """There is always one, and never one without a partition."""
        assert 1 <= limit_of(any_measures).replicas_wanted <= any_measures.partitions

    @given(measures(), st.sampled_from(["credentials", "no_contacts"]))
    def test_a_halt_changes_nothing(self, any_measures: Measures, halt: str) -> None:
        """During a halt the number is that of the replicas, whatever else is measured."""
        halted = limit_of(replace(any_measures, halt=halt))

        assert members_at_least(any_measures.owned, any_measures.partitions) == halted.replicas_wanted
        assert any_measures.kafka_connected == (halted.by is By.HALT)

    @given(measures())
    def test_more_only_if_more_help(self, any_measures: Measures) -> None:
        """More are wanted exactly if the sentence says that more help: never for the rate of SES, Kafka or a mentor."""
        limit = limit_of(any_measures)
        members = members_at_least(any_measures.owned, any_measures.partitions)

        assert (limit.replicas_wanted > members) == limit.sentence.startswith("More replicas help: ")
        assert limit.by in {By.CPU, By.SES_LATENCY} or limit.replicas_wanted <= members

    @given(measures())
    def test_fewer_only_if_nothing_limits(self, any_measures: Measures) -> None:
        """Fewer are wanted only while nothing limits and nothing waits."""
        limit = limit_of(any_measures)
        fewer = limit.replicas_wanted < members_at_least(any_measures.owned, any_measures.partitions)

        assert not fewer or (limit.by is By.NONE and any_measures.gate_waiting < 0.5 and any_measures.lag_seconds < 5)

    @given(measures())
    def test_fewer_are_still_enough(self, any_measures: Measures) -> None:
        """With as many as are wanted the fullest replica is not used so much that more would be wanted again."""
        wanted, owned = limit_of(any_measures).replicas_wanted, len(any_measures.owned)
        fewer = wanted < members_at_least(any_measures.owned, any_measures.partitions)
        used = max(any_measures.cpu, any_measures.in_flight_used) / max(owned, 1)

        assert not fewer or used * len(a_share(any_measures.partitions, wanted, 0)) <= 0.6 + 1e-9

    @given(measures())
    def test_more_take_partitions_away(self, any_measures: Measures) -> None:
        """With as many as are wanted the fullest replica owns fewer partitions than this one."""
        wanted = limit_of(any_measures).replicas_wanted
        more = wanted > members_at_least(any_measures.owned, any_measures.partitions)

        assert not more or len(a_share(any_measures.partitions, wanted, 0)) < len(any_measures.owned)


@pytest.mark.parametrize(
    ("changes", "by", "wanted"),
    [
        ({}, By.NONE, 3),
        ({"cpu": 0.1}, By.NONE, 1),
        ({"cpu": 0.1, "lag_seconds": 60.0}, By.NONE, 3),
        ({"cpu": 0.1, "opening": True}, By.NONE, 3),
        ({"cpu": 0.95, "opening": True}, By.NONE, 3),
        ({"owned": frozenset()}, By.NONE, 1),
        (RATE, By.SES_RATE, 3),
        (RATE | {"cpu": 0.95}, By.SES_RATE, 3),
        (RATE | {"emails_a_second": 1.0, "cpu": 0.95}, By.CPU, 5),
        (RATE | {"gate_waiting": 0.2, "lag_seconds": 1.0}, By.NONE, 3),
        (RATE | {"emails_a_second": 1.0}, By.SES_RATE, 3),
        (LATENCY | {"emails_a_second": 8.0, "in_flight": 16.0}, By.SES_LATENCY, 6),
        (LATENCY, By.SES_LATENCY, 6),
        (LATENCY | {"emails_a_second": 5e-324, "gate_rate": 0.0}, By.SES_LATENCY, 4),
        (LATENCY | {"owned": frozenset({3}), "partitions": 4}, By.PARTITIONS, 3),
        (LATENCY | {"publish_seconds": 0.6}, By.KAFKA, 3),
        (LATENCY | {"publish_seconds": 0.6, "halt": "credentials"}, By.HALT, 3),
        (MENTOR, By.ONE_MENTOR, 3),
        (MENTOR | {"longest_lane": 40}, By.NONE, 3),
        (MENTOR | {"lag_seconds": 1.0}, By.NONE, 3),
        (CPU, By.CPU, 5),
        (CPU | {"owned": frozenset({11})}, By.PARTITIONS, 7),
        (CPU | MENTOR, By.CPU, 5),
        (KAFKA, By.KAFKA, 3),
        (KAFKA | {"in_flight": 0.0}, By.NONE, 3),
        ({"kafka_connected": False, "halt": "suppressions_not_read"}, By.KAFKA, 3),
    ],
)
def test_what_limits(changes: dict[str, Any], by: By, wanted: int) -> None:
    """Of several reasons the one counts that must end before another matters."""
    limit = limit_of(replace(IDLE, **changes))

    assert (by, wanted) == (limit.by, limit.replicas_wanted)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (RATE, "More replicas do not help: SES accepts 14 e-mails a second for the account."),
        (LATENCY, "More replicas help: all 64 sends in flight are used, and each takes 2.0 s."),
        (CPU, "More replicas help: the CPU is used to 95% of a core."),
        ({"halt": "credentials"}, "More replicas do not help: sending is halted: credentials."),
        (
            MENTOR,
            "More replicas do not help: one mentor has 80 of the 100 events held, and they are sent in order.",
        ),
        (KAFKA, "More replicas do not help: Kafka takes 1.5 s to store a record."),
        ({}, "More replicas do not help: nothing waits."),
    ],
)
def test_the_sentence(changes: dict[str, Any], sentence: str) -> None:
    """A person reads whether more replicas would help, and why."""
    assert sentence == limit_of(replace(IDLE, **changes)).sentence


def test_before_the_first_measure() -> None:
    """Nothing is claimed before anything is measured."""
    assert Limit(By.NONE, "Nothing is measured yet.", 1) == NOT_MEASURED
