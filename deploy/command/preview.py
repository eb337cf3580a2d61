"""`pause-notifications preview`: show what the e-mails look like, without sending any."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from html import escape
from pathlib import Path

from consumers.notices.notices import Notice, Notices
from consumers.notices.own_templates import InvalidTemplates
from deploy.command.gallery import Case, cases_of, mails_of, page
from deploy.support.output import print_text
from deploy.support.running import exit_with_error, load_settings
from runtime.settings import CommandSettings
from schemas.contacts import Contact
from schemas.events import ALL_EVENTS, Event, PauseActivated, Role
from schemas.times import parse_instant

HAPPENED_AT = parse_instant("2026-03-31T08:30:00Z")
"""When the previewed events happened and are sent. It is fixed, so two previews differ only if the templates do."""

_SAMPLE = {
    "en": ("en", "Europe/Berlin"),
    "de": ("de", "Europe/Berlin"),
    "fr": ("fr", "Europe/Paris"),
    "es": ("es", "Europe/Madrid"),
}
_MENTOR = Contact.model_json_schema()["examples"][0]


_INDEX = "<!doctype html><meta charset=utf-8><title>All notices</title><h1>All notices</h1><ul>"
_KINDS = {event.name: event for event in ALL_EVENTS}


def show(name: str, role: Role, language: str, now: datetime, html: Path | None) -> None:
    """Print subject and text of a notice, or write its HTML to a file."""
    notice = render(_notices(), name, role, language, now=now)
    if html is None:
        print_text(f"Subject: {notice.subject}\n\n{notice.text}")
        return
    if str(html) == "-":
        sys.stdout.write(notice.html)
        return
    with _told():
        html.write_text(notice.html, encoding="utf-8")
    print_text(f"{html} written")


def write_gallery(file: Path, now: datetime, *, names: Sequence[str], reasons: Sequence[str]) -> None:
    """Write one page with all notices, for our cases or for these names and reasons."""
    notices = _notices()

    def rendered(name: str, role: Role, language: str, case: Case) -> Notice:
        return render(notices, name, role, language, now=now, case=case)

    mails = mails_of(cases_of(names, reasons), rendered)
    with _told():
        file.write_text(page(mails), encoding="utf-8")
    print_text(f"{len(mails)} notices written; open {file}")


def write_all(folder: Path, now: datetime) -> None:
    """Write all notices to a folder, as HTML and text, and an index of them."""
    notices, items = _notices(), []
    with _told():
        folder.mkdir(parents=True, exist_ok=True)
        for name, role, language in Notices.names():
            notice = render(notices, name, role, language, now=now)
            file = f"{language}.{name}.{role.value}"
            (folder / f"{file}.html").write_text(notice.html, encoding="utf-8")
            (folder / f"{file}.txt").write_text(f"Subject: {notice.subject}\n\n{notice.text}", encoding="utf-8")
            items.append(
                f'<li><a href="{file}.html">{file}</a> (<a href="{file}.txt">text</a>): {escape(notice.subject)}'
            )
        (folder / "index.html").write_text(f"{_INDEX}{chr(10).join(items)}</ul>\n", encoding="utf-8")
    print_text(f"{len(items)} notices written; open {folder / 'index.html'}")


@contextmanager
def _told() -> Iterator[None]:
    """End the command with an error if a file cannot be written."""
    try:
        yield
    except OSError as error:
        exit_with_error(f"{error.filename}: {error.strerror}")


def _notices() -> Notices:
    settings = load_settings(CommandSettings)
    try:
        return Notices.of(settings)
    except InvalidTemplates as error:
        exit_with_error(str(error))


def render(
    notices: Notices, name: str, role: Role, language: str, *, now: datetime = HAPPENED_AT, case: Case | None = None
) -> Notice:
    """Render a notice from the contract's example, or from a case of the gallery."""
    kind = _KINDS[name]
    locale, timezone = _SAMPLE.get(language, (language, "UTC"))
    mentor = Contact.model_validate({**_MENTOR, "locale": locale, "timezone": timezone})
    coordinator = Contact(
        id=mentor.coordinator_id or "coordinator",
        role=Role.COORDINATOR,
        email="coordinator-007@example.com",
        name="Mei-Ling Chen",
        locale=locale,
        timezone=timezone,
    )
    happened_at = min(HAPPENED_AT, now)
    event = Event(kind, "preview", "/preview", kind.model.model_validate(kind.example), time=happened_at)
    if case is not None:
        mentor = mentor.model_copy(update={"name": case.mentor})
        coordinator = coordinator.model_copy(update={"name": case.coordinator})
        event = replace(event, data=event.data.model_copy(update=_pause_fields(event, case)))
        now += timedelta(days=case.days_late)
    recipient = mentor if role is Role.MENTOR else coordinator
    return notices.render(
        event,
        role,
        contact=recipient,
        mentor=mentor,
        coordinator=coordinator,
        happened_at=happened_at,
        now=now,
        unreached=None if case is None else case.unreached,
    )


def _pause_fields(event: Event, case: Case) -> dict[str, str | datetime]:
    if not isinstance(event.data, PauseActivated):
        return {}
    returns_on = case.returns_on or event.data.expected_return_date
    return {"pause_reason": case.reason, "expected_return_date": returns_on}
