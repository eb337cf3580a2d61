"""(e) What it takes to read a ledger back and to hold it, per million of ids, in a process of its own."""

from __future__ import annotations

from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.ledger import ledger_read
from tests.bench.sizes import Sizes

_MILLION = 1e6

ABOUT = """\
Two records for each id, its intent and its end. All that lies in the topic is read by one process that does nothing
else; memory is what it gains by it."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Write a past and have a ledger read it."""
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
