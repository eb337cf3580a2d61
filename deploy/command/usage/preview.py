"""`pause-notifications preview`: show what the e-mails look like, without sending any."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from consumers.notices.locales import LANGUAGES
from deploy.command.examples import examples
from deploy.command.noun import Work
from schemas.events import ALL_EVENTS, Role
from schemas.times import parse_instant

Language = StrEnum("Language", {language: language for language in LANGUAGES})  # type: ignore[misc]  # built from the list
_ENGLISH = Language("en")
_KINDS = {event.name: event for event in ALL_EVENTS}
EventName = StrEnum("EventName", {name: name for name in _KINDS})  # type: ignore[misc]  # likewise


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
    language: Annotated[Language | None, typer.Option(help="Language of the recipient; by default English.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the HTML to this file instead; - is standard output.")
    ] = None,
    sent_at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME", parser=_instant, help="When it is sent; the wording of its dates depends on that."
        ),
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
) -> Work:
    """
    Show what an e-mail looks like.

    It is rendered from the contract's example data. Nothing is sent, and no broker is needed. The replica's settings of
    the organisation and of what is shown apply, such as PAUSE_NOTIFICATIONS_ORGANISATION. Templates in the folder
    PAUSE_NOTIFICATIONS_TEMPLATES_DIR replace ours; each fault in them is named with its file and line.
    """
    if [name, all_into, gallery].count(None) != 2:  # noqa: PLR2004 - one of them is given
        raise typer.BadParameter("give one of an event, --all DIR and --gallery FILE", param_hint="NAME")
    if text and (html or name is None):
        raise typer.BadParameter("cannot be combined with --html, --all or --gallery", param_hint="--text")
    alone = {"--role": role, "--language": language, "--html": html}
    if name is None and (given := [option for option, chosen in alone.items() if chosen is not None]):
        raise typer.BadParameter("go with an event alone", param_hint=" and ".join(given))
    if (names or reasons) and gallery is None:
        raise typer.BadParameter("go with --gallery", param_hint="--name and --reason")
    if name is not None and role is not None and role not in _KINDS[name.value].roles:
        raise typer.BadParameter(f"{name.value} sends no e-mail to a {role.value}", param_hint="--role")
    from deploy.command import preview

    now = sent_at or preview.HAPPENED_AT
    if all_into is not None:
        return lambda: preview.write_all(all_into, now)
    if gallery is not None:
        return lambda: preview.write_gallery(gallery, now, names=names or (), reasons=reasons or ())
    if name is not None:
        told = role or _KINDS[name.value].roles[0]
        return lambda: preview.show(name.value, told, (language or _ENGLISH).value, now, html)
    raise AssertionError  # one of them is given
