"""
The form of an e-mail address, checked only as far as SES must read it as exactly one address.

SES and the mailbox's own server judge the rest: addresses with consecutive dots or with quoted parts are in use.
SES accepts only ASCII before the @, and a domain beyond ASCII only as punycode.
"""

from __future__ import annotations

import re

from email_validator import EmailNotValidError, validate_email

MAX_ADDRESS = 320
"""The longest address, in characters: 64 before the @ and 255 after it."""

_LOCAL = r"""(?:[!#-'*+./0-9=?A-Z^-~-]+|"(?:[ !#-\[\]-~]|\\[ -~])+")"""
_DOMAIN = r"[^\x00-,/:-@\[-^`{-\x7f]+"  # letters, digits, '-', '.' and '_', and everything beyond ASCII
_ADDRESS = re.compile(f"({_LOCAL})@({_DOMAIN})")

ADDRESS_PATTERN = rf"^{_LOCAL}@{_DOMAIN}(?!\n)$"  # some validators let $ match before a final line break
"""The same for JSON Schema, which cannot check whether a domain beyond ASCII can be written as punycode."""


def ascii_address(text: str) -> str:
    """
    Return an address as SES accepts it, with the domain in lower case and in punycode.

    Raises:
        ValueError: if it is not exactly one address. The message does not repeat it.
    """
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        raise ValueError("must be an e-mail address")
    local, domain = parts.groups()
    address = f"{local}@{domain.lower() if domain.isascii() else _punycode(domain)}"
    if len(address) > MAX_ADDRESS:
        raise ValueError("must be an e-mail address")
    return address


def _punycode(domain: str) -> str:
    try:  # reserved domains serve tests and samples
        checked = validate_email(f"x@{domain}", check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None
    return checked.ascii_domain
