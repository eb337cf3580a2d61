"""What operators do in a run: stop and start, hold and release, cancel."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from msgspec.structs import replace

from runtime.kafka.records import Place
from schemas.controls import Control, ControlKind, control_json
from tests.signing import KEYS
from tests.simulation.loop import START
from tests.simulation.producers import SOURCES, TOPICS, Written

_SHARE = 0.3
"""The share of plans with operators."""
_LASTS = (0.5, 2.0, 6.0)


def controls_of(random: Random) -> tuple[tuple[float, Written], ...]:
    """Draw the records of controls; each stop and each hold is lifted again."""
    if random.random() >= _SHARE:
        return ()
    within = random.choice((0.2, 1.0, 5.0))
    written = [pair for _ in range(random.randint(1, 4)) for pair in _control(random, within)]
    return tuple(sorted(written, key=lambda pair: pair[0]))


def _control(random: Random, within: float) -> Iterator[tuple[float, Written]]:
    at, source = random.random() * within, random.choice(SOURCES)
    kind = random.choice((ControlKind.SENDING_STOPPED, ControlKind.SOURCE_HELD, ControlKind.CANCEL))
    if kind is ControlKind.CANCEL:
        since, id_ = START + timedelta(seconds=at * random.choice((0.0, 0.0, 0.5))), f"{random.getrandbits(32):08x}"
        yield _written(at, Control(kind=kind, by="a", at=START, reason="", source=source, id=id_, since=since))
        return
    control = Control(
        kind=kind, by="a", at=START, reason="", source=source if kind is ControlKind.SOURCE_HELD else None
    )
    yield _written(at, control)
    yield _written(at + random.choice(_LASTS), replace(control, lifted=True))


def _written(at: float, control: Control) -> tuple[float, Written]:
    """Return a record of a control, dated by the broker."""
    control = replace(control, at=START + timedelta(seconds=at))
    key, value = control.key, control_json(control)
    headers = tuple(KEYS.signed(TOPICS.controls, key, value, []))
    lifted = " lifted" if control.lifted else ""
    return at, Written(Place(TOPICS.controls, 0), key, value, headers, f"{key.decode()}{lifted}")
