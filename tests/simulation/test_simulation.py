"""Thousands of runs full of faults, and twenty-two planted bugs that they must find."""

from __future__ import annotations

import os

import pytest

from tests.simulation.__main__ import main
from tests.simulation.mutations import MUTATIONS
from tests.simulation.run import command_of, run_seed

FIRST = int(os.environ.get("SIMULATION_FROM", "0"))
"""The first seed: another number runs other seeds."""
AT_ONCE = 250
PARTS = 8
PARTS_IN_EVERY_RUN = 2
SEEDS_PER_MUTATION = 600


@pytest.mark.parametrize(
    "part", [part if part < PARTS_IN_EVERY_RUN else pytest.param(part, marks=pytest.mark.slow) for part in range(PARTS)]
)
def test_the_invariants_hold(part: int) -> None:
    """No seed breaks an invariant. If one does, the failure names the command that shows how."""
    seeds = range(FIRST + part * AT_ONCE, FIRST + (part + 1) * AT_ONCE)

    broken = {command_of(seed): [str(one) for one in found] for seed in seeds if (found := run_seed(seed).violations)}

    assert {} == broken


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_bug_is_found(name: str) -> None:
    """It is found within the seeds, and the first invariant broken is one that this bug endangers."""
    mutation = MUTATIONS[name]
    seeds = [(mutation.found_by + number) % SEEDS_PER_MUTATION for number in range(SEEDS_PER_MUTATION)]
    with mutation.plant():
        found = next((found[0] for seed in seeds if (found := run_seed(seed).violations)), None)

    assert found is not None
    assert found.invariant in mutation.breaks, str(found)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_reproducible(seed: int) -> None:
    """The same seed gives the same history to the last entry."""
    assert run_seed(seed).history == run_seed(seed).history


def test_a_broken_seed_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A failure is printed as the command that shows it, and that command does show it."""
    mutation = "commit-before-outcome"

    assert 1 == main(["--seeds", "3", "--mutation", mutation])
    command = capsys.readouterr().out.splitlines()[0]
    assert command.startswith("python -m tests.simulation --seed ")

    assert 1 == main(command.removeprefix("python -m tests.simulation ").split())
    assert "is not finished" in capsys.readouterr().out
