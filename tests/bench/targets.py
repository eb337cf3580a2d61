"""The targets of figures, by part and name; the bench prints whether they are met, and asserts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.figures import Target
from tests.bench.rest import DIRECT

TARGETS: Mapping[str, Mapping[str, Target]] = {
    "backlog": {
        "events": Target(3.0, peer="FastStream"),
        "CPU of 1,000 sends": Target(1 / 3, peer="FastStream"),
        "peak memory": Target(130),
        # These two show that SES, one process here, is not the limit.
        "cores used: ses": Target(0.7),
        "a bare client over the fastest here": Target(1.5),
    },
    "rest": {
        "p50 at 50/s over SES": Target(10),
        "p99 at 50/s over SES": Target(40),
        "answered 200 at 1/s": Target(100),
        "answered 200 at 50/s": Target(100),
        "answered 200 at 200/s": Target(100),
        "highest rate": Target(2.5, peer=DIRECT),
    },
    "rate": {
        "share of 100/s: 1. 1 replica": Target(95),
        "share of 100/s: 2. 3 replicas": Target(95),
        "share of 100/s: 3. 2 replicas": Target(95),
        "share of 100/s: over all": Target(95),
        "calls throttled, of all": Target(0.5),
        "attempts lost": Target(0),
    },
    "bulk": {
        "no slow source: p50 of waits": Target(15),
        "a slow source: p50 of waits": Target(0.5),
        "a slow source: p99 of waits": Target(2),
    },
    "scaling": {
        "2 replicas over one": Target(1.9),
        "4 replicas over one": Target(0.9 * 4),
    },
    "ledger": {
        "read back, a million": Target(5),
        "memory, a million": Target(200),
    },
    "followed": {
        "followed": Target(60),
        "followed while a caller waits": Target(60),
    },
    "feedback": {
        "reports taken, at 1,000/s": Target(950),
        "p99 of mail, gained": Target(50),
        "bounce to the first event that is spared": Target(2),
    },
    "cold": {
        "assignment to first mail": Target(3),
    },
    "flat": {
        "CPU of the largest over the smallest": Target(1.15),
        "1,000,000 wait: memory": Target(200),
    },
}
