"""`pause-notifications suppressions add` and `remove`: put a contact on the lists, and take it off them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from consumers.suppressions import digest_of
from deploy.command.examples import examples
from deploy.command.operator import By, one_line, user_name
from deploy.command.suppressions import account_list as ses
from deploy.command.suppressions.account_list import NotAvailable
from deploy.command.suppressions.entries import State, state_of
from deploy.command.suppressions.stored import Stored, check_keys, read_stored, write_entries
from deploy.support.output import print_error, print_text
from deploy.support.running import EXIT_FAILED, exit_with_error, run
from runtime.settings import Settings
from schemas.suppressions import Suppression, SuppressionList, SuppressionReason, removed
from schemas.times import format_seconds, parse_instant

_AHEAD = re.compile(r"(\d{1,5})([hd])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _until(text: str) -> datetime:
    """Parse `30d`, `12h` (from now), a date, or an RFC 3339 instant; raise a usage error unless it is ahead."""
    try:
        if ahead := _AHEAD.fullmatch(text):
            hours = int(ahead[1]) * (24 if ahead[2] == "d" else 1)
            until = datetime.now(UTC) + timedelta(hours=hours)
        else:
            until = parse_instant(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except (ValueError, OverflowError):
        raise typer.BadParameter("must be a span such as 30d, a date, or a time with a zone") from None
    if until <= datetime.now(UTC):
        raise typer.BadParameter("must be in the future")
    return until


def _check_until(text: str | None) -> str | None:
    if text is not None:
        _until(text)
    return text


Contact = Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")]


@examples(
    'pause-notifications suppressions add mentor-042 --reason "asked for letters instead"',
    'pause-notifications suppressions add mentor-042 --reason "on leave" --until 30d',
)
def add(
    contact_id: Contact,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", callback=one_line, help="Why, in your words; it is kept.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", callback=_check_until, help="When it ends: 30d, a date or a time; else never."),
    ] = None,
    on_ses: Annotated[
        bool, typer.Option("--on-ses", help="Also put the address on SES's list, for all senders of the account.")
    ] = False,
    by: By = None,
) -> None:
    """
    Send no more e-mail to a contact at the present address.

    The contact's coordinator is told at the next event. If the contact's address changes, the new one gets e-mail.

    SES knows two reasons alone. With --on-ses its list shows the address as COMPLAINT, although nobody complained. If
    our own entry is lost, `sync` brings it back as `complained`.
    """
    stored, now = run(read_stored), datetime.now(UTC)
    check_keys(stored)
    address = stored.addresses.get(contact_id)
    if address is None:
        exit_with_error(f"{contact_id} has no usable address in the contacts topic: there is nothing to suppress")
    _check_absent(stored, contact_id, address, now)
    ends = None if until is None else _until(until)
    entry = Suppression(
        contact_id=contact_id,
        address=digest_of(contact_id, address),
        reason=SuppressionReason.MANUAL,
        since=now,
        until=ends,
        detail=reason,
        by=by or user_name(),
    )
    _write([entry])
    print_text(f"{contact_id} gets no e-mail {f'until {format_seconds(ends)}' if ends else 'until it is removed'}")
    if on_ses:
        try:
            ses.account_list().add(address)
        except NotAvailable as error:
            exit_with_error(f"it is on our list, and not on SES's: {error}", EXIT_FAILED)
        print_text("the address is on SES's list, too")


def _check_absent(stored: Stored, contact_id: str, address: str, now: datetime) -> None:
    """End the command if an entry would be lost that has another cause."""
    known = stored.ours.entry(SuppressionList.HARD, contact_id)
    if known is None or known.reason is SuppressionReason.MANUAL:
        return
    if state_of(known, address, now) is State.IN_FORCE and known.until is None:
        exit_with_error(
            f"{contact_id} is suppressed already ({known.reason.value}); "
            f"see: pause-notifications suppressions show {contact_id}"
        )


@examples(
    "pause-notifications suppressions remove mentor-042",
    "pause-notifications suppressions remove mentor-042 --by amara",
)
def remove(contact_id: Contact, *, by: By = None) -> None:
    """
    Take a contact off both lists, so that the next event is sent to the address again.

    Remove it only if the cause is gone: an address that bounces again costs the account's reputation. Who removed it,
    and when, stays on our list. E-mails that were not sent meanwhile are not sent later. If one is still needed, and
    its event has a dead letter, replay that: a replay sends to suppressed recipients, too. Else publish the event again
    with a new id.

    The exit code is 1 if SES's list could not be changed: SES would then not deliver the next e-mail.
    """
    stored, now, name = run(read_stored), datetime.now(UTC), by or user_name()
    check_keys(stored)
    address = stored.addresses.get(contact_id)
    trouble = _remove_from_account(contact_id, address)
    entries = [stored.ours.entry(on, contact_id) for on in SuppressionList]
    standing = [one for one in entries if one is not None and _stands(one, now)]
    if standing:
        _write([removed(one, name, now) for one in standing])
        print_text(f"{contact_id} removed from our list ({', '.join(one.reason.value for one in standing)}) by {name}")
    else:
        print_text(f"{contact_id} is not on our list: nothing to remove")
    if trouble:
        exit_with_error(trouble, EXIT_FAILED)


def _stands(entry: Suppression, now: datetime) -> bool:
    """Return whether an entry has not ended, whatever address it is about."""
    return entry.removed_by is None and (entry.until is None or now < entry.until)


def _remove_from_account(contact_id: str, address: str | None) -> str:
    """Take the address off SES's list first: else the next e-mail would bounce, and it would be on ours again."""
    if address is None:
        print_error(f"{contact_id} has no usable address in the contacts topic, so SES's list stays as it is")
        return ""
    try:
        found = ses.account_list().remove(address)
    except NotAvailable as error:
        return f"SES's list could not be changed, so SES may still not deliver to {contact_id}: {error}"
    print_text(f"{contact_id} {'removed from' if found else 'is not on'} SES's list")
    return ""


def _write(entries: list[Suppression]) -> None:
    async def work(settings: Settings) -> None:
        await write_entries(settings, entries)

    run(work)
