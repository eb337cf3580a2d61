"""`pause-notifications suppressions`: list and show what is on either list; change both."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from deploy.command.operator import By, one_line
from schemas.times import parse_instant

_AHEAD = re.compile(r"(\d{1,5})([hd])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

ShowAddresses = Annotated[
    bool, typer.Option("--addresses", help="Show addresses, too. They are personal data: mind who sees your screen.")
]
Contact = Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")]

app = Noun("List, show and change which addresses get no e-mail.")


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


@app.command("list")
@examples(
    "pause-notifications suppressions list",
    "pause-notifications suppressions list --all --json",
)
def list_entries(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also show entries that have ended, and bounces that are still counted.")
    ] = False,
    ours_only: Annotated[bool, typer.Option("--ours", help="Show our own list alone; do not ask SES.")] = False,
    addresses: ShowAddresses = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per entry.")] = False,
) -> Work:
    """
    List the contacts that get no e-mail, and why.

    There are two lists. Ours is in Kafka, and replicas follow it. SES's belongs to the account: SES takes an e-mail to
    an address on it, and does not deliver it. If SES's list cannot be read, the reason is printed, and ours is shown.
    """
    from deploy.command.suppressions import browse

    return lambda: browse.list_entries(every=every, ours_only=ours_only, addresses=addresses, as_json=as_json)


@app.command()
@examples(
    "pause-notifications suppressions show mentor-042",
    "pause-notifications suppressions show mentor-042 --addresses --json",
)
def show(
    contact_id: Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")],
    *,
    addresses: ShowAddresses = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per entry.")] = False,
) -> Work:
    """
    Show what both lists say of one contact: since when, until when, and the e-mail that caused it.

    The exit code is 1 if neither list has an entry, whether or not it still applies.
    """
    from deploy.command.suppressions import browse

    return lambda: browse.show(contact_id, addresses=addresses, as_json=as_json)


@app.command()
@examples(
    'pause-notifications suppressions add mentor-042 --reason "asked for letters instead"',
    'pause-notifications suppressions add mentor-042 --reason "on leave" --until 30d',
)
def add(
    contact_id: Contact,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", callback=one_line, help="Why, in your words; it is kept.")],
    until: Annotated[
        datetime | None,
        typer.Option(metavar="WHEN", parser=_until, help="When it ends: 30d, a date or a time; else never."),
    ] = None,
    on_ses: Annotated[
        bool, typer.Option("--on-ses", help="Also put the address on SES's list, for all senders of the account.")
    ] = False,
    by: By = None,
) -> Work:
    """
    Send no more e-mail to a contact at the present address.

    The contact's coordinator is told at the next event. If the contact's address changes, the new one gets e-mail.

    SES knows two reasons alone. With --on-ses its list shows the address as COMPLAINT, although nobody complained. If
    our own entry is lost, `sync` brings it back as `complained`.
    """
    from deploy.command.suppressions import change

    return lambda: change.add(contact_id, reason=reason, until=until, on_ses=on_ses, by=by)


@app.command()
@examples(
    "pause-notifications suppressions remove mentor-042",
    "pause-notifications suppressions remove mentor-042 --by amara",
)
def remove(contact_id: Contact, *, by: By = None) -> Work:
    """
    Take a contact off both lists, so that the next event is sent to the address again.

    Remove it only if the cause is gone: an address that bounces again costs the account's reputation. Who removed it,
    and when, stays on our list. E-mails that were not sent meanwhile are not sent later. If one is still needed, and
    its event has a dead letter, replay that: a replay sends to suppressed recipients, too. Else publish the event again
    with a new id.

    The exit code is 1 if SES's list could not be changed: SES would then not deliver the next e-mail.
    """
    from deploy.command.suppressions import change

    return lambda: change.remove(contact_id, by=by)


@app.command()
@examples(
    "pause-notifications suppressions sync --dry-run",
    "pause-notifications suppressions sync --json",
)
def sync(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be added; change nothing.")] = False,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> Work:
    """
    Add to our list which contacts are on SES's, and show what is on ours alone.

    SES takes an e-mail to an address on its list and does not deliver it. With the entry on ours too, the coordinator
    is told at once. Nothing is removed from either list: an address on ours alone may have another cause.
    """
    from deploy.command.suppressions import sync

    return lambda: sync.sync(dry_run=dry_run, by=by, as_json=as_json)


@app.command()
@examples(
    "pause-notifications suppressions sign --dry-run",
    "pause-notifications suppressions sign",
)
def sign(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be signed again; change nothing.")
    ] = False,
    drop_unproven: Annotated[
        bool,
        typer.Option("--drop-unproven", help="Drop the entries that none of your keys proves, for good."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> Work:
    """
    Sign every entry of our list again that another key than the first one signed.

    Do this before you remove a signing key: an entry that only the removed key proves counts no more, and its contact
    gets e-mail again. It also signs entries again that Kafka may compact away, because a later record does not count.
    If a key has leaked, look at the entries first: whoever has the key may have written some.

    Only entries that one of your keys proves are signed. Those of unknown keys are counted, with the ids of the keys.
    An entry that changes while the command runs may get its earlier content back, so do not run other commands.

    The exit code is 1 if entries of unknown keys are left.
    """
    from deploy.command.suppressions import sign

    return lambda: sign.sign(dry_run=dry_run, drop_unproven=drop_unproven, as_json=as_json)
