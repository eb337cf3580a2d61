"""Which controls keep an event that waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.command.waiting_event import keeping
from schemas.controls import Control, ControlKind
from tests.unit.consumers.stage import event_of
from tests.unit.schemas.test_controls import NOW, cancel, control


@pytest.mark.parametrize(
    ("one", "keeps"),
    [
        (control(), True),
        (control(kind=ControlKind.SOURCE_HELD, source="/academy"), True),
        (control(kind=ControlKind.SOURCE_HELD, source="/other"), False),
        (cancel(source="/academy", since=NOW - timedelta(hours=1), at=NOW + timedelta(hours=1)), True),
        (control(kind=ControlKind.LOG_LEVEL, level="debug", until=NOW), False),
    ],
)
def test_what_keeps_an_event(one: Control, *, keeps: bool) -> None:
    """A stop keeps every event, a hold and a cancel those that they concern."""
    assert keeps == bool(keeping([one], event_of(source="/academy"), NOW))
