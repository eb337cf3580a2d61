"""Seeded fuzzing: bounded in the suite, and for as long as one likes by `python -m tests.fuzz TARGET`."""
