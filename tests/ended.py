"""Run a command of somebody else's to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int | None
    out: str
    errors: str


async def ended(
    *command: str, within: float, cwd: Path | None = None, environ: Mapping[str, str] | None = None
) -> Ended:
    """Run a command with more variables, and return how it ended; kill it if it takes too long."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **(environ or {})}, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(within):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), errors.decode())
