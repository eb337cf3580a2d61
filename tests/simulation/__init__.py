"""
Replicas, Kafka, SES and time in one process, one seed deciding everything: `python -m tests.simulation --help`.

What runs is the real core; what it waits on (`kafka`, `publishing`, `membership`, `ses`, `loop`) is simulated, late and
faulty. A run leaves a `history`; `checker` reads the invariants off it and knows nothing of the code that made it.
"""
