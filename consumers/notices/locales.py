"""How a contact reads: in which of our languages, and how dates are written in their locale and zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta, get_timezone_gmt, get_timezone_name

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
class LocaleFormat:
    """A language of ours, a locale of that language, and a zone."""

    language: str
    locale: Locale
    zone: tzinfo

    def when(self, instant: datetime) -> str:
        """Write an instant in the reader's zone, but a calendar date as what it is: the same day to every reader."""
        return self.when_and_day(instant)[0]

    def when_and_day(self, instant: datetime) -> tuple[str, str]:
        """Write what `when` writes of an instant, and the date alone of it."""
        midnight = _midnight(instant)
        if midnight is not None:
            day = self.date(midnight.date())
            return day, day
        # Shown to the minute: many e-mails of one minute share one text.
        return _clock_and_day(self, instant.astimezone(UTC).replace(second=0, microsecond=0))

    def _clock_and_day(self, instant: datetime) -> tuple[str, str]:
        local = self._local(instant)
        clock = format_time(local, "short", tzinfo=local.tzinfo, locale=self.locale)
        joined = str(self.locale.datetime_formats["long"]).replace("'", "")
        day = self.date(local.date())
        return joined.format(f"{clock} {self._zone_name(local)}", day), day

    def lies(self, instant: datetime, now: datetime) -> Lies:
        """
        Return where *instant* lies at *now*; of a calendar date, by the day that it is for the reader or in its offset.

        If those two differ the earlier day counts, so that no e-mail calls a date past which is still ahead.
        """
        midnight = _midnight(instant)
        if midnight is None or abs(instant - now) > _DAYS_DIFFER:
            return Lies.AHEAD if instant > now else Lies.PAST
        return day_lies(midnight.date(), min(self._local(now).date(), now.astimezone(midnight.tzinfo).date()))

    def counted_from(self, instant: datetime) -> str:
        """Write the instant from which whole days are counted: in its own offset if the reader's date is another."""
        if self._local(instant).date() == instant.date():
            return self.when(instant)
        return LocaleFormat(self.language, self.locale, _zone_of(instant)).when(instant)

    def date(self, day: date) -> str:
        """Write a date."""
        return _date(self, day)

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
        """Return "CEST" where the locale has such a name, else "Japan Standard Time": "+0900" says little."""
        if isinstance(local.tzinfo, timezone):  # an offset, which has no name
            return get_timezone_gmt(local, "long", self.locale)
        short = get_timezone_name(local, "short", locale=self.locale)
        return get_timezone_name(local, "long", locale=self.locale) if short.startswith(("+", "-")) else short


def day_lies(day: date, today: date) -> Lies:
    """Return where a *day* lies on the day *today*."""
    if day == today:
        return Lies.TODAY
    return Lies.AHEAD if day > today else Lies.PAST


@lru_cache(maxsize=4096)
def _clock_and_day(locale_format: LocaleFormat, instant: datetime) -> tuple[str, str]:
    return locale_format._clock_and_day(instant)  # noqa: SLF001 - its own memory


@lru_cache(maxsize=4096)
def _date(locale_format: LocaleFormat, day: date) -> str:
    return format_date(day, "long", locale_format.locale)


def _midnight(instant: datetime) -> datetime | None:
    """
    Return the midnight that makes an instant a calendar date, or None.

    That is exactly midnight in the offset that the instant was written with, or in UTC.
    """
    return next((written for written in (instant, instant.astimezone(UTC)) if written.time() == time()), None)


def _zone_of(instant: datetime) -> tzinfo:
    return instant.tzinfo if instant.tzinfo is not None and instant.utcoffset() else _UTC


def language_of(tag: str) -> str:
    """Return the language of ours that a locale (`de-AT`, `de_DE`) reads, or the first of them."""
    language = tag.replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else LANGUAGES[0]


@lru_cache(maxsize=1024)
def reader_of(tag: str, zone: str) -> LocaleFormat:
    """Return the reader of a contact's locale and zone."""
    language = language_of(tag)
    return LocaleFormat(language, _locale(tag, language), ZoneInfo(zone))


def _locale(tag: str, language: str) -> Locale:
    """Return the reader's own locale where it is one of the language we write, else that language's."""
    of_language = Locale.parse(_LOCALE_OF_LANGUAGE.get(language, language))
    try:
        found = Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return of_language
    return found if found.language == language and found.territory else of_language
