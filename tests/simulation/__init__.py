"""
Replicas, Kafka, SES and time in one process. One seed decides everything: `python -m tests.simulation --help`.

The replicas are real. What they wait for (`kafka`, `publishing`, `membership`, `ses`, `loop`) is simulated, late and
faulty. A run leaves a `history`, and `checker` checks the invariants from it alone, without looking at the replicas.
"""
