"""Examples at the end of a command's help, with their line breaks kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

KEEP_LINES = "\b\n"
"""Tells click not to rewrap the paragraph that follows."""


def examples(*lines: str) -> Callable[[F], F]:
    """Add *lines* to the end of a command's help."""

    def add(command: F) -> F:
        command.__doc__ = f"{inspect.getdoc(command)}\n\n{example_lines(*lines)}"
        return command

    return add


def example_lines(*lines: str) -> str:
    """Return *lines* as a paragraph of help that keeps its line breaks."""
    return KEEP_LINES + "\n".join(f"  {line}" for line in lines)
