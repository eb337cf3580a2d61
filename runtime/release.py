"""Which release of this project runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Return the version that is installed, or `unknown`."""
    try:
        return version("pause-notifications")
    except PackageNotFoundError:  # it runs from a checkout that was never installed
        return "unknown"
