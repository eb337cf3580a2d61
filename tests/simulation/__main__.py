"""Run seeds: `python -m tests.simulation --seeds 5000`, or one with its whole history: `--seed 123 -v`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TextIO

from tests.simulation.mutations import MUTATIONS
from tests.simulation.report import line_of
from tests.simulation.run import command_of, run_seed

_PROGRESS_EVERY = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if nothing was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run only this seed")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run (default: %(default)s)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed (default: %(default)s)")
    parser.add_argument("--mutation", choices=MUTATIONS, help="plant this bug first")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the whole history")
    given = parser.parse_args(arguments)
    planted = MUTATIONS[given.mutation].plant() if given.mutation else nullcontext()
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
    with planted:
        return _run(seeds, mutation=given.mutation, verbose=given.verbose)


def _run(seeds: Sequence[int], *, mutation: str | None, verbose: bool) -> int:
    broken, began = 0, time.perf_counter()
    for done, seed in enumerate(seeds, start=1):
        outcome = run_seed(seed, verbose=verbose)
        if verbose:
            _print(*map(line_of, outcome.history.entries), str(outcome.plan))
        if outcome.violations:
            broken += 1
            _print(command_of(seed, mutation), *(f"    {one}" for one in outcome.violations))
        if done % _PROGRESS_EVERY == 0 or done == len(seeds):
            each_ms = (time.perf_counter() - began) / done * 1000
            _print(f"{done} of {len(seeds)} seeds, {broken} broken, {each_ms:.1f} ms each", to=sys.stderr)
    return 1 if broken else 0


def _print(*lines: str, to: TextIO | None = None) -> None:
    print(*lines, sep="\n", file=to)


if __name__ == "__main__":
    sys.exit(main())
