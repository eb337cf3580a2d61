"""`pause-notifications suppressions add` and `remove`: put a contact on the lists, and take it off them."""

from __future__ import annotations

from datetime import UTC, datetime

from consumers.suppressions import digest_of
from deploy.command.operator import user_name
from deploy.command.suppressions import account_list as ses
from deploy.command.suppressions.account_list import NotAvailable
from deploy.command.suppressions.entries import State, state_of
from deploy.command.suppressions.stored import Stored, check_keys, read_stored, write_entries
from deploy.support.output import print_error, print_text
from deploy.support.running import EXIT_FAILED, exit_with_error, run
from runtime.settings import Settings
from schemas.suppressions import Suppression, SuppressionList, SuppressionReason, removed
from schemas.times import format_seconds


def add(contact_id: str, *, reason: str, until: datetime | None, on_ses: bool, by: str | None) -> None:
    """Send no more e-mail to a contact at the present address."""
    stored, now = run(read_stored), datetime.now(UTC)
    check_keys(stored)
    address = stored.addresses.get(contact_id)
    if address is None:
        exit_with_error(f"{contact_id} has no usable address in the contacts topic: there is nothing to suppress")
    _check_absent(stored, contact_id, address, now)
    entry = Suppression(
        contact_id=contact_id,
        address=digest_of(contact_id, address),
        reason=SuppressionReason.MANUAL,
        since=now,
        until=until,
        detail=reason,
        by=by or user_name(),
    )
    before = stored.ours.entry(entry.on, contact_id)
    _write([entry])
    print_text(f"{contact_id} gets no e-mail {f'until {format_seconds(until)}' if until else 'until it is removed'}")
    if before is not None and _stands(before, now):
        print_text(f"in place of: {_in_full(before)}")
    if on_ses:
        try:
            ses.account_list().add(address)
        except NotAvailable as error:
            exit_with_error(f"it is on our list, and not on SES's: {error}", EXIT_FAILED)
        print_text("the address is on SES's list, too")


def _in_full(entry: Suppression) -> str:
    """Return why an entry was made, until when, by whom and since when."""
    ends = "it is removed" if entry.until is None else format_seconds(entry.until)
    who = f"by {entry.by} since" if entry.by else "since"
    detail = f": {entry.detail}" if entry.detail else ""
    return f"{entry.reason.value}, until {ends} ({who} {format_seconds(entry.since)}{detail})"


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


def remove(contact_id: str, *, by: str | None) -> None:
    """Take a contact off both lists, so that the next event is sent to the address again."""
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
