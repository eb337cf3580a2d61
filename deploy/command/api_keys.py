"""`pause-notifications api-keys`: the keys of REST callers."""

from __future__ import annotations

from pathlib import Path

from deploy.support.files import replace_file
from deploy.support.output import print_hint, print_table, print_text
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error
from runtime.settings import env_name
from service.api_keys import (
    NAME_ALLOWED,
    ApiKey,
    InvalidKeysFile,
    decode_keys,
    digest_of,
    new_key,
    parse_keys,
    read_bytes,
    valid_name,
    without,
)

_SHOWN_DIGITS = 12


def add(name: str, file: Path, *, operator: bool) -> None:
    """Create a key for a caller, print it once, and append its digest to the file."""
    if not valid_name(name):
        exit_with_error(f"NAME: must be {NAME_ALLOWED}", EXIT_USAGE)
    text, _ = _read(file) if file.exists() else ("", ())
    key = new_key()
    added = ApiKey(name, digest_of(key) or b"", operator=operator)
    _write(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{added.line}\n")
    print_text(key)
    print_hint(f"This is the key of {name}. It is shown only once. Callers send it as: Authorization: Bearer KEY")


def list_(file: Path) -> None:
    """List the callers and the start of their keys' digests, in the order in which they were added."""
    _, keys = _read(file)
    rows = [(key.name, _start(key), "yes" if key.operator else "no") for key in keys]
    print_table(("name", "digest", "operator"), rows)


def remove(name: str, file: Path, *, digest: str) -> None:
    """Remove all keys of a caller, or one of them; facades reject them within seconds."""
    text, keys = _read(file)
    removed = [key for key in keys if key.name == name and key.digest.hex().startswith(digest.lower())]
    if not removed:
        exit_with_error(f"{file}: {name} has no such key; see: pause-notifications api-keys list", EXIT_FAILED)
    if len(removed) == len(keys):
        exit_with_error(
            f"{file}: no key would be left, and facades would keep the keys that they have; "
            f"add another caller's key first, or unset {env_name('api_keys_file')} and restart them",
            EXIT_FAILED,
        )
    _write(file, without(text, removed))
    print_text(f"{len(removed)} key{'s' * (len(removed) != 1)} of {name} removed")


def _start(key: ApiKey) -> str:
    return key.digest.hex()[:_SHOWN_DIGITS]


def _read(file: Path) -> tuple[str, tuple[ApiKey, ...]]:
    try:
        text = decode_keys(read_bytes(file))
        return text, parse_keys(text)
    except InvalidKeysFile as error:
        exit_with_error(f"{file}: {error}", EXIT_FAILED)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}", EXIT_FAILED)


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}; the file is unchanged", EXIT_FAILED)
