"""Fixtures live in modules with names; this file only lists them."""

from __future__ import annotations

pytest_plugins = ["tests.kafka"]
