"""`pause-notifications preview`: show what the e-mails look like, without sending any."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from consumers.notices.locales import LANGUAGES
from consumers.notices.notices import Notice, Notices
from consumers.notices.own_templates import InvalidTemplates
from deploy.command.examples import examples
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

Language = StrEnum("Language", {language: language for language in LANGUAGES})  # type: ignore[misc]  # built from the list
_ENGLISH = Language("en")
_KINDS = {event.name: event for event in ALL_EVENTS}
EventName = StrEnum("EventName", {name: name for name in _KINDS})  # type: ignore[misc]  # likewise


@examples(
    "pause-notifications preview pause-activated --role coordinator --language de",
    "pause-notifications preview notice-undelivered --language de",
    "pause-notifications preview cert-expiry --html /tmp/notice.html",
    "pause-notifications preview cert-expiry --sent-at 2026-01-31T08:30:00Z",
    "pause-notifications preview --all /tmp/notices",
    "pause-notifications preview --gallery /tmp/gallery.html",
    "pause-notifications preview --gallery /tmp/ours.html --name 'Chloé Müller' --name 'Li' --reason sabbatical",
)
def preview(
    name: Annotated[EventName | None, typer.Argument(help="The event.")] = None,
    *,
    role: Annotated[
        Role | None, typer.Option(help="Role of the recipient; by default the first that the event concerns.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Language of the recipient.")] = _ENGLISH,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the HTML to this file instead; - is standard output.")
    ] = None,
    sent_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it is sent; the wording of its dates depends on that."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print subject and text (the default).")] = False,
    all_into: Annotated[
        Path | None,
        typer.Option("--all", metavar="DIR", file_okay=False, help="Write all notices and an index to this folder."),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write one page with all notices, also for long, hostile and right-to-left names, and sent late.",
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="A name for --gallery instead of ours; repeatable."),
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="REASON", help="A reason of a pause for --gallery, likewise."),
    ] = None,
) -> None:
    """
    Show what an e-mail looks like.

    It is rendered from the contract's example data. Nothing is sent, and no broker is needed. The replica's settings of
    the organisation and of what is shown apply, such as PAUSE_NOTIFICATIONS_ORGANISATION. Templates in the folder
    PAUSE_NOTIFICATIONS_TEMPLATES_DIR replace ours; each fault in them is named with its file and line.
    """
    if [name, all_into, gallery].count(None) != 2:  # noqa: PLR2004 - one of them is given
        raise typer.BadParameter("give an event, --all DIR or --gallery FILE", param_hint="NAME")
    if text and (html or name is None):
        raise typer.BadParameter("cannot be combined with --html, --all or --gallery", param_hint="--text")
    if (names or reasons) and gallery is None:
        raise typer.BadParameter("go with --gallery", param_hint="--name and --reason")
    now = _instant(sent_at)
    notices = _notices()
    try:
        if all_into is not None:
            _write_all(notices, all_into, now)
        elif gallery is not None:
            _write_gallery(notices, gallery, now, cases_of(names or (), reasons or ()))
        elif name is not None:
            _show(render(notices, name.value, role or _KINDS[name.value].roles[0], language.value, now=now), html)
    except OSError as error:
        exit_with_error(f"{error.filename}: {error.strerror}")


def _notices() -> Notices:
    settings = load_settings(CommandSettings)
    try:
        return Notices.of(settings, replies_read=False)
    except InvalidTemplates as error:
        exit_with_error(str(error))


def _instant(text: str | None) -> datetime:
    if text is None:
        return HAPPENED_AT
    try:
        return parse_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--sent-at") from None


def render(
    notices: Notices, name: str, role: Role, language: str, *, now: datetime = HAPPENED_AT, case: Case | None = None
) -> Notice:
    """
    Render a notice from the contract's example, or from a case of the gallery.

    Raise a usage error if *role* gets no e-mail for this event.
    """
    kind = _KINDS[name]
    if role not in kind.roles:
        raise typer.BadParameter(f"{name} sends no e-mail to a {role.value}", param_hint="--role")
    locale, timezone = _SAMPLE.get(language, (language, "UTC"))
    mentor = Contact.model_validate({**_MENTOR, "locale": locale, "timezone": timezone})
    coordinator = Contact(
        id=mentor.coordinator_id or "coordinator",
        role=Role.COORDINATOR,
        email="coordinator-007@example.org",
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


def _show(notice: Notice, html: Path | None) -> None:
    if html is None:
        print_text(f"Subject: {notice.subject}\n\n{notice.text}")
    elif str(html) == "-":
        sys.stdout.write(notice.html)
    else:
        html.write_text(notice.html, encoding="utf-8")
        print_text(f"{html} written")


def _write_gallery(notices: Notices, file: Path, now: datetime, cases: Iterable[Case]) -> None:
    def rendered(name: str, role: Role, language: str, case: Case) -> Notice:
        return render(notices, name, role, language, now=now, case=case)

    mails = mails_of(cases, rendered)
    file.write_text(page(mails), encoding="utf-8")
    print_text(f"{len(mails)} notices written; open {file}")


def _write_all(notices: Notices, folder: Path, now: datetime) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for name, role, language in Notices.names():
        notice = render(notices, name, role, language, now=now)
        file = f"{language}.{name}.{role.value}"
        (folder / f"{file}.html").write_text(notice.html, encoding="utf-8")
        (folder / f"{file}.txt").write_text(f"Subject: {notice.subject}\n\n{notice.text}", encoding="utf-8")
        items.append(f'<li><a href="{file}.html">{file}</a> (<a href="{file}.txt">text</a>): {escape(notice.subject)}')
    page = "<!doctype html><meta charset=utf-8><title>All notices</title><h1>All notices</h1><ul>" + "\n".join(items)
    (folder / "index.html").write_text(f"{page}</ul>\n", encoding="utf-8")
    print_text(f"{len(items)} notices written; open {folder / 'index.html'}")
