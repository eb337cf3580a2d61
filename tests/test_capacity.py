"""docs/capacity.md has what the program computes, and the program what was measured."""

from __future__ import annotations

from itertools import pairwise

import pytest

from runtime.settings import ReplicaSettings
from tests.capacity import EVENTS_A_DAY, PAGE, PERFORMANCE, Need, limits, read_measured, table
from tests.kubernetes.built import base_objects, container_of, workloads


@pytest.mark.parametrize("kind", ["need", "limit"])
def test_the_page_has_these_tables(kind: str) -> None:
    """The tables are those of the figures in docs/performance.md; if not, run `python -m tests.capacity`."""
    measured = read_measured(PERFORMANCE.read_text(encoding="utf-8"))
    written = {"need": table, "limit": limits}[kind](measured)

    assert f"<!-- {kind} figures -->\n{written}<!-- end" in PAGE.read_text(encoding="utf-8")


def test_a_figure_that_is_not_there_is_named() -> None:
    """A page without a figure is refused."""
    with pytest.raises(ValueError, match="has no figure followed"):
        read_measured("| something else | 1 |\n")


def test_more_load_never_needs_less() -> None:
    """Every need grows with the load."""
    measured = read_measured(PERFORMANCE.read_text(encoding="utf-8"))
    needs = [Need(events, measured) for events in EVENTS_A_DAY.values()]

    for need, greater in pairwise(needs):
        assert need.replicas <= greater.replicas
        assert need.partitions <= greater.partitions
        assert need.ids < greater.ids
        assert need.disk_gb < greater.disk_gb
        assert need.following_cores < greater.following_cores


def test_two_replicas_are_enough_for_the_defaults() -> None:
    """At a million events a day the manifests' numbers are enough, and three quarters of their memory."""
    need = Need(EVENTS_A_DAY["1 million"], read_measured(PERFORMANCE.read_text(encoding="utf-8")))

    assert (2, 12, 2) == (need.replicas, need.partitions, need.facades)
    limit = container_of(workloads(base_objects())["pause-notifications-replica"])["resources"]["limits"]["memory"]
    held_mb = ReplicaSettings().max_bytes_held / 1e6
    assert need.memory_mb + held_mb < int(limit.removesuffix("Mi")) * 1.048576 * 0.75
