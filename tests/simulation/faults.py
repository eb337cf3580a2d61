"""Which faults occur: every chance and every delay of a run is drawn here, from its seed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from random import Random

from aiokafka.errors import RequestTimedOutError

_TICK = 0.001
"""Delays are whole ticks, so that some things happen at the same instant."""


@dataclass(frozen=True)
class FaultRates:
    """Probabilities, each in [0, 1], and the longest delays in ticks."""

    ask_fails: float = 0.0
    publish_fails: float = 0.0
    publish_unknown: float = 0.0
    commit_fails: float = 0.0
    commit_late: float = 0.0
    send_throttled: float = 0.0
    send_not_accepted: float = 0.0
    send_lost: float = 0.0
    send_slow: float = 0.0
    halted: float = 0.0
    queue_fails: float = 0.0
    latency: int = 20
    lateness: int = 20
    """In ticks: how late a record may reach the readers of its log."""


NO_FAULTS = FaultRates()


def random_rates(random: Random) -> FaultRates:
    """Return rates at which some faults are frequent and others do not occur."""

    def some(highest: float) -> float:
        return random.random() * highest if random.random() < 0.4 else 0.0

    return FaultRates(
        ask_fails=some(0.2),
        publish_fails=some(0.3),
        publish_unknown=some(0.4),
        commit_fails=some(0.5),
        commit_late=some(0.5),
        send_throttled=some(0.3),
        send_not_accepted=some(0.5),
        send_lost=some(0.4),
        send_slow=some(0.3),
        halted=some(0.2),
        queue_fails=some(0.3),
        latency=random.choice((2, 20, 100)),
        lateness=random.choice((2, 20, 200)),
    )


def with_prompt_reads(rates: FaultRates) -> FaultRates:
    """Return the same rates with prompt reads, so that acting without what is in a log is an error."""
    return replace(rates, ask_fails=0.0, latency=min(rates.latency, 20), lateness=min(rates.lateness, 20))


class Faults:
    """Draws faults at the current rates; a change of rates applies to all at once."""

    def __init__(self, random: Random, rates: FaultRates) -> None:
        self.random = random
        self.rates = rates

    def clear(self) -> None:
        """Let no more faults occur."""
        self.rates = replace(NO_FAULTS, latency=self.rates.latency, lateness=self.rates.lateness)

    def chance(self, probability: float) -> bool:
        """Return whether a fault of this probability occurs."""
        return probability > 0 and self.random.random() < probability

    def latency(self) -> float:
        """Return the seconds that one way over the network takes."""
        return self.random.randint(0, self.rates.latency) * _TICK

    async def request(self) -> None:
        """Take the time of a request; raise as aiokafka does if it fails."""
        await asyncio.sleep(self.latency())
        if self.chance(self.rates.ask_fails):
            raise RequestTimedOutError

    async def fetch(self) -> None:
        """Take the time of a fetch; raise as aiokafka does if it fails."""
        await asyncio.sleep(self.random.randint(0, self.rates.lateness) * _TICK)
        if self.chance(self.rates.ask_fails):
            raise RequestTimedOutError
