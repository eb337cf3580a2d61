"""Who writes the e-mails: the organisation, as settings name it."""

from __future__ import annotations

from dataclasses import dataclass

_BLACK, _WHITE = "#000000", "#ffffff"
_EQUAL_CONTRAST = 0.1791
"""The luminance on which black and white text contrast alike, by 4.58 to 1. So one of both suits every colour."""


@dataclass(frozen=True)
class Letterhead:
    """What every e-mail shows of the organisation; what is empty is not shown."""

    organisation: str = ""
    postal_line: str = ""
    colour: str = "#24527a"
    """The background of the logo's text: `#` and six hexadecimal digits."""
    logo_text: str = ""

    @property
    def logo(self) -> str:
        """Return the text at the head of an e-mail."""
        return self.logo_text or self.organisation

    @property
    def ink(self) -> str:
        """Return black or white: the colour of text on `colour`, in a contrast of at least 4.5 to 1 (WCAG AA)."""
        return _BLACK if luminance(self.colour) > _EQUAL_CONTRAST else _WHITE


NOBODY = Letterhead()
"""The letterhead of an organisation that is not named."""

_DARKEST = 0.04045
"""The channels up to here are linear in sRGB."""


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, as WCAG defines it."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= _DARKEST else ((channel + 0.055) / 1.055) ** 2.4
