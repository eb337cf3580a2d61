"""Time zones by the names that contacts use: those of IANA in any case, and those of Windows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from zoneinfo import available_timezones


@cache
def _zones() -> Mapping[str, str]:
    """Map every known name in lower case to its IANA name. CLDR's table has the names of Windows."""
    from babel.core import get_global  # noqa: PLC0415 - the facade reads no contacts, and need not load it

    windows: Mapping[str, str] = get_global("windows_zone_mapping")
    known = available_timezones()
    return {
        **{name.casefold(): zone for name, zone in windows.items() if zone in known},
        **{zone.casefold(): zone for zone in known},
    }


def iana_zone(name: str) -> str:
    """
    Return IANA's name of a zone, such as Europe/Berlin for `europe/berlin` and for `W. Europe Standard Time`.

    Raises:
        ValueError: if there is no such zone. The message does not repeat it.
    """
    zone = _zones().get(name.casefold())
    if zone is None:
        raise ValueError("must be a time zone of IANA or Windows, such as Europe/Berlin")
    return zone
