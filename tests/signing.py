"""The signing key that tests and the programs they start share."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from schemas.signatures import SigningKeys

KEY = bytes(range(1, 33))
KEYS = SigningKeys([KEY])


@cache
def keys_file() -> Path:
    """Return a file of the key, which goes when this process ends."""
    directory = Path(tempfile.mkdtemp(prefix="signing-keys-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    file = directory / "signing-keys"
    file.write_text(f"# for tests\n{KEY.hex()}\n", encoding="utf-8")
    return file
