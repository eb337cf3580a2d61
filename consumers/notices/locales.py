"""The languages of notices, and how dates are written in a contact's locale and time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_time, format_timedelta

LANGUAGES = ("en", "de", "fr", "es")
"""The languages that notices are written in, each a folder of `templates`. A contact who reads none gets the first."""

# English of no country: the day before the month and a 24-hour clock, which nobody misreads.
_LOCALE_OF_LANGUAGE = {"en": "en_150"}

_ALIASES = get_global("language_aliases")
"""Languages by codes that BCP 47 does not use, such as `ger` and `deu`."""

_UTC = ZoneInfo("UTC")
_MIDNIGHT = time()
_NEVER_ONE_DAY = timedelta(days=2)
"""Two instants further apart than this are on different days in every zone; for most events that is enough to know."""


class Tense(StrEnum):
    """How a date relates to the moment of sending."""

    PAST = "past"
    TODAY = "today"
    AHEAD = "ahead"


class Moment(NamedTuple):
    """An instant as text: with its time of day, unless it is a calendar date, and its date alone."""

    text: str
    day: str


@dataclass(frozen=True)
class LocaleFormat:
    """Writes dates in a locale and a time zone."""

    locale: Locale
    zone: tzinfo

    def moment(self, instant: datetime) -> Moment:
        """Write an instant in the reader's zone. A calendar date is the same day for every reader."""
        midnight = _midnight(instant)
        if midnight is not None:
            day = self.date(midnight.date())
            return Moment(day, day)
        return _moment(self, instant.astimezone(UTC).replace(second=0, microsecond=0))

    def moment_counted_from(self, instant: datetime) -> Moment:
        """Write the instant from which days are counted: in its own offset if the reader's date is another."""
        if self.local(instant).date() == instant.date():
            return self.moment(instant)
        zone = instant.tzinfo if instant.tzinfo is not None and instant.utcoffset() else _UTC
        return LocaleFormat(self.locale, zone).moment(instant)

    def date(self, day: date) -> str:
        """Write a date."""
        return _date(self.locale, day)

    def in_days(self, days: int) -> str:
        """Write "in 14 days", always in days (never "in 2 weeks")."""
        return _in_days(self.locale, days)

    def tense(self, instant: datetime, now: datetime) -> Tense:
        """
        Return how *instant* relates to *now*; a calendar date is compared by day.

        The reader and the date's own offset may disagree about today's date. The earlier one counts, so that no e-mail
        calls a date past while it is still ahead.
        """
        midnight = _midnight(instant)
        if midnight is None or abs(instant - now) > _NEVER_ONE_DAY:
            return Tense.AHEAD if instant > now else Tense.PAST
        return tense_of_date(midnight.date(), min(self.local(now).date(), now.astimezone(midnight.tzinfo).date()))

    def local(self, instant: datetime) -> datetime:
        """Return an instant in the reader's zone."""
        try:
            return instant.astimezone(self.zone)
        except OverflowError:  # in the first and last hours that a datetime can hold
            return instant.astimezone(_UTC)


def tense_of_date(day: date, today: date) -> Tense:
    """Return how *day* relates to *today*."""
    if day == today:
        return Tense.TODAY
    return Tense.AHEAD if day > today else Tense.PAST


@lru_cache(maxsize=4096)
def _moment(locale_format: LocaleFormat, minute: datetime) -> Moment:
    """Write an instant to the minute, so that many e-mails share one text."""
    local, locale = locale_format.local(minute), locale_format.locale
    clock = format_time(local, "short", tzinfo=local.tzinfo, locale=locale)
    date_and_time = str(locale.datetime_formats["long"]).replace("'", "")
    day = locale_format.date(local.date())
    return Moment(date_and_time.format(f"{clock} {_zone_name(local)}", day), day)


@lru_cache(maxsize=4096)
def _date(locale: Locale, day: date) -> str:
    text = format_date(day, "long", locale)
    # French writes the first of a month as an ordinal; CLDR's pattern does not.
    return f"1er{text[1:]}" if locale.language == "fr" and day.day == 1 else text


@lru_cache(maxsize=4096)
def _in_days(locale: Locale, days: int) -> str:
    only_days = 10_000
    return format_timedelta(
        timedelta(days=days), granularity="day", threshold=only_days, add_direction=True, locale=locale
    )


def _zone_name(local: datetime) -> str:
    """Return "GMT+10:30" in every language: a name such as IST means several zones."""
    offset = int((local.utcoffset() or timedelta()).total_seconds() / 60)
    hours, minutes = divmod(abs(offset), 60)
    return f"GMT{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def _midnight(instant: datetime) -> datetime | None:
    """
    Return the midnight that makes an instant a calendar date, or None if it is none.

    That is exactly midnight, in the offset that the instant was written with or in UTC.
    """
    if instant.time() == _MIDNIGHT:
        return instant
    in_utc = instant.astimezone(UTC)
    return in_utc if in_utc.time() == _MIDNIGHT else None


def language_of(tag: str) -> str:
    """Return the notices' language for a contact's locale, such as `de-AT` or `de_DE`."""
    language = tag.replace("_", "-").split("-")[0].lower()
    language = _ALIASES.get(language, language)
    return language if language in LANGUAGES else LANGUAGES[0]


@lru_cache(maxsize=1024)
def locale_format_of(tag: str, zone: str) -> LocaleFormat:
    """Return how dates are written for a contact's locale and time zone."""
    return LocaleFormat(_locale(tag, language_of(tag)), ZoneInfo(zone))


def _locale(tag: str, language: str) -> Locale:
    """Return the contact's own locale if it is one of *language*, else the default locale of *language*."""
    of_language = Locale.parse(_LOCALE_OF_LANGUAGE.get(language, language))
    try:
        found = Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return of_language
    return found if found.language == language and found.territory else of_language
