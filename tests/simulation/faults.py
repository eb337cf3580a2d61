"""How bad the surroundings are just now: every chance and every delay of a run is drawn here, from its seed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from random import Random

from aiokafka.errors import RequestTimedOutError

_TICK = 0.001
"""Delays are whole ticks, so that things also happen at one and the same instant."""


@dataclass(frozen=True)
class Climate:
    """Chances, each in [0, 1], and how many ticks things take at most."""

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
    latency: int = 20
    lateness: int = 20
    """Of what is read, in ticks: how late a record may come to who follows its log."""


CALM = Climate()


def stormy(random: Random) -> Climate:
    """Return surroundings in which some things go wrong often, others not at all."""

    def some(most: float) -> float:
        return random.random() * most if random.random() < 0.4 else 0.0

    return Climate(
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
        latency=random.choice((2, 20, 100)),
        lateness=random.choice((2, 20, 200)),
    )


def prompt(climate: Climate) -> Climate:
    """Return the same, but with what lies in a log soon read by all: who then acts as if it were not there is wrong."""
    return replace(climate, ask_fails=0.0, latency=min(climate.latency, 20), lateness=min(climate.lateness, 20))


class Weather:
    """Draws what happens from the climate that now is; a change of climate holds for all at once."""

    def __init__(self, random: Random, climate: Climate) -> None:
        self.random = random
        self.climate = climate

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.climate = replace(CALM, latency=self.climate.latency, lateness=self.climate.lateness)

    def chance(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return probability > 0 and self.random.random() < probability

    def latency(self) -> float:
        """Return the seconds that one way over the network takes."""
        return self.random.randint(0, self.climate.latency) * _TICK

    async def asked(self) -> None:
        """Take the time that a question takes; raises as aiokafka does where it fails."""
        await asyncio.sleep(self.latency())
        if self.chance(self.climate.ask_fails):
            raise RequestTimedOutError

    async def fetched(self) -> None:
        """Take the time that a fetch takes; raises as aiokafka does where it fails."""
        await asyncio.sleep(self.random.randint(0, self.climate.lateness) * _TICK)
        if self.chance(self.climate.ask_fails):
            raise RequestTimedOutError
