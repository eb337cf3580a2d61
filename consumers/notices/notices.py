"""What the e-mails say: one template per event type, role and language, made out to one contact."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined, Template, TemplateNotFound
from markupsafe import escape

from consumers.notices.locales import LANGUAGES, LocaleFormat, day_lies, language_of, reader_of
from runtime.settings import PAUSE_REASONS_SHOWN
from schemas.contacts import Contact
from schemas.events import EVENTS, CertificationExpiring, Event, PauseActivated, Role

MAX_SUBJECT = 200
"""The longest subject, in characters; a longer one is cut."""

_BLOCKS = frozenset({"subject", "text", "html"})

_LOOKED_INTO = frozenset({"pause_reason", "role"})
"""Texts that templates choose words by; all others they show as they are, or ask at most whether there is one."""

_PAGES_KEPT = 1000
"""Pages with gaps, of each edition: the shapes that come again, with room for reasons that nobody foresaw."""

# Control characters, line breaks, lone surrogates, non-characters, and what turns the direction of the text around it.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef]")
_GAP = re.compile("\ufdd0([a-z0-9_]*)\ufdd1")  # non-characters: no text that is shown has any, see above
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
    """A notice that could not be made out; its message names the notice and the kind of error, and no person."""


class NoticesIncomplete(Exception):
    """Templates or blocks that are missing: all of them, one a line."""


class Notices:
    """
    All notices in all languages, read and compiled at construction; no file is read afterwards.

    Of a pause's reason a coordinator sees only the codes *reasons_shown*: any other may be about somebody's health.

    Raises:
        NoticesIncomplete: at construction, naming every template and block that is missing.
        jinja2.TemplateSyntaxError: at construction.
    """

    def __init__(
        self, templates: BaseLoader | None = None, *, reasons_shown: Collection[str] = PAUSE_REASONS_SHOWN
    ) -> None:
        loader = templates or PackageLoader("consumers.notices")
        self._reasons_shown = frozenset(reasons_shown)
        # A notice's file is compiled twice, so that no block can forget to escape, nor a subject be escaped.
        self._text = _Edition(loader, "layout.txt.j2", escaped=False)
        self._html = _Edition(loader, "layout.html.j2", escaped=True)
        missing = dict.fromkeys((*self._text.missing, *self._html.missing))
        if missing:
            raise NoticesIncomplete("\n".join(missing))

    @staticmethod
    def names() -> Iterator[tuple[str, Role, str]]:
        """Yield event name, role and language of every notice."""
        for language in LANGUAGES:
            yield from ((event.name, role, language) for event in EVENTS for role in event.roles)

    def render(
        self, event: Event, role: Role, *, contact: Contact, mentor: Contact, happened_at: datetime, now: datetime
    ) -> Notice:
        """
        Write to *contact*, who is told as *role*, what happened to *mentor*, in the tense that is right at *now*.

        Raises:
            NotRenderable: for whatever goes wrong, since one bad e-mail must not stop its lane.
        """
        name = _template_name(event.kind.name, role, language_of(contact.locale))
        try:
            locale_format = reader_of(contact.locale, contact.timezone)
            said = self._said(
                event, role, _told(event, locale_format, happened_at, now), contact=contact, mentor=mentor
            )
            shape = _shape(said)
            subject = _subject(self._text.page(name, "subject", shape).filled(said, str))
            text, html = self._text.page(name, "", shape), self._html.page(name, "", shape)
            return Notice(subject, text.filled(said, str), html.filled(said, escape))
        except Exception as error:
            raise NotRenderable(f"{name}: {type(error).__name__}") from error

    def _said(
        self, event: Event, role: Role, told: Mapping[str, Any], *, contact: Contact, mentor: Contact
    ) -> dict[str, Any]:
        """Return all that a template may say, harmless and for the eyes of this *role*."""
        said = {**told, **_people(role, contact, mentor)}
        if role is Role.COORDINATOR and isinstance(event.data, PauseActivated):
            code = event.data.pause_reason.lower()
            said["pause_reason"] = code if code in self._reasons_shown else ""
        return said


_Shape = tuple[tuple[str, object], ...]
"""What a template is given: for what it only shows a gap, the rest as it is; the same of very many e-mails."""


def _shape(said: Mapping[str, object]) -> _Shape:
    return tuple(
        (field, f"\ufdd0{field}\ufdd1" if value and type(value) is str and field not in _LOOKED_INTO else value)
        for field, value in said.items()
    )


class _Page:
    """A page with gaps: rendering one costs twenty times what filling its gaps does."""

    def __init__(self, text: str) -> None:
        self._parts = _GAP.split(text)  # constant, field, constant, field, ..., constant
        if any("\ufdd0" in part or "\ufdd1" in part for part in self._parts):
            raise ValueError("a template looks into what it may only show")

    def filled(self, said: Mapping[str, Any], shown: Callable[[str], str]) -> str:
        """Put in the gaps what is *said*, as *shown*; raises KeyError if a template has changed a gap."""
        parts = self._parts.copy()
        for gap in range(1, len(parts), 2):
            parts[gap] = shown(said[parts[gap]])
        return "".join(parts)


class _Edition:
    """Every notice compiled for text or for HTML, and what is missing of them."""

    def __init__(self, loader: BaseLoader, layout: str, *, escaped: bool) -> None:
        self.missing: list[str] = []
        self._environment = _environment(loader, escaped=escaped)
        shared = {"layout": self._template(layout)}
        words = {language: self._template(f"{language}/words.j2") for language in LANGUAGES}
        self._globals = {
            language: shared | {"language": language, "words": template.module if template else None}
            for language, template in words.items()
        }
        self._notices = MappingProxyType(dict(self._compiled()))
        self.page = lru_cache(maxsize=_PAGES_KEPT)(self._page)

    def _compiled(self) -> Iterator[tuple[str, Template]]:
        for event, role, language in Notices.names():
            name = _template_name(event, role, language)
            template = self._template(name, self._globals[language])
            if template:
                self.missing += [f"{name}: no block {block}" for block in sorted(_BLOCKS - template.blocks.keys())]
                yield name, template

    def _template(self, name: str, its_globals: Mapping[str, Any] | None = None) -> Template | None:
        try:
            return self._environment.get_template(name, globals=dict(its_globals or {}))
        except TemplateNotFound:
            self.missing.append(f"{name}: no such template")
            return None

    def _page(self, name: str, block: str, shape: _Shape) -> _Page:
        """Render a notice, or one *block* of it, for all e-mails of a shape; raises ValueError for a gap cut open."""
        template = self._notices[name]
        context = template.new_context(dict(shape))
        root = template.blocks[block] if block else template.root_render_func
        return _Page("".join(root(context)))


def _environment(loader: BaseLoader, *, escaped: bool) -> Environment:
    return Environment(
        loader=loader,
        autoescape=escaped,  # noqa: S701 - plain text must not be escaped; HTML is, by its own edition
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=-1,  # keep all: nothing is read again
    )


def _template_name(event: str, role: Role, language: str) -> str:
    return f"{language}/{event}.{role}.j2"


def _told(event: Event, locale_format: LocaleFormat, happened_at: datetime, now: datetime) -> dict[str, Any]:
    """Return what a template may say of the event: its own fields, where its dates lie, and when it happened."""
    said: dict[str, Any] = {"happened": locale_format.when(happened_at)}
    for field, value in event.data:
        if isinstance(value, datetime):
            said[field], said[f"{field}_day"] = locale_format.when_and_day(value)
            said[f"{field}_lies"] = locale_format.lies(value, now)
        else:
            said[field] = _line(value) if isinstance(value, str) else value
    said.update(_reminder(event, locale_format, happened_at, now))
    return said


def _people(role: Role, contact: Contact, mentor: Contact) -> dict[str, Any]:
    """Return what a template may say of who is told and of whom."""
    name, mentor_id = _line(mentor.name or ""), _line(mentor.id) or "?"
    return {
        "role": role.value,
        "contact_name": _line(contact.name or ""),
        "mentor_name": name or mentor_id,
        "mentor": f"{name} ({mentor_id})" if name else mentor_id,
    }


def _reminder(event: Event, locale_format: LocaleFormat, happened_at: datetime, now: datetime) -> dict[str, Any]:
    """
    Return what a reminder says beside its data.

    Days are counted from the event's date in the offset that its producer wrote, in UTC if none was: so every reader
    is told one date, and it is the date that the later event of the expiry names. Around midnight the reader's own date
    is another; the event is then written in that offset, for otherwise "today" would belie the date beside it.
    """
    if not isinstance(event.data, CertificationExpiring):
        return {}
    days = event.data.days_remaining
    expires = happened_at.date() + timedelta(days=days)
    return {
        "expires_on": locale_format.date(expires),
        "expires_on_lies": day_lies(expires, now.astimezone(happened_at.tzinfo).date()),
        "in_days": locale_format.in_days(days),
        "happened": locale_format.counted_from(happened_at),
    }


def _line(text: str) -> str:
    """Make what a stranger wrote one line that shows what it is, and that no mail program makes a link of."""
    return _LINK.sub(lambda found: found[0] + _BREAK, _one_line(text))


def _subject(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 1].rstrip() + "…"


def _one_line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())
