"""Measurements: `make bench`. They print figures and assert nothing."""
