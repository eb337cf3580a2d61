"""The sizes of measurements: for a whole run, for a quick look, and for the suite's smoke test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PEER_PROGRAMS: Mapping[str, str] = {
    "FastStream": "tests.chaos.peers.faststream_peer",
    "confluent": "tests.chaos.peers.confluent_peer",
    "gather": "tests.chaos.peers.gather_peer",
}
"""The plain peers, by their name in the tables."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of one run; counts are of events, unless named otherwise, and an event has two recipients."""

    events: int = 3000
    peers: tuple[str, ...] = tuple(PEER_PROGRAMS)
    bare_seconds: float = 2.0

    calls: Mapping[int, float] = field(default_factory=lambda: {1: 12.0, 50: 4.0, 200: 4.0})
    """The seconds of each rate, by requests per second."""
    step_seconds: float = 2.5
    """One step of the search for the highest rate."""
    bisections: int = 3
    highest_rate: int = 3200

    account_rate: int = 100
    """Sends per second that the account allows."""
    phases: tuple[int, ...] = (1, 3, 2)
    """The number of replicas in each phase."""
    phase_seconds: float = 12.0

    replicas: tuple[int, ...] = (1, 2, 4)
    scaling_seconds: float = 8.0

    backlogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    drained: int = 3000

    remembered: int = 1_000_000
    """Ids in the ledger that is measured alone; the figures are per million."""
    followed: int = 20_000
    """Dispatch records that a facade reads."""
    cold_remembered: int = 100_000
    """Ids that a replica finds at a cold start."""
    feedback_seconds: float = 15.0
    """For how long reports of SES come."""
    bulk: int = 20_000
    """Reminders of the backlog that pause notices come behind."""
    notices: int = 100
    """Those pause notices."""
    bounces: int = 3
    """E-mails that bounce, at most as many as there are types of events with two recipients."""


WHOLE = Sizes()

QUICK = Sizes(
    events=600,
    bare_seconds=1.0,
    calls={1: 3.0, 50: 2.0, 200: 2.0},
    step_seconds=1.0,
    bisections=1,
    phase_seconds=4.0,
    scaling_seconds=3.0,
    backlogs=(1_000, 10_000, 100_000),
    drained=800,
    remembered=30_000,
    followed=4_000,
    cold_remembered=20_000,
    feedback_seconds=5.0,
    bulk=5_000,
    notices=30,
    bounces=2,
)

TINY = Sizes(
    events=20,
    peers=("gather",),
    bare_seconds=0.2,
    calls={200: 0.1},
    step_seconds=0.2,
    bisections=0,
    highest_rate=200,
    phases=(2, 1),
    phase_seconds=0.3,
    replicas=(1,),
    scaling_seconds=0.3,
    backlogs=(40,),
    drained=30,
    remembered=1000,
    followed=100,
    cold_remembered=100,
    feedback_seconds=0.2,
    bulk=40,
    notices=2,
    bounces=1,
)
"""For the test suite: it only shows that the bench runs."""
