"""Measurements: `make bench`. They print, and assert nothing."""
