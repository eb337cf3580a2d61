"""Message ids in the format of SES: 60 characters, of which the first 16 contain the time in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

REGION_PREFIX = "0100"  # the start of ids from us-east-1


def message_id(seconds: float, random: Random) -> str:
    """Return an id for a mail accepted at *seconds* since the epoch."""
    bits = f"{random.getrandbits(128):032x}"
    uuid = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
    return f"{REGION_PREFIX}{int(seconds * 1000):012x}-{uuid}-000000"
