"""Add keys to the file of signing keys."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from pathlib import Path

from deploy.support.files import replace_file
from schemas.signatures import MIN_KEY_BYTES, SigningKeys, decode_signing_keys, parse_signing_keys


def add_key(file: Path, *, if_none: bool = False) -> SigningKeys:
    """
    Add a random key to *file* and return all its keys; with *if_none*, add one only if the file has none.

    Raises:
        InvalidSigningKeys: The file is not UTF-8, or holds something that is not a key.
        OSError: The file cannot be read or written.
    """
    text = decode_signing_keys(file.read_bytes()) if file.exists() else ""
    if text.strip():
        keys = parse_signing_keys(text)
        if if_none:
            return keys
    new = secrets.token_bytes(MIN_KEY_BYTES)
    line = base64.urlsafe_b64encode(new).decode()
    start = f"{text.rstrip()}\n" if text.strip() else ""
    text = f"{start}# {SigningKeys([new]).ids[0]}, made {datetime.now(UTC):%Y-%m-%d}\n{line}\n"
    keys = parse_signing_keys(text)
    replace_file(file, text)
    return keys
