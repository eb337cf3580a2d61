"""What the two lists say, and how they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.suppressions import Suppressions, digest_of
from deploy.command.suppressions.account_list import AccountEntry
from deploy.command.suppressions.entries import Owners, State, account_lines, our_lines, plan_sync, state_of
from schemas.suppressions import Suppression, SuppressionReason, removed, suppression_json, suppression_key

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
SINCE = NOW - timedelta(days=3)
ADDRESSES = {"mentor-042": "M@example.org", "mentor-043": "n@example.org", "twin": "m@example.org"}


def entry_of(contact_id: str = "mentor-042", reason: str = "bounced", **fields: Any) -> Suppression:
    """Return an entry of ours."""
    address = fields.pop("at", ADDRESSES[contact_id])
    return Suppression(
        contact_id=contact_id,
        address=digest_of(contact_id, address),
        reason=SuppressionReason(reason),
        since=SINCE,
        **fields,
    )


def ours_of(*entries: Suppression) -> Suppressions:
    """Return our list."""
    ours = Suppressions()
    for entry in entries:
        ours.take(suppression_key(entry.on, entry.contact_id), suppression_json(entry))
    return ours


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        (entry_of(), State.IN_FORCE),
        (entry_of(until=NOW + timedelta(1)), State.IN_FORCE),
        (entry_of(until=NOW), State.ENDED),
        (entry_of(at="old@example.org"), State.OTHER_ADDRESS),
        (entry_of(reason="unreachable", bounces=("1", "2")), State.COUNTING),
        (entry_of(reason="unreachable", bounces=("1", "2", "3")), State.IN_FORCE),
        (removed(entry_of(), "amara", NOW), State.REMOVED),
    ],
)
def test_an_entry_applies_or_it_is_said_why_not(entry: Suppression, state: State) -> None:
    """It is in force exactly when a replica would send nothing."""
    assert state is state_of(entry, ADDRESSES[entry.contact_id], NOW)
    assert (state is State.IN_FORCE) == entry.applies(digest_of("mentor-042", "m@example.org"), NOW)


def test_an_unknown_contact_has_another_address() -> None:
    """Nothing is sent to it anyway."""
    assert State.OTHER_ADDRESS is state_of(entry_of(), None, NOW)


def test_an_address_of_ses_belongs_to_all_contacts_who_have_it() -> None:
    """Letter case does not count; an address may be nobody's."""
    entries = [AccountEntry("m@EXAMPLE.org", "BOUNCE", SINCE), AccountEntry("x@example.org", "COMPLAINT", SINCE)]

    assert ["mentor-042", "twin", None] == [one.contact_id for one in account_lines(entries, Owners(ADDRESSES))]


@pytest.mark.parametrize("addresses", [False, True])
def test_json_has_the_address_only_if_it_is_asked_for(*, addresses: bool) -> None:
    """It is personal data."""
    (line,) = our_lines(ours_of(entry_of()), ADDRESSES, NOW)

    assert addresses == ("M@example.org" in str(line.as_json(addresses=addresses)))


class TestSync:
    """Which entries ours lacks."""

    @staticmethod
    def plan(*entries: Suppression, addresses: Mapping[str, str] = ADDRESSES) -> Any:
        """Compare with a list of SES's that has mentor-042's address."""
        account = [AccountEntry("m@example.org", "COMPLAINT", SINCE)]
        return plan_sync(ours_of(*entries), account, addresses, by="amara", now=NOW)

    def test_an_entry_that_ours_lacks_is_added(self) -> None:
        """With SES's reason and time, and who did it; once for each contact."""
        plan = self.plan()

        assert ["mentor-042", "twin"] == [entry.contact_id for _, entry in plan.missing]
        entry = plan.missing[0][1]
        assert (SuppressionReason.COMPLAINED, SINCE, None, "amara") == (
            entry.reason,
            entry.since,
            entry.until,
            entry.by,
        )
        assert entry.applies(digest_of("mentor-042", "m@example.org"), NOW)

    def test_afterwards_nothing_is_missing(self) -> None:
        """A second run has nothing to add."""
        plan = self.plan(*(entry for _, entry in self.plan().missing))

        assert (["mentor-042", "twin"], []) == (plan.both, plan.missing)

    @pytest.mark.parametrize(
        "entry",
        [
            entry_of(until=NOW + timedelta(1)),
            entry_of(at="old@example.org"),
            entry_of(reason="unreachable", bounces=("1", "2", "3")),
            removed(entry_of(), "amara", NOW),
        ],
    )
    def test_an_entry_that_ends_earlier_is_not_enough(self, entry: Suppression) -> None:
        """SES's entry lasts until it is removed."""
        assert "mentor-042" in {one.contact_id for _, one in self.plan(entry).missing}

    def test_what_is_on_one_list_alone_is_counted(self) -> None:
        """Nobody's addresses on SES's list, and contacts on ours alone, stay as they are."""
        plan = self.plan(entry_of("mentor-043", "manual"), addresses={"mentor-043": ADDRESSES["mentor-043"]})

        assert (1, [], ["mentor-043"]) == (plan.strangers, plan.missing, [one.contact_id for one in plan.only_ours])
