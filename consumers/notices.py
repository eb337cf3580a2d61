"""What the e-mails say: one template per event type, role and language, made out to one contact."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta, get_timezone_name
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined, Template, TemplateNotFound

from schemas.contacts import Contact
from schemas.events import EVENTS, CertificationExpiring, Event, Role

LANGUAGES = ("en", "de")
"""The languages we write, each a folder of `templates`; the first is for contacts who read none of them."""

MAX_SUBJECT = 200
"""The longest subject, in characters; a longer one is cut."""

# English of no country: day before month and the clock of 24 hours, which nobody misreads.
_LOCALE_OF_LANGUAGE = {"en": "en_150"}
_BLOCKS = frozenset({"subject", "text", "html"})

# Control characters, line breaks, lone surrogates, and what turns the direction of the text around it.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What mail programs make a link of, of their own accord: a scheme before a path, a host's name before its last part.
_LINK = re.compile(r":(?=//)|(?<=\w)[.\u3002\uff0e\uff61](?=[^\W\d_]{2})")
_BREAK = "\u200b"  # a blank without width: the reader sees none, the mail program sees no link


@dataclass(frozen=True)
class Notice:
    """A notice made out to one contact."""

    subject: str
    """One line of at most MAX_SUBJECT characters."""
    text: str
    html: str


class NotRenderable(Exception):
    """A notice that could not be made out; its text names the notice and the kind of error, and no person."""


class NoticesIncomplete(Exception):
    """Templates or blocks that are missing: all of them, one a line."""


class Notices:
    """
    All notices in all languages, read and compiled at construction; no file is read afterwards.

    Raises:
        NoticesIncomplete: at construction, naming every template and block that is missing.
        jinja2.TemplateSyntaxError: at construction.
    """

    def __init__(self, templates: BaseLoader | None = None) -> None:
        loader = templates or PackageLoader("consumers")
        # A notice's file is compiled twice, so that no block can forget to escape, nor a subject be escaped.
        self._text = _Edition(_environment(loader, "layout.txt.j2", autoescape=False))
        self._html = _Edition(_environment(loader, "layout.html.j2", autoescape=True))
        missing = dict.fromkeys((*self._text.missing, *self._html.missing))
        if missing:
            raise NoticesIncomplete("\n".join(missing))

    @staticmethod
    def names() -> Iterator[tuple[str, Role, str]]:
        """Give event name, role and language of every notice."""
        for language in LANGUAGES:
            yield from ((event.name, role, language) for event in EVENTS for role in event.roles)

    def render(self, event: Event, role: Role, *, contact: Contact, mentor: Contact, happened_at: datetime) -> Notice:
        """
        Make out to *contact*, who is told as *role*, what happened to *mentor*.

        Raises:
            NotRenderable: for whatever goes wrong, since one bad e-mail must not stop its lane.
        """
        language = _language(contact.locale)
        name = _template_name(event.kind.name, role, language)
        try:
            context = _context(event, role, contact=contact, mentor=mentor, happened_at=happened_at)
            return Notice(
                subject=_subject(self._text.block(name, "subject", context, language)),
                text=self._text.page(name, context, language),
                html=self._html.page(name, context, language),
            )
        except Exception as error:
            raise NotRenderable(f"{name}: {type(error).__name__}") from error


class _Edition:
    """Every notice compiled for one of text and HTML, and what is missing of them."""

    def __init__(self, environment: Environment) -> None:
        self._pages: dict[str, Template] = {}
        self._words: dict[str, Any] = {}
        self.missing: list[str] = []
        environment.get_template(environment.globals["layout"])
        for language in LANGUAGES:
            self._read(environment, f"{language}/words.j2", lambda page, of=language: self._put_words(of, page))
        for event, role, language in Notices.names():
            self._read(environment, _template_name(event, role, language), self._put_page)

    def _read(self, environment: Environment, name: str, put: Callable[[Template], None]) -> None:
        try:
            put(environment.get_template(name))
        except TemplateNotFound:
            self.missing.append(f"{name}: no such template")

    def _put_words(self, language: str, words: Template) -> None:
        self._words[language] = words.module

    def _put_page(self, page: Template) -> None:
        self.missing += [f"{page.name}: no block {block}" for block in sorted(_BLOCKS - page.blocks.keys())]
        self._pages[str(page.name)] = page

    def page(self, name: str, context: Mapping[str, Any], language: str) -> str:
        return self._pages[name].render(context, language=language, words=self._words[language])

    def block(self, name: str, block: str, context: Mapping[str, Any], language: str) -> str:
        page = self._pages[name]
        scope = page.new_context({**context, "language": language, "words": self._words[language]})
        return "".join(page.blocks[block](scope))


@dataclass(frozen=True)
class _Reader:
    """How a contact reads dates: in which locale and zone."""

    locale: Locale
    zone: ZoneInfo

    def when(self, instant: datetime) -> str:
        """Write an instant in the reader's zone, but exactly midnight UTC as the calendar date that it means."""
        instant = instant.astimezone(UTC)
        if instant.time() == time():
            return self.date(instant)
        local = self.local(instant)
        clock = format_time(local, "short", tzinfo=local.tzinfo, locale=self.locale)
        joined = str(self.locale.datetime_formats["long"]).replace("'", "")
        return joined.format(f"{clock} {self._zone_name(local)}", self.date(local))

    def counted_from(self, instant: datetime) -> str:
        """Write the instant from which whole days are counted in UTC: in UTC where the reader's date is another."""
        same_day = self.local(instant).date() == instant.astimezone(UTC).date()
        return (self if same_day else _Reader(self.locale, ZoneInfo("UTC"))).when(instant)

    def date(self, instant: datetime) -> str:
        return format_date(instant.date(), "long", self.locale)

    def in_days(self, days: int) -> str:
        """Write "in 14 days", in days alone (never "in 2 weeks")."""
        many = 10_000
        return format_timedelta(
            timedelta(days=days), granularity="day", threshold=many, add_direction=True, locale=self.locale
        )

    def local(self, instant: datetime) -> datetime:
        try:
            return instant.astimezone(self.zone)
        except OverflowError:  # the first and last hours that a datetime can hold
            return instant.astimezone(UTC)

    def _zone_name(self, local: datetime) -> str:
        short = get_timezone_name(local, "short", locale=self.locale)
        return get_timezone_name(local, "long", locale=self.locale) if short.startswith(("+", "-")) else short


def _environment(loader: BaseLoader, layout: str, *, autoescape: bool) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=-1,  # keep all: nothing is read again
    )
    environment.globals["layout"] = layout
    return environment


def _template_name(event: str, role: Role, language: str) -> str:
    return f"{language}/{event}.{role}.j2"


def _context(event: Event, role: Role, *, contact: Contact, mentor: Contact, happened_at: datetime) -> dict[str, Any]:
    """Give what a template may say, all of it harmless: the event's own fields beside what every notice has."""
    reader = _reader(contact.locale, contact.timezone)
    name, mentor_id = _line(mentor.name or ""), _line(mentor.id) or "?"
    return {
        "role": role.value,
        "contact_name": _line(contact.name or ""),
        "mentor_name": name or mentor_id,
        "mentor": f"{name} ({mentor_id})" if name else mentor_id,
        "happened": reader.when(happened_at),
        **{field: _shown(value, reader) for field, value in event.data},
        **_reminder(event, reader, happened_at),
    }


def _shown(value: object, reader: _Reader) -> object:
    if isinstance(value, datetime):
        return reader.when(value)
    return _line(value) if isinstance(value, str) else value


def _reminder(event: Event, reader: _Reader, happened_at: datetime) -> dict[str, Any]:
    """
    Give what a reminder says beside its data: the date of the expiry.

    Days are counted from the event's date in UTC, as the calendar dates of the contract are: so all readers
    are told one date, and it is the one that the later event of the expiry names. The reader's own date can
    be another around midnight; the event is then written in UTC, for otherwise "today" would belie the date.
    """
    if not isinstance(event.data, CertificationExpiring):
        return {}
    days = event.data.days_remaining
    return {
        "expires_on": reader.date(happened_at.astimezone(UTC) + timedelta(days=days)),
        "in_days": reader.in_days(days),
        "happened": reader.counted_from(happened_at),
    }


def _line(text: str) -> str:
    """Make what a stranger wrote one line that says only what it shows, and that no mail program links."""
    return _LINK.sub(lambda found: found[0] + _BREAK, " ".join(_UNPRINTABLE.sub(" ", text).split()))


def _subject(text: str) -> str:
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 1].rstrip() + "…"


def _language(tag: str) -> str:
    language = tag.replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else LANGUAGES[0]


@lru_cache(maxsize=1024)
def _reader(tag: str, zone: str) -> _Reader:
    return _Reader(_locale(tag), ZoneInfo(zone))


def _locale(tag: str) -> Locale:
    """Give the reader's locale of the language that we write to them in: one text, one language."""
    language = _language(tag)
    unsaid = Locale.parse(_LOCALE_OF_LANGUAGE.get(language, language))
    try:
        found = Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return unsaid
    return found if found.language == language and found.territory else unsaid
