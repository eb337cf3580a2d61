"""List, show, add, remove and sync, with our list in memory and a fake of SES's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import Result

from consumers.suppressions import Suppressions, digest_of
from deploy.command.suppressions import account_list as ses
from deploy.command.suppressions import browse, change, sync
from deploy.command.suppressions.account_list import AccountEntry, AccountList, NotAvailable
from deploy.command.suppressions.stored import Stored
from runtime.settings import env_name
from schemas.suppressions import (
    MAX_TEXT,
    Suppression,
    SuppressionList,
    SuppressionReason,
    suppression_json,
    suppression_key,
)
from tests.signing import KEYS, keys_file
from tests.unit.deploy.command.suppressions.records import signed_record

SINCE = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
ADDRESS = "m@example.org"
REFUSED = NotAvailable("DeleteSuppressedDestination is not allowed: grant ses:DeleteSuppressedDestination")


@dataclass
class FakeAccountList:
    """SES's list in memory; while *trouble* is set, every call raises it."""

    known: dict[str, AccountEntry] = field(default_factory=dict)
    trouble: NotAvailable | None = None

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def entries(self) -> Iterator[AccountEntry]:
        """Yield all entries."""
        self._check()
        yield from self.known.values()

    def find(self, address: str) -> AccountEntry | None:
        """Return the entry of an address."""
        self._check()
        return self.known.get(address)

    def add(self, address: str) -> None:
        """Put an address on the list."""
        self._check()
        self.known[address] = AccountEntry(address, "COMPLAINT", SINCE)

    def remove(self, address: str) -> bool:
        """Take an address off the list."""
        self._check()
        return self.known.pop(address, None) is not None


class Lists:
    """Both lists, and the command that works on them."""

    def __init__(self, command: Callable[..., Result]) -> None:
        self.run = command
        self.stored = Stored(Suppressions(), Counter(), {"mentor-042": ADDRESS})
        self.account = FakeAccountList()
        self.written: list[Suppression] = []

    async def read(self, _settings: object) -> Stored:
        """Return our list."""
        return self.stored

    async def write(self, _settings: object, entries: Sequence[Suppression]) -> None:
        """Write to our list."""
        self.written += entries
        for entry in entries:
            self.stored.ours.take(suppression_key(entry.on, entry.contact_id), suppression_json(entry))

    def suppress(self, reason: str = "bounced", **fields: Any) -> None:
        """Put mentor-042 on our list."""
        entry = Suppression(
            contact_id="mentor-042",
            address=digest_of("mentor-042", ADDRESS),
            reason=SuppressionReason(reason),
            since=SINCE,
            **fields,
        )
        self.stored.ours.take(suppression_key(entry.on, entry.contact_id), suppression_json(entry))

    def sign(self) -> None:
        """Add a signed record to our list, as it is read without keys."""
        self.stored.signatures.add(signed_record("mentor-043", KEYS))

    @property
    def suppressed(self) -> bool:
        """Return whether a replica would send nothing."""
        return self.stored.ours.find("mentor-042", ADDRESS, datetime.now(UTC)) is not None


@pytest.fixture(name="lists")
def _lists(command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Lists:
    """Return the lists; mentor-042 has an address and is on neither."""
    lists = Lists(command)
    account: AccountList = lists.account
    monkeypatch.setattr(ses, "account_list", lambda: account)
    for module in (browse, change, sync):
        monkeypatch.setattr(module, "read_stored", lists.read)
    for module in (change, sync):
        monkeypatch.setattr(module, "write_entries", lists.write)
    return lists


class TestList:
    """What `list` shows."""

    def test_both_lists_are_shown_with_the_cause(self, lists: Lists) -> None:
        """A line for each entry, tab-separated in a pipe, without an address."""
        lists.suppress(detail="Permanent/NoEmail", dispatch_id="0" * 32)
        lists.account.add(ADDRESS)
        result = lists.run("suppressions", "list")

        ours, account = (line.split("\t") for line in result.stdout.splitlines()[1:])
        assert ["mentor-042", "ours", "bounced", "in force", "2026-03-26T08:30:00Z", "a person removes it"] == ours[:6]
        assert f"Permanent/NoEmail, {'0' * 32}" == ours[6]
        assert ["mentor-042", "SES", "COMPLAINT", "in force"] == account[:4]
        assert "@" not in result.output

    def test_addresses_are_shown_if_they_are_asked_for(self, lists: Lists) -> None:
        """In the table and in JSON."""
        lists.suppress()

        assert ADDRESS in lists.run("suppressions", "list", "--addresses").stdout
        assert ADDRESS == json.loads(lists.run("suppressions", "list", "--json", "--addresses").stdout)["address"]

    def test_what_does_not_apply_is_shown_with_all(self, lists: Lists) -> None:
        """Ended entries, and bounces that are still counted."""
        lists.suppress(until=SINCE + timedelta(1))
        lists.suppress("unreachable", bounces=("1",))

        assert "no suppressions\n" == lists.run("suppressions", "list").stdout
        shown = [json.loads(line) for line in lists.run("suppressions", "list", "--all", "--json").stdout.splitlines()]
        assert [("bounced", "ended", 0), ("unreachable", "counting", 1)] == [
            (one["reason"], one["state"], one["bounces"]) for one in shown
        ]

    def test_without_ses_ours_is_shown(self, lists: Lists) -> None:
        """The reason is on standard error; it is no failure."""
        lists.suppress()
        lists.account.trouble = NotAvailable("the account is in the sandbox")
        result = lists.run("suppressions", "list")

        assert (0, 2) == (result.exit_code, len(result.stdout.splitlines()))
        assert "SES's list is not shown: the account is in the sandbox\n" == result.stderr
        assert "" == lists.run("suppressions", "list", "--ours").stderr

    def test_text_of_strangers_is_escaped(self, lists: Lists) -> None:
        """It cannot steer the terminal or imitate a line."""
        lists.suppress(detail="x\x1b[2J\nmentor-043\tours", by="\u202eamara")

        for arguments in (("list",), ("list", "--json"), ("show", "mentor-042"), ("show", "mentor-042", "--json")):
            output = lists.run("suppressions", *arguments).stdout
            assert not {"\x1b", "\u202e"} & {*output}
            assert not any(line.startswith("mentor-043") for line in output.splitlines())


class TestShow:
    """What `show` says of one contact."""

    def test_the_mail_that_caused_it_is_shown(self, lists: Lists) -> None:
        """Dispatch, e-mail and SES's words, from both lists."""
        lists.suppress(detail="Permanent/NoEmail", dispatch_id="0" * 32, message_id="msg-1")
        lists.account.known[ADDRESS] = AccountEntry(ADDRESS, "BOUNCE", SINCE, "msg-2")
        result = lists.run("suppressions", "show", "mentor-042")

        assert 0 == result.exit_code
        for line in (f"dispatch    {'0' * 32}", "e-mail      msg-1", "e-mail      msg-2", "until       a person rem"):
            assert line in result.stdout
        assert "@" not in result.output

    def test_an_entry_that_was_removed_says_who_did(self, lists: Lists) -> None:
        """The history of the last removal stays."""
        lists.suppress()
        lists.run("suppressions", "remove", "mentor-042", "--by", "amara")
        shown = json.loads(lists.run("suppressions", "show", "mentor-042", "--json").stdout)

        assert ("removed", "amara", "bounced") == (shown["state"], shown["removed_by"], shown["reason"])

    def test_a_contact_on_neither_list_is_exit_code_1(self, lists: Lists) -> None:
        """As for anything that is not found."""
        result = lists.run("suppressions", "show", "mentor-042")

        assert (1, "Error: neither list has an entry of mentor-042\n") == (result.exit_code, result.stderr)

    def test_without_an_address_ses_is_not_asked(self, lists: Lists) -> None:
        """Its list has addresses alone."""
        lists.suppress()
        lists.stored.addresses.clear()
        result = lists.run("suppressions", "show", "mentor-042")

        assert (0, True) == (result.exit_code, "so SES is not asked" in result.stderr)
        assert "other address" in result.stdout


class TestAdd:
    """What `add` writes."""

    def test_a_person_stops_e_mail_to_a_contact(self, lists: Lists) -> None:
        """With the reason in their words, and their name; on our list alone."""
        result = lists.run("suppressions", "add", "mentor-042", "--reason", "asked for letters", "--by", "amara")

        assert (0, "mentor-042 gets no e-mail until it is removed\n") == (result.exit_code, result.stdout)
        (entry,) = lists.written
        assert (SuppressionReason.MANUAL, "asked for letters", "amara", None) == (
            entry.reason,
            entry.detail,
            entry.by,
            entry.until,
        )
        assert lists.suppressed
        assert {} == lists.account.known

    @pytest.mark.parametrize("until", ["30d", "12h", "2999-01-01", "2999-01-01T00:00:00+01:00"])
    def test_it_may_end(self, lists: Lists, until: str) -> None:
        """After a span, on a date, or at a time."""
        lists.run("suppressions", "add", "mentor-042", "--reason", "on leave", "--until", until)

        (entry,) = lists.written
        assert entry.until is not None
        assert entry.until > datetime.now(UTC)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--reason", "x", "--until", "soon"), "a span such as 30d"),
            (("--reason", "x", "--until", "2020-01-01"), "in the future"),
            (("--reason", "x", "--until", "0d"), "in the future"),
            (("--reason", "x", "--until", "99999d"), None),
            (("--reason", " "), "one line of 1 to 256"),
            (("--reason", "a\nb"), "one line of 1 to 256"),
            (("--reason", "x" * 257), "one line of 1 to 256"),
            (("--reason", "x", "--by", "\x1b"), "one line of 1 to 256"),
            ((), "--reason"),
        ],
    )
    def test_wrong_usage_writes_nothing(self, lists: Lists, arguments: tuple[str, ...], says: str | None) -> None:
        """The error says what is allowed; a long span is none."""
        result = lists.run("suppressions", "add", "mentor-042", *arguments)

        assert ((0, 1) if says is None else (2, 0)) == (result.exit_code, len(lists.written))
        assert (says or "") in result.stderr

    def test_the_longest_text_can_be_read_back(self, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the command accepts, a replica reads; a longer name of the user is cut."""
        monkeypatch.setattr("getpass.getuser", lambda: "j" * 300)
        added = lists.run("suppressions", "add", "mentor-042", "--reason", "ü" * MAX_TEXT)
        suppressed = lists.suppressed
        removed = lists.run("suppressions", "remove", "mentor-042")

        assert (0, True) == (added.exit_code, suppressed)
        assert (0, False) == (removed.exit_code, lists.suppressed)

    @pytest.mark.parametrize("removed_by", [None, "jonas"])
    def test_what_it_replaces_is_named(self, lists: Lists, *, removed_by: str | None) -> None:
        """A second entry says by whom, since when and why the first one was; a removed one is not named."""
        lists.suppress("manual", by="amara", detail="wants letters", removed_by=removed_by)

        said = lists.run("suppressions", "add", "mentor-042", "--reason", "on leave").stdout

        replaced = "in place of: manual, until it is removed (by amara since 2026-03-26T08:30:00Z: wants letters)\n"
        assert (removed_by is None) == (replaced in said)
        assert (removed_by is None) == ("in place of" in said)

    def test_a_contact_without_an_address_has_nothing_to_suppress(self, lists: Lists) -> None:
        """An entry holds the digest of an address."""
        result = lists.run("suppressions", "add", "mentor-043", "--reason", "x")

        assert (1, []) == (result.exit_code, lists.written)

    def test_another_cause_is_not_overwritten(self, lists: Lists) -> None:
        """A bounce stays on the list as such; a person's own entry may be changed."""
        lists.suppress("complained")
        refused = lists.run("suppressions", "add", "mentor-042", "--reason", "x")
        lists.suppress("manual", detail="x")
        changed = lists.run("suppressions", "add", "mentor-042", "--reason", "y")

        assert (1, 0, ["y"]) == (refused.exit_code, changed.exit_code, [one.detail for one in lists.written])

    def test_also_on_ses_list(self, lists: Lists) -> None:
        """If it is asked for."""
        result = lists.run("suppressions", "add", "mentor-042", "--reason", "x", "--on-ses")

        assert (0, [ADDRESS]) == (result.exit_code, [*lists.account.known])

    def test_in_the_sandbox_it_is_on_ours_alone(self, lists: Lists) -> None:
        """The exit code is 1, and the error says what is done and what is not."""
        lists.account.trouble = NotAvailable("the account is in the sandbox")
        result = lists.run("suppressions", "add", "mentor-042", "--reason", "x", "--on-ses")

        assert (1, True) == (result.exit_code, lists.suppressed)
        assert "it is on our list, and not on SES's: the account is in the sandbox" in result.stderr


class TestRemove:
    """What `remove` changes."""

    def test_it_is_taken_off_both_lists(self, lists: Lists) -> None:
        """Ours keeps the entry with who removed it; SES's has none any more."""
        lists.suppress()
        lists.suppress("unreachable", bounces=("1", "2", "3"))
        lists.account.add(ADDRESS)
        result = lists.run("suppressions", "remove", "mentor-042", "--by", "amara")

        assert (
            "mentor-042 removed from SES's list\nmentor-042 removed from our list (bounced, unreachable) by amara\n"
        ) == result.stdout
        assert (0, False, {}) == (result.exit_code, lists.suppressed, lists.account.known)
        assert {"amara"} == {one.removed_by for one in lists.stored.ours.entries()}

    def test_the_name_is_the_users_by_default(self, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a container the user may have none."""
        lists.suppress()
        monkeypatch.setattr("getpass.getuser", lambda: "jonas")
        lists.run("suppressions", "remove", "mentor-042")

        assert ["jonas"] == [one.removed_by for one in lists.written]

    def test_twice_is_no_error(self, lists: Lists) -> None:
        """There is nothing to remove, and who removed it first stays."""
        lists.suppress()
        lists.run("suppressions", "remove", "mentor-042", "--by", "amara")
        result = lists.run("suppressions", "remove", "mentor-042", "--by", "jonas")

        assert 0 == result.exit_code
        assert "mentor-042 is not on SES's list\nmentor-042 is not on our list: nothing to remove\n" == result.stdout
        assert ["amara"] == [one.removed_by for one in lists.stored.ours.entries()]

    def test_without_the_right_at_ses_ours_is_changed(self, lists: Lists) -> None:
        """The exit code is 1: the next e-mail would not be delivered."""
        lists.suppress()
        lists.account.trouble = REFUSED
        result = lists.run("suppressions", "remove", "mentor-042")

        assert (1, False) == (result.exit_code, lists.suppressed)
        assert "grant ses:DeleteSuppressedDestination" in result.stderr

    def test_without_an_address_ours_is_changed(self, lists: Lists) -> None:
        """SES's list has addresses alone, so it stays as it is."""
        lists.suppress()
        lists.stored.addresses.clear()
        result = lists.run("suppressions", "remove", "mentor-042")

        assert (0, 1, True) == (result.exit_code, len(lists.written), "SES's list stays as it is" in result.stderr)

    def test_bounces_that_are_counted_are_forgotten(self, lists: Lists) -> None:
        """A row that has not yet suppressed the address is removed, too."""
        lists.suppress("unreachable", bounces=("1", "2"))
        lists.run("suppressions", "remove", "mentor-042")

        entry = lists.stored.ours.entry(SuppressionList.TRANSIENT, "mentor-042")
        assert entry is not None
        assert () == tuple(entry.bounces)


class TestSync:
    """What `sync` adds."""

    def test_ours_is_brought_in_line(self, lists: Lists) -> None:
        """An address of a contact that is on SES's list alone is added to ours; a second run adds nothing."""
        lists.account.add(ADDRESS)
        lists.account.add("nobody@example.org")
        first, second = (json.loads(lists.run("suppressions", "sync", "--json").stdout) for _ in range(2))

        assert [{"contact_id": "mentor-042", "reason": "complained", "since": "2026-03-26T08:30:00Z"}] == [
            {**one, "since": one["since"].replace(".000000", "")} for one in first["added"]
        ]
        assert ([], ["mentor-042"], 1) == (second["added"], second["both"], second["strangers"])
        assert lists.suppressed

    def test_a_dry_run_changes_nothing(self, lists: Lists) -> None:
        """It prints what would be added."""
        lists.account.add(ADDRESS)
        result = lists.run("suppressions", "sync", "--dry-run")

        assert (0, []) == (result.exit_code, lists.written)
        assert "mentor-042\tSES's alone\tCOMPLAINT" in result.stdout
        assert "     1  on SES's alone: to be added to ours" in result.stdout
        assert "@" not in result.output

    def test_without_ses_there_is_nothing_to_compare(self, lists: Lists) -> None:
        """The error says what to grant, and the exit code is 1."""
        lists.account.trouble = NotAvailable("grant ses:ListSuppressedDestinations")
        result = lists.run("suppressions", "sync")

        assert (1, []) == (result.exit_code, lists.written)
        assert "grant ses:ListSuppressedDestinations" in result.stderr


class TestWithoutKeys:
    """What changes our list, run without a signing key."""

    @pytest.mark.parametrize(
        "arguments",
        [("add", "mentor-042", "--reason", "x"), ("remove", "mentor-042"), ("sync",)],
        ids=lambda one: one[0],
    )
    def test_a_signed_list_is_not_changed(self, lists: Lists, arguments: tuple[str, ...]) -> None:
        """Replicas would leave the entry out, and Kafka may compact a signed one away; SES's list stays, too."""
        lists.account.add(ADDRESS)
        lists.sign()
        result = lists.run("suppressions", *arguments)

        assert (2, [], "") == (result.exit_code, lists.written, result.stdout)
        name = env_name("signing_keys_file")
        assert f"Error: our list is signed: set {name} to the file that the replicas have\n" == result.stderr
        assert [ADDRESS] == [*lists.account.known]

    def test_a_signed_list_is_shown(self, lists: Lists) -> None:
        """Reading changes nothing."""
        lists.sign()

        assert 0 == lists.run("suppressions", "sync", "--dry-run").exit_code
        assert 0 == lists.run("suppressions", "list").exit_code

    def test_with_keys_a_signed_list_is_changed(self, lists: Lists) -> None:
        """As the replicas do."""
        lists.sign()
        keys = {env_name("signing_keys_file"): str(keys_file())}
        result = lists.run("suppressions", "add", "mentor-042", "--reason", "x", **keys)

        assert (0, 1) == (result.exit_code, len(lists.written))
