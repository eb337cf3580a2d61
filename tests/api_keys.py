"""API keys that are the same in every run, and files of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from service.api_keys import ApiKey, digest_of, new_key


def key_of(name: str) -> str:
    """Return the key of a caller."""
    return new_key(lambda count: hashlib.sha256(name.encode()).digest()[:count])


def api_key(name: str, *, operator: bool = False) -> ApiKey:
    """Return a caller's key as the file stores it."""
    return ApiKey(name, digest_of(key_of(name)) or b"", operator=operator)


def keys_text(*names: str, operator: str | None = None) -> str:
    """Return the text of a file with a key of each of these callers, and of an *operator*."""
    keys = [*map(api_key, names), *([api_key(operator, operator=True)] if operator else [])]
    return "".join(f"{key.line}\n" for key in keys)


def keys_file(folder: Path, *names: str, operator: str | None = None) -> Path:
    """Write a file with a key of each of these callers, and of an *operator*."""
    file = folder / "api-keys"
    file.write_text(keys_text(*names, operator=operator))
    return file
