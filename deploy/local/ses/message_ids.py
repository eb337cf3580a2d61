"""Ids shaped as SES's: 60 characters, the time in milliseconds within the first 16."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

REGION_PREFIX = "0100"  # what ids from us-east-1 begin with


def message_id(seconds: float, random: Random) -> str:
    """Make an id for a mail accepted at *seconds* since the epoch."""
    bits = f"{random.getrandbits(128):032x}"
    uuid = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
    return f"{REGION_PREFIX}{int(seconds * 1000):012x}-{uuid}-000000"
