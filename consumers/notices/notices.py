"""What the e-mails say: one template for each event type, role and language."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, PackageLoader

from consumers.notices.foreign_text import id_line, line, name_line
from consumers.notices.letterhead import NOBODY, Letterhead
from consumers.notices.locales import LANGUAGES, LocaleFormat, Tense, language_of, locale_format_of, tense_of_date
from consumers.notices.own_templates import checked_pages, templates_in
from consumers.notices.pages import Pages
from runtime.settings import PAUSE_REASONS_SHOWN, NoticeSettings
from schemas.contacts import Contact
from schemas.dispatch import Reason
from schemas.events import (
    ALL_EVENTS,
    EVENTS_BY_TYPE,
    CertificationExpiring,
    Event,
    NoticeUndelivered,
    PauseActivated,
    Role,
)

MAX_SUBJECT = 200
"""The longest subject, in characters; a longer one is cut."""

_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BLANKS = re.compile(r"[ \n]+")  # not those that hold words together
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_FEWEST_LETTERS = 2
"""A reason with fewer letters, such as `x`, `?` or `17`, tells its reader nothing. In Chinese two are a word."""
_SAMPLE_HAPPENED = datetime(2026, 1, 1, tzinfo=UTC)
_SAMPLE_LATE = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Notice:
    """A notice written to one contact."""

    subject: str
    """One line of at most MAX_SUBJECT characters."""
    text: str
    html: str


class NotRenderable(Exception):
    """A notice could not be rendered; the message names the notice and the kind of error, and no person."""


class Notices:
    """
    All notices in all languages, read and compiled at construction; no file is read afterwards.

    A coordinator sees only the pause reasons in *reasons_shown*: any other may be about somebody's health. A mentor
    reads the name of their coordinator and, if *coordinator_address_shown*, the address. Both are told that they can
    reply, if *replies_read*; a mentor also if the address is shown, since replies then go there.

    The files of *own* replace ours one by one, and are checked.

    Raises:
        InvalidTemplates: at construction, naming every fault with its file and line.
    """

    def __init__(
        self,
        own: BaseLoader | None = None,
        *,
        reasons_shown: Collection[str] = PAUSE_REASONS_SHOWN,
        coordinator_address_shown: bool = False,
        replies_read: bool = False,
        letterhead: Letterhead = NOBODY,
    ) -> None:
        self._reasons_shown = frozenset(reasons_shown)
        self._coordinator_address_shown = coordinator_address_shown
        self._replies_read = replies_read
        ours, names = PackageLoader("consumers.notices"), {_template_name(*one): one for one in self.names()}
        its_globals = {"letterhead": letterhead}
        if own is None:  # tests have checked ours
            self._pages = Pages(ours, names, its_globals)
        else:
            samples = {name: [*self._samples(*notice)] for name, notice in names.items()}
            self._pages = checked_pages(own, ours, samples, its_globals)

    @classmethod
    def of(cls, settings: NoticeSettings) -> Notices:
        """Return the notices as settings want them; raise InvalidTemplates."""
        return cls(
            templates_in(settings.templates_dir),
            reasons_shown=settings.reasons_shown,
            coordinator_address_shown=settings.reply_to_coordinator,
            replies_read=settings.ses_reply_to is not None,
            letterhead=Letterhead(
                organisation=settings.organisation or "",
                postal_line=settings.organisation_postal_line or "",
                colour=settings.organisation_colour,
                logo_text=settings.organisation_logo_text or "",
            ),
        )

    @staticmethod
    def names() -> Iterator[tuple[str, Role, str]]:
        """Yield event name, role and language of every notice."""
        for language in LANGUAGES:
            yield from ((event.name, role, language) for event in ALL_EVENTS for role in event.roles)

    def render(
        self,
        event: Event,
        role: Role,
        *,
        contact: Contact,
        mentor: Contact,
        coordinator: Contact | None = None,
        happened_at: datetime,
        now: datetime,
        unreached: Reason | None = None,
    ) -> Notice:
        """
        Tell *contact*, in their *role*, what happened to *mentor*, in the tense that is right at *now*.

        A mentor's copy names their *coordinator*, if there is one, as the one to ask.
        If *unreached* is given, a coordinator's copy has a sentence that the mentor could not be told, and why.

        Raises:
            NotRenderable: whatever goes wrong, since one bad e-mail must not stop its lane.
        """
        name = _template_name(event.kind.name, role, language_of(contact.locale))
        try:
            values = self._values(
                event,
                role,
                contact=contact,
                mentor=mentor,
                coordinator=coordinator,
                happened_at=happened_at,
                now=now,
                unreached=unreached,
            )
            subject, text, html = self._pages.render(name, values)
            return Notice(_subject(subject), text, html)
        except Exception as error:
            raise NotRenderable(f"{name}: {type(error).__name__}") from error

    def _samples(self, event_name: str, role: Role, language: str) -> Iterator[dict[str, Any]]:
        """
        Yield the values of a notice.

        Once its dates are ahead. Once they are past, nobody is named, and a mentor was not reached. Once they are
        before it happened.
        """
        kind = next(kind for kind in ALL_EVENTS if kind.name == event_name)
        event = Event(kind, "sample", "/sample", kind.model.model_validate(kind.example))
        for name, happened_at, now, unreached in (
            ("Amara", _SAMPLE_HAPPENED, _SAMPLE_HAPPENED, None),
            (None, _SAMPLE_HAPPENED, _SAMPLE_LATE, Reason.BOUNCED),
            ("Amara", _SAMPLE_LATE, _SAMPLE_LATE, None),
        ):
            contact = Contact(id="sample", role=role, name=name, locale=language)
            mentor = Contact(id="sample", role=Role.MENTOR, name=name)
            coordinator = Contact(id="sample", role=Role.COORDINATOR, name=name, email="sample@example.org")
            yield self._values(
                event,
                role,
                contact=contact,
                mentor=mentor,
                coordinator=coordinator if name else None,
                happened_at=happened_at,
                now=now,
                unreached=unreached,
            )

    def _values(
        self,
        event: Event,
        role: Role,
        *,
        contact: Contact,
        mentor: Contact,
        coordinator: Contact | None = None,
        happened_at: datetime,
        now: datetime,
        unreached: Reason | None = None,
    ) -> dict[str, Any]:
        """Return all values that a template may use: safe to show, and meant for this *role*."""
        locale_format = locale_format_of(contact.locale, contact.timezone)
        values = _event_values(event, locale_format, happened_at, now) | _people_values(role, contact, mentor)
        values["unreached"] = unreached.value if unreached is not None and role is Role.COORDINATOR else ""
        values |= self._coordinator_values(None if role is Role.COORDINATOR else coordinator)
        values["can_reply"] = self._replies_read or bool(values["coordinator_address"])
        if role is Role.COORDINATOR and isinstance(event.data, PauseActivated):
            code = event.data.pause_reason.lower()
            if code not in self._reasons_shown:
                values["pause_reason_code"] = values["pause_reason"] = ""
        return values

    def _coordinator_values(self, coordinator: Contact | None) -> dict[str, str]:
        """Return whom a mentor can ask, as far as it is known and shown."""
        if coordinator is None:
            return {"coordinator_name": "", "coordinator_address": ""}
        address = coordinator.email if self._coordinator_address_shown else None
        return {"coordinator_name": name_line(coordinator.name or ""), "coordinator_address": address or ""}


def _template_name(event: str, role: Role, language: str) -> str:
    return f"{language}/{event}.{role}.j2"


def _event_values(event: Event, locale_format: LocaleFormat, happened_at: datetime, now: datetime) -> dict[str, Any]:
    """Return the fields of the event, the tense of each date, and when it happened."""
    values: dict[str, Any] = {"happened": locale_format.moment(happened_at).text}
    for field, value in event.data:
        if isinstance(value, datetime):
            values[field], values[f"{field}_day"] = locale_format.moment(value)
            values[f"{field}_tense"] = locale_format.tense(value, now)
        else:
            values[field] = line(value) if isinstance(value, str) else value
    if isinstance(event.data, NoticeUndelivered):  # templates look into it, so it has few values
        about = EVENTS_BY_TYPE.get(event.data.notice)
        values["notice"] = about.name if about is not None else ""
    if isinstance(event.data, PauseActivated):
        values["pause_reason_code"], values["pause_reason"] = _reason(event.data.pause_reason)
        values["return_before_start"] = locale_format.tense(event.data.expected_return_date, happened_at) is Tense.PAST
    return values | _reminder_values(event, locale_format, happened_at, now)


@lru_cache(maxsize=1000)
def _reason(text: str) -> tuple[str, str]:
    """Return a pause's reason as the code that templates look for, and in words; each is empty if it is none."""
    readable = sum(map(str.isalpha, text)) >= _FEWEST_LETTERS
    if not _CODE.fullmatch(text):
        return "", line(text) if readable else ""
    words = _HUMP.sub(" ", text).replace("_", " ").strip()
    if " " in words:
        words = words.lower()
    code = words.lower().replace(" ", "_").replace("-", "_")
    return code, line(words[:1].upper() + words[1:]) if readable else ""


def _people_values(role: Role, contact: Contact, mentor: Contact) -> dict[str, Any]:
    """Return who receives the e-mail and whom it is about."""
    name, mentor_id = name_line(mentor.name or ""), id_line(mentor.id) or "?"
    return {
        "role": role.value,
        "contact_name": name_line(contact.name or ""),
        "mentor_name": name or mentor_id,
        "mentor": f"{name} ({mentor_id})" if name else mentor_id,
    }


def _reminder_values(event: Event, locale_format: LocaleFormat, happened_at: datetime, now: datetime) -> dict[str, Any]:
    """
    Return what only a reminder has.

    Days are counted from the event's date in the offset that its producer wrote, or in UTC if it wrote none. So every
    reader gets the same date, which is also the date in the later event of the expiry. Around midnight the reader's own
    date differs. The event is then written in the producer's offset, so that "today" agrees with the date beside it.
    """
    if not isinstance(event.data, CertificationExpiring):
        return {}
    days = event.data.days_remaining
    expires = happened_at.date() + timedelta(days=days)
    today = now.astimezone(happened_at.tzinfo).date()
    left = (expires - today).days
    return {
        "expires_on": locale_format.date(expires),
        "expires_on_tense": tense_of_date(expires, today),
        "tomorrow": left == 1,
        "in_days": locale_format.in_days(left),
        "happened": locale_format.moment_counted_from(happened_at).text,
    }


def _subject(text: str) -> str:
    subject = _BLANKS.sub(" ", text).strip()
    return subject if len(subject) <= MAX_SUBJECT else subject[: MAX_SUBJECT - 1].rstrip() + "…"
