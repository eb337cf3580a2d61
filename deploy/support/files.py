"""Replace a file that a running program may be reading."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

_OWNER_ONLY = 0o600


def replace_file(file: Path, text: str) -> None:
    """
    Write *text* to *file* in one step: a reader sees the old text or the new one, never a part.

    The file keeps its mode; a new file can be read by its owner only. If *file* is a link, its target is replaced.

    Raises:
        OSError: The text could not be written; the old file is unchanged.
    """
    target = file.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else _OWNER_ONLY
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
        raise
