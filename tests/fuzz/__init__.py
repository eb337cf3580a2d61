"""Seeded fuzzing: short in the suite, and of any length with `python -m tests.fuzz TARGET`."""
