"""Fixtures live in modules with names; this file only lists them, and says how Hypothesis runs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka", "tests.secured_kafka"]

# How long an example takes says more of what else the machine does than of the test.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
