"""`pause-notifications signing-keys`: add keys that sign the records of our programs."""

from __future__ import annotations

from pathlib import Path

from deploy.support.output import print_hint, print_text
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error
from deploy.support.signing_key_file import add_key
from runtime.settings import env_name
from schemas.signatures import InvalidSigningKeys


def add(file: Path, *, if_none: bool) -> None:
    """Add a new random key to a file of signing keys; the key is not printed."""
    try:
        keys = add_key(file, if_none=if_none)
    except InvalidSigningKeys as error:
        exit_with_error(f"{file} is unchanged. {error}", EXIT_USAGE)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}", EXIT_FAILED)
    print_text(f"{file}: {', '.join(keys.ids)} ({keys.ids[0]} signs)")
    print_hint(f"set it for service, consumers and command: {env_name('signing_keys_file')}={file.resolve()}")
    if len(keys.ids) > 1:
        print_hint("once all programs have the new key, move its line to the top and restart them")
