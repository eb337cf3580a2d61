"""What `doctor` makes of the group's members."""

from __future__ import annotations

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from deploy.command.doctor.members import Group, Member, group_findings, member_of
from deploy.command.findings import State

TOPIC = "mentor.pauses.v1"
ASSIGNED = ConsumerProtocolMemberAssignment(0, [(TOPIC, [0, 1]), ("other", [5])], b"").encode()


def _member(*partitions: int) -> Member:
    return Member("10.0.0.7", 8002, frozenset(partitions))


@pytest.mark.parametrize(
    ("group", "state", "detail"),
    [
        (Group((), 3, rebalancing=False), State.FAIL, "none is in the group"),
        (Group((_member(0, 1, 2),), 3, rebalancing=False), State.OK, "one is in the group, and all 3"),
        (Group((_member(0, 2), _member(1)), 3, rebalancing=False), State.OK, "2 are in the group"),
        (Group((_member(0), _member()), 3, rebalancing=False), State.FAIL, "nobody owns 2 of 3 partitions, such as 1"),
        (Group((_member(),), 3, rebalancing=True), State.WARN, "rebalances now"),
    ],
)
def test_owners(group: Group, state: State, detail: str) -> None:
    """An empty group and a partition without owner are failures, a rebalance is not."""
    (finding,) = group_findings(group)

    assert state == finding.state
    assert detail in finding.detail


@pytest.mark.parametrize(
    ("client_id", "host", "assigned", "member"),
    [
        ("pause-notifications-8105", "/10.0.0.7", ASSIGNED, Member("10.0.0.7", 8105, frozenset({0, 1}))),
        ("pause-notifications", "/10.0.0.7", b"", Member("10.0.0.7", 8002, frozenset())),
        ("sarama", "/fd00:0:0:0:0:0:0:7", b"\x00", Member("fd00:0:0:0:0:0:0:7", 8002, frozenset())),
        ("x-99999", "/10.0.0.7", b"\xff" * 40, Member("10.0.0.7", 8002, frozenset())),
    ],
)
def test_a_member_as_the_broker_describes_it(client_id: str, host: str, assigned: bytes, member: Member) -> None:
    """Its port is at the end of a replica's client id; what a stranger has there does no harm."""
    assert member == member_of(("id", client_id, host, b"", assigned), TOPIC, 8002)


def test_the_url_of_an_ipv6_address() -> None:
    """It stands in brackets."""
    assert "http://[fd00::7]:8002" == Member("fd00::7", 8002, frozenset()).url
