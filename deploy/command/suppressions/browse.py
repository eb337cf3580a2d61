"""`pause-notifications suppressions`: list and show what is on either list; change both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from deploy.command.suppressions import account_list as ses
from deploy.command.suppressions.account_list import AccountEntry, NotAvailable
from deploy.command.suppressions.entries import (
    Line,
    Owners,
    State,
    account_line,
    account_lines,
    our_lines,
)
from deploy.command.suppressions.stored import read_stored
from deploy.support.output import print_error, print_hint, print_json, print_line, print_table, print_text, status
from deploy.support.running import exit_with_error, run
from schemas.times import format_seconds


def list_entries(*, every: bool, ours_only: bool, addresses: bool, as_json: bool) -> None:
    """List the contacts that get no e-mail, and why."""
    stored, now = run(read_stored), datetime.now(UTC)
    lines = our_lines(stored.ours, stored.addresses, now)
    if not ours_only:
        lines += account_lines(_of_account(), Owners(stored.addresses))
    shown = [one for one in lines if every or one.state is State.IN_FORCE]
    if as_json:
        for one in shown:
            print_json(one.as_json(addresses=addresses))
        return
    _print_table(shown, addresses=addresses)
    if len(shown) < len(lines):
        print_hint(f"{len(lines) - len(shown)} more that have ended, or are still counted: --all")
    print_hint("show one:  pause-notifications suppressions show CONTACT")


def _of_account() -> list[AccountEntry]:
    try:
        with status("Asking SES"):
            return list(ses.account_list().entries())
    except NotAvailable as error:
        print_error(f"SES's list is not shown: {error}")
        return []


def _print_table(lines: Sequence[Line], *, addresses: bool) -> None:
    if not lines:
        print_text("no suppressions")
        return
    more = ("address",) if addresses else ()
    print_table(
        ("contact", "list", "reason", "state", "since", "until", "cause", *more),
        [
            (
                one.contact_id or "(no contact)",
                one.on,
                one.reason,
                one.state.value,
                format_seconds(one.since),
                _until(one),
                _cause(one),
                *((one.address or "",) if addresses else ()),
            )
            for one in lines
        ],
    )


def _until(line: Line) -> str:
    return "a person removes it" if line.until is None else format_seconds(line.until)


def _cause(line: Line) -> str:
    if line.removed_by is not None:
        return f"removed by {line.removed_by}"
    return ", ".join(filter(None, (line.detail, line.by and f"by {line.by}", line.dispatch_id)))


def show(contact_id: str, *, addresses: bool, as_json: bool) -> None:
    """Show what both lists say of one contact: since when, until when, and the e-mail that caused it."""
    stored, now = run(read_stored), datetime.now(UTC)
    lines = [one for one in our_lines(stored.ours, stored.addresses, now) if one.contact_id == contact_id]
    address = stored.addresses.get(contact_id)
    if address is None:
        print_error(f"{contact_id} has no usable address in the contacts topic, so SES is not asked")
    else:
        lines += _on_account(contact_id, address)
    if not lines:
        exit_with_error(f"neither list has an entry of {contact_id}")
    for one in lines:
        if as_json:
            print_json(one.as_json(addresses=addresses))
        else:
            _print_entry(one, addresses=addresses)


def _on_account(contact_id: str, address: str) -> list[Line]:
    try:
        with status("Asking SES"):
            found = ses.account_list().find(address)
    except NotAvailable as error:
        print_error(f"SES's list is not shown: {error}")
        return []
    return [] if found is None else [account_line(found, contact_id)]


def _print_entry(line: Line, *, addresses: bool) -> None:
    facts = {
        "contact": line.contact_id,
        "list": line.on,
        "reason": line.reason,
        "state": line.state.value,
        "since": format_seconds(line.since),
        "until": _until(line),
        "bounces": str(line.bounces) if line.bounces else None,
        "detail": line.detail,
        "dispatch": line.dispatch_id,
        "e-mail": line.message_id,
        "added by": line.by,
        "removed by": line.removed_by,
        "address": line.address if addresses else None,
    }
    for name, value in facts.items():
        if value is not None:
            print_line(f"{name:<10}  {value}")
    print_text()
