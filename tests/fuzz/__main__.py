"""
`python -m tests.fuzz TARGET [--seconds N] [--seed N]`.

Each module of this package is a target: its `fuzz(seed, seconds)` returns a summary, or raises what it found. If it has
a corpus, its `keep` does the same, and adds to the corpus.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from random import SystemRandom


def main() -> int:
    """Fuzz one target; first print the seed that repeats the run."""
    targets = sorted(
        file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith(("_", "test_"))
    )
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("target", choices=targets)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long [%(default)s]")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32), help="repeats a run [random]")
    given = parser.parse_args()
    sys.stdout.write(f"{given.target}: seed {given.seed}, {given.seconds:g} s\n")
    sys.stdout.flush()
    target = importlib.import_module(f"tests.fuzz.{given.target}")
    sys.stdout.write(f"{getattr(target, 'keep', target.fuzz)(given.seed, given.seconds)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
