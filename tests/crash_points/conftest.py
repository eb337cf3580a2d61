"""Courses assert for the tests that run them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.crash_points.cases", "tests.crash_points.helpers")
