"""(e) The time and memory that a ledger takes, per million ids, in a process of its own."""

from __future__ import annotations

from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.ledger import ledger_read
from tests.bench.sizes import Sizes

_MILLION = 1e6

ABOUT = """\
Each id has two records, its intent and its end. One process reads the whole topic and does nothing else; memory is what
it gains."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Write records and let a ledger read them back."""
    show(f"a ledger of {sizes.remembered:,} ids", 0.1)
    read = await ledger_read(env.servers, sizes.remembered)
    millions = read.entries / _MILLION
    return [
        Figure("ids read", "", read.entries, more_is_better=True),
        Figure("read back, a million", "s", read.seconds / millions),
        Figure("CPU, a million", "s", read.cpu_seconds / millions),
        Figure("memory, a million", "MB", read.memory_mb / millions),
        Figure("peak memory meanwhile, a million", "MB", read.peak_mb / millions),
    ]
