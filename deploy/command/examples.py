"""Examples at the end of a command's help, laid out as they are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

AS_WRITTEN = "\b\n"
"""What keeps the help from filling the lines of a paragraph."""


def examples(*lines: str) -> Callable[[F], F]:
    """Put *lines* under a command's help."""

    def put(command: F) -> F:
        command.__doc__ = f"{inspect.getdoc(command)}\n\n{laid_out(*lines)}"
        return command

    return put


def laid_out(*lines: str) -> str:
    """Return *lines* as a paragraph of help that keeps its lines."""
    return AS_WRITTEN + "\n".join(f"  {line}" for line in lines)
