"""What the two lists say of each contact, and how ours is brought in line with SES's. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from consumers.suppressions import Suppressions, digest_of
from deploy.command.suppressions.account_list import AccountEntry
from schemas.suppressions import (
    TRANSIENT_IN_A_ROW,
    Suppression,
    SuppressionList,
    SuppressionReason,
)
from schemas.times import format_instant

OURS, SES = "ours", "SES"
_ON_ACCOUNT_LIST = "OnAccountSuppressionList"
"""SES's own name for what it says of an e-mail to such an address."""
_REASONS = {"BOUNCE": SuppressionReason.BOUNCED, "COMPLAINT": SuppressionReason.COMPLAINED}


class State(StrEnum):
    """Whether an entry keeps e-mail from its contact now."""

    IN_FORCE = "in force"
    COUNTING = "counting"
    ENDED = "ended"
    REMOVED = "removed"
    OTHER_ADDRESS = "other address"


@dataclass(frozen=True)
class Line:
    """One entry of one of the lists, as it is shown."""

    contact_id: str | None
    """None: no contact of ours has the address."""
    on: str
    reason: str
    state: State
    since: datetime
    address: str | None = None
    until: datetime | None = None
    dispatch_id: str | None = None
    message_id: str | None = None
    detail: str | None = None
    bounces: int = 0
    by: str | None = None
    removed_by: str | None = None

    def as_json(self, *, addresses: bool) -> dict[str, Any]:
        """Return all of it for scripts; the address only if it is asked for."""
        document = {
            "contact_id": self.contact_id,
            "list": self.on,
            "reason": self.reason,
            "state": self.state.value,
            "since": format_instant(self.since),
            "until": self.until and format_instant(self.until),
            "dispatch_id": self.dispatch_id,
            "message_id": self.message_id,
            "detail": self.detail,
            "bounces": self.bounces,
            "by": self.by,
            "removed_by": self.removed_by,
        }
        return {**document, "address": self.address} if addresses else document


def state_of(entry: Suppression, address: str | None, now: datetime) -> State:
    """Return whether an entry of ours applies to a contact with this *address* now, or why not."""
    if entry.removed_by is not None:
        return State.REMOVED
    if entry.until is not None and now >= entry.until:
        return State.ENDED
    if address is None or digest_of(entry.contact_id, address) != entry.address:
        return State.OTHER_ADDRESS
    if entry.on is SuppressionList.TRANSIENT and len(entry.bounces) < TRANSIENT_IN_A_ROW:
        return State.COUNTING
    return State.IN_FORCE


def line_of(entry: Suppression, address: str | None, now: datetime) -> Line:
    """Return an entry of ours as it is shown."""
    return Line(
        contact_id=entry.contact_id,
        on=OURS,
        reason=entry.reason.value,
        state=state_of(entry, address, now),
        since=entry.since,
        address=address,
        until=entry.until,
        dispatch_id=entry.dispatch_id,
        message_id=entry.message_id,
        detail=entry.detail,
        bounces=len(entry.bounces),
        by=entry.by,
        removed_by=entry.removed_by,
    )


def account_line(entry: AccountEntry, contact_id: str | None) -> Line:
    """Return an entry of SES's as it is shown."""
    return Line(
        contact_id, SES, entry.reason, State.IN_FORCE, entry.since, address=entry.address, message_id=entry.message_id
    )


def our_lines(ours: Suppressions, addresses: Mapping[str, str], now: datetime) -> list[Line]:
    """Return all entries of ours by contact."""
    entries = sorted(ours.entries(), key=lambda one: (one.contact_id, one.on))
    return [line_of(entry, addresses.get(entry.contact_id), now) for entry in entries]


class Owners:
    """The contacts by their addresses; letter case does not count, and several may have one address."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._by_address: defaultdict[str, list[str]] = defaultdict(list)
        for contact_id, address in sorted(addresses.items()):
            self._by_address[_plain(address)].append(contact_id)

    def of(self, address: str) -> Sequence[str]:
        """Return the ids of the contacts with an address."""
        return self._by_address.get(_plain(address), ())


def _plain(address: str) -> str:
    return address.strip().casefold()


def account_lines(entries: Iterable[AccountEntry], owners: Owners) -> list[Line]:
    """Return the entries of SES's list, once for each contact with the address."""
    return [account_line(entry, one) for entry in entries for one in (owners.of(entry.address) or (None,))]


@dataclass
class Plan:
    """What `sync` found: the contacts on both lists, on SES's alone, and on ours alone."""

    both: list[str] = field(default_factory=list)
    missing: list[tuple[AccountEntry, Suppression]] = field(default_factory=list)
    """On SES's list alone: the entries that ours lacks."""
    only_ours: list[Line] = field(default_factory=list)
    strangers: int = 0
    """Addresses on SES's list that no contact of ours has."""


def plan_sync(
    ours: Suppressions, account: Iterable[AccountEntry], addresses: Mapping[str, str], *, by: str, now: datetime
) -> Plan:
    """
    Compare the lists.

    An entry of SES's lasts until it is removed. So ours lacks it unless ours has one that lasts as long.
    """
    plan, owners, on_account = Plan(), Owners(addresses), set[str]()
    for entry in account:
        contact_ids = owners.of(entry.address)
        plan.strangers += not contact_ids
        for contact_id in contact_ids:
            on_account.add(contact_id)
            known = ours.entry(SuppressionList.HARD, contact_id)
            address = addresses[contact_id]
            if known is not None and known.until is None and state_of(known, address, now) is State.IN_FORCE:
                plan.both.append(contact_id)
            else:
                plan.missing.append((entry, _entry_of(entry, contact_id, by)))
    lines = our_lines(ours, addresses, now)
    plan.only_ours = [one for one in lines if one.state is State.IN_FORCE and one.contact_id not in on_account]
    return plan


def _entry_of(entry: AccountEntry, contact_id: str, by: str) -> Suppression:
    return Suppression(
        contact_id=contact_id,
        address=digest_of(contact_id, entry.address),
        reason=_REASONS.get(entry.reason, SuppressionReason.BOUNCED),
        since=entry.since,
        detail=_ON_ACCOUNT_LIST,
        by=by,
    )
