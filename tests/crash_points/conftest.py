"""Have pytest rewrite the assertions of the cases and helpers."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.crash_points.cases", "tests.crash_points.helpers")
