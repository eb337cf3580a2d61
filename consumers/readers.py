"""How a contact reads: in which of our languages, and how dates are written in their locale and zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta, get_timezone_name

LANGUAGES = ("en", "de")
"""The languages we write, each a folder of `templates`; the first is for contacts who read none of them."""

# English of no country: the day before the month and the clock of 24 hours, which nobody misreads.
_LOCALE_OF_LANGUAGE = {"en": "en_150"}

_UTC = ZoneInfo("UTC")
_DAYS_DIFFER = timedelta(days=2)
"""Further apart no two instants lie on one day, in whichever zones; most dates of events do, and need no calendar."""


class Lies(StrEnum):
    """Where a date of an event lies for the reader of an e-mail; templates choose their tense by it."""

    PAST = "past"
    TODAY = "today"
    AHEAD = "ahead"


@dataclass(frozen=True)
class Reader:
    """A language of ours, a locale of that language, and a zone."""

    language: str
    locale: Locale
    zone: ZoneInfo

    def when(self, instant: datetime) -> str:
        """Write an instant in the reader's zone, but exactly midnight UTC as the calendar date that it means."""
        return self.when_and_day(instant)[0]

    def when_and_day(self, instant: datetime) -> tuple[str, str]:
        """Write what `when` writes of an instant, and the date alone of it."""
        # Shown to the minute: many e-mails of one minute share one text. Midnight's seconds must not be cut off.
        instant = instant.astimezone(UTC)
        cut = instant.replace(second=0, microsecond=0)
        return _when_and_day(self, cut if cut.time() != time() else instant)

    def _when_and_day(self, instant: datetime) -> tuple[str, str]:
        if instant.time() == time():
            return self.date(instant), self.date(instant)
        local = self._local(instant)
        clock = format_time(local, "short", tzinfo=local.tzinfo, locale=self.locale)
        joined = str(self.locale.datetime_formats["long"]).replace("'", "")
        day = self.date(local)
        return joined.format(f"{clock} {self._zone_name(local)}", day), day

    def lies(self, instant: datetime, now: datetime) -> Lies:
        """
        Return where *instant* lies at *now*; of a calendar date, by the day that it is for the reader and in UTC.

        When those two differ the earlier day counts, so that no e-mail calls a date past which is still ahead.
        """
        if abs(instant - now) > _DAYS_DIFFER or instant.astimezone(UTC).time() != time():
            return Lies.AHEAD if instant > now else Lies.PAST
        return day_lies(instant.astimezone(UTC).date(), min(self._local(now).date(), now.astimezone(UTC).date()))

    def counted_from(self, instant: datetime) -> str:
        """Write the instant from which whole days are counted in UTC: in UTC where the reader's date is another."""
        same_day = self._local(instant).date() == instant.astimezone(UTC).date()
        return (self if same_day else Reader(self.language, self.locale, _UTC)).when(instant)

    def date(self, instant: datetime) -> str:
        """Write the date of an instant as it stands, in whatever zone that is."""
        return format_date(instant.date(), "long", self.locale)

    def in_days(self, days: int) -> str:
        """Write "in 14 days", always in days (never "in 2 weeks")."""
        only_days = 10_000
        return format_timedelta(
            timedelta(days=days), granularity="day", threshold=only_days, add_direction=True, locale=self.locale
        )

    def _local(self, instant: datetime) -> datetime:
        try:
            return instant.astimezone(self.zone)
        except OverflowError:  # in the first and last hours that a datetime can hold
            return instant.astimezone(_UTC)

    def _zone_name(self, local: datetime) -> str:
        """Give "CEST" where the locale has such a name, else "Japan Standard Time": "+0900" says little."""
        short = get_timezone_name(local, "short", locale=self.locale)
        return get_timezone_name(local, "long", locale=self.locale) if short.startswith(("+", "-")) else short


def day_lies(day: date, today: date) -> Lies:
    """Return where a *day* lies on the day *today*."""
    if day == today:
        return Lies.TODAY
    return Lies.AHEAD if day > today else Lies.PAST


@lru_cache(maxsize=4096)
def _when_and_day(reader: Reader, instant: datetime) -> tuple[str, str]:
    return reader._when_and_day(instant)  # noqa: SLF001 - its own memory


def language_of(tag: str) -> str:
    """Give the language of ours that a locale (`de-AT`, `de_DE`) reads, or the first of them."""
    language = tag.replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else LANGUAGES[0]


@lru_cache(maxsize=1024)
def reader_of(tag: str, zone: str) -> Reader:
    """Give the reader of a contact's locale and zone."""
    language = language_of(tag)
    return Reader(language, _locale(tag, language), ZoneInfo(zone))


def _locale(tag: str, language: str) -> Locale:
    """Give the reader's own locale where it is one of the language we write, else that language's."""
    of_language = Locale.parse(_LOCALE_OF_LANGUAGE.get(language, language))
    try:
        found = Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return of_language
    return found if found.language == language and found.territory else of_language
