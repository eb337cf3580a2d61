"""The checker, with runs that are built by hand."""

from __future__ import annotations

from tests.chaos.checker import fleet_pause
from tests.chaos.evidence import Acknowledged, Evidence, Mail

BEGAN = 1000.0


def _run(*mails: tuple[int, float, float]) -> Evidence:
    """Build an event for each partition, acknowledgement and sending time, in seconds after the start."""
    evidence = Evidence(BEGAN)
    for number, (partition, due, sent) in enumerate(mails):
        name = f"d{number}"
        recipients = frozenset({"m1"})
        evidence.acknowledged[name] = Acknowledged(name, "m1", "mentor.pauses.v1", partition, recipients, BEGAN + due)
        evidence.mails.append(Mail(name, "m1", f"id-{number}", BEGAN + sent, answer_lost=False))
    return evidence


def test_a_pause_of_all_partitions_is_one_of_the_fleet() -> None:
    """If mails are due and no partition sends one, that time is a pause of the fleet."""
    assert 8.0 == fleet_pause(_run((0, 0.0, 8.0), (1, 1.0, 9.0)))


def test_a_pause_of_one_partition_is_none_of_the_fleet() -> None:
    """If another partition sends meanwhile, the fleet does not pause."""
    evidence = _run((0, 0.0, 8.0), *((1, float(second), second + 1.0) for second in range(8)))

    assert 1.0 == fleet_pause(evidence)


def test_idle_time_is_no_pause() -> None:
    """If no mail is due, nothing has to be sent."""
    assert 2.0 == fleet_pause(_run((0, 0.0, 1.0), (0, 60.0, 62.0)))
