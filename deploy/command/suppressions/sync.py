"""`pause-notifications suppressions sync`: bring our list in line with SES's."""

from __future__ import annotations

from datetime import UTC, datetime

from deploy.command.operator import user_name
from deploy.command.suppressions import account_list as ses
from deploy.command.suppressions.account_list import NotAvailable
from deploy.command.suppressions.entries import Plan, plan_sync
from deploy.command.suppressions.stored import check_keys, read_stored, write_entries
from deploy.support.output import print_hint, print_json, print_table, print_text, status
from deploy.support.running import exit_with_error, run
from runtime.settings import Settings
from schemas.times import format_instant, format_seconds


def sync(*, dry_run: bool, by: str | None, as_json: bool) -> None:
    """Add to our list which contacts are on SES's, and show what is on ours alone."""
    stored, now = run(read_stored), datetime.now(UTC)
    if not dry_run:
        check_keys(stored)
    try:
        with status("Asking SES"):
            account = list(ses.account_list().entries())
    except NotAvailable as error:
        exit_with_error(f"SES's list cannot be read, so there is nothing to compare: {error}")
    plan = plan_sync(stored.ours, account, stored.addresses, by=by or user_name(), now=now)
    if plan.missing and not dry_run:
        _add(plan)
    if as_json:
        print_json(_summary(plan, dry_run=dry_run))
    else:
        _print(plan, dry_run=dry_run)


def _add(plan: Plan) -> None:
    async def work(settings: Settings) -> None:
        await write_entries(settings, [entry for _, entry in plan.missing])

    run(work)


def _print(plan: Plan, *, dry_run: bool) -> None:
    rows = [
        *((entry.contact_id, "SES's alone", one.reason, format_seconds(one.since)) for one, entry in plan.missing),
        *((one.contact_id or "", "ours alone", one.reason, format_seconds(one.since)) for one in plan.only_ours),
    ]
    if rows:
        print_table(("contact", "on", "reason", "since"), rows)
        print_text()
    print_text(f"{len(plan.both):>6}  on both lists")
    print_text(f"{len(plan.missing):>6}  on SES's alone: {'to be added to' if dry_run else 'added to'} ours")
    print_text(f"{len(plan.only_ours):>6}  on ours alone: left as they are")
    print_text(f"{plan.strangers:>6}  on SES's whose address no contact has: left as they are")
    if plan.missing and dry_run:
        print_hint("add them:  pause-notifications suppressions sync")


def _summary(plan: Plan, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "both": plan.both,
        "added": [
            {"contact_id": entry.contact_id, "reason": entry.reason.value, "since": format_instant(entry.since)}
            for _, entry in plan.missing
        ],
        "only_ours": [one.contact_id for one in plan.only_ours],
        "strangers": plan.strangers,
    }
