"""What the figures are to reach, by part and name; whether they do is printed beside them, and asserted nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.figures import Target

TARGETS: Mapping[str, Mapping[str, Target]] = {
    "backlog": {
        "events": Target(1.0, of_best_peer=True),
        "CPU of 1,000 sends": Target(1.0, of_best_peer=True),
        "peak memory": Target(200),
        "cores used: ses": Target(0.7),
        "that over the fastest here": Target(1.5),
    },
    "rest": {
        "p50 at 1/s": Target(1.5, of_best_peer=True),
        "p50 at 50/s": Target(1.5, of_best_peer=True),
        "p50 at 200/s": Target(1.5, of_best_peer=True),
        "p99 at 50/s": Target(250),
        "p99 at 200/s": Target(250),
        "answered 200 at 1/s": Target(100),
        "answered 200 at 50/s": Target(100),
        "answered 200 at 200/s": Target(100),
        "highest rate": Target(1.0, of_best_peer=True),
    },
    "rate": {
        "share of 100/s: 1. 1 replica": Target(95),
        "share of 100/s: 2. 3 replicas": Target(95),
        "share of 100/s: 3. 2 replicas": Target(95),
        "share of 100/s: over all": Target(90),
        "calls throttled, of all": Target(1),
        "attempts lost": Target(0),
    },
    "scaling": {
        "2 replicas over one": Target(1.9),
        "4 replicas over one": Target(3.6),
    },
    "ledger": {
        "read back, a million": Target(30),
        "memory, a million": Target(500),
    },
    "cold": {
        "assignment to first mail": Target(3),
    },
    "flat": {
        "CPU of the largest over the smallest": Target(1.15),
        "1,000,000 wait: memory": Target(200),
    },
}
