"""Which records of our list are signed again, and what `sign` and the doctor say of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from consumers.suppressions import Suppressions
from deploy.command.findings import State
from deploy.command.suppressions import sign
from deploy.command.suppressions.sign import publish_again
from deploy.command.suppressions.signature_check import signature_findings
from deploy.command.suppressions.signatures import Signatures, key_ids
from runtime.kafka.records import Record
from runtime.settings import env_name
from schemas.signatures import NO_KEYS, SigningKeys
from schemas.suppressions import SUPPRESSIONS_TOPIC, SuppressionList
from tests.fakes.kafka_log import FakeLog
from tests.fakes.publisher import FakePublisher
from tests.signing import KEY, KEYS, keys_file
from tests.unit.deploy.command.suppressions.records import signed_record

OLD = SigningKeys([bytes(range(101, 133))])
BOTH = SigningKeys([KEY, bytes(range(101, 133))])
LOST = SigningKeys([bytes(range(201, 233))])
MENTOR, OTHER = "mentor-042", "mentor-043"


def of(*records: Record, keys: SigningKeys = BOTH) -> Signatures:
    """Return what is known after these records."""
    found = Signatures(keys)
    for record in records:
        found.add(record)
    return found


class TestToSign:
    """The records that the first key must sign."""

    def test_those_of_another_key(self) -> None:
        """The first key's own need nothing."""
        old, new = signed_record(MENTOR, OLD), signed_record(OTHER, KEYS)

        assert [old] == of(old, new).to_sign()

    def test_the_last_one_of_an_entry(self) -> None:
        """What the first key signed later takes the place of what the old one had signed."""
        old, new = signed_record(MENTOR, OLD), signed_record(MENTOR, KEYS)

        assert [] == of(old, new).to_sign()
        assert [old] == of(new, old).to_sign()

    def test_a_null(self) -> None:
        """Without it an earlier entry would count again."""
        null = signed_record(MENTOR, OLD, null=True)

        assert [null] == of(signed_record(MENTOR, KEYS), null).to_sign()

    def test_one_that_kafka_may_compact_away(self) -> None:
        """A later record of its key does not count, and would be all that is left."""
        counts = signed_record(MENTOR, KEYS)

        assert [counts] == of(counts, signed_record(MENTOR, NO_KEYS)).to_sign()

    def test_none_that_a_lost_key_could_still_prove(self) -> None:
        """With the lost key again, the later record counts: it is not overwritten."""
        found = of(signed_record(MENTOR, OLD), signed_record(MENTOR, LOST))

        assert ([], {LOST.ids[0]: 1}) == (found.to_sign(), found.unknown)

    def test_none_that_nobody_proves(self) -> None:
        """Signing them would prove what a stranger wrote."""
        found = of(signed_record(MENTOR, LOST), signed_record(OTHER, NO_KEYS))

        assert ([], {LOST.ids[0]: 1}, 1) == (found.to_sign(), found.unknown, found.unproven)

    def test_without_keys_nothing(self) -> None:
        """All count, and nothing can be signed."""
        assert [] == of(signed_record(MENTOR, OLD), keys=NO_KEYS).to_sign()


async def test_an_entry_stays_when_the_old_key_is_removed() -> None:
    """Signed again, it is the same entry, and the first key alone proves it."""
    old = signed_record(MENTOR, OLD, detail="Permanent/NoEmail")
    publishing, table = FakePublisher(FakeLog()), Suppressions()
    await publish_again(publishing, SUPPRESSIONS_TOPIC, 3, BOTH, [(record.key, record) for record in of(old).to_sign()])
    (again,) = publishing.records

    assert not table.believes(old, KEYS)
    assert table.believes(again, KEYS)
    assert (old.key, old.value) == (again.key, again.value)


async def test_what_is_dropped_leaves_what_counts() -> None:
    """The earlier record takes its place, or a null that is signed."""
    found = of(signed_record(MENTOR, OLD), signed_record(MENTOR, LOST), signed_record(OTHER, NO_KEYS))
    publishing = FakePublisher(FakeLog())
    await publish_again(publishing, SUPPRESSIONS_TOPIC, 3, BOTH, found.to_drop())
    table = Suppressions()
    for record in publishing.records:
        assert table.believes(record, KEYS)
        table.take(record.key, record.value)

    assert table.entry(SuppressionList.HARD, MENTOR) is not None
    assert table.entry(SuppressionList.HARD, OTHER) is None
    assert {} == of(*publishing.records).unknown


class TestDoctor:
    """What the doctor says."""

    @pytest.mark.parametrize(
        ("records", "keys", "state", "says"),
        [
            ((), BOTH, State.OK, "0 known"),
            ((signed_record(MENTOR, KEYS),), BOTH, State.OK, f"all signed by {KEYS.ids[0]}"),
            ((signed_record(MENTOR, OLD),), BOTH, State.WARN, "1 would not count if another key"),
            (
                (signed_record(MENTOR, OLD),),
                KEYS,
                State.FAIL,
                "1 are signed by unknown keys and do not count",
            ),
            ((signed_record(MENTOR, OLD),), KEYS, State.FAIL, OLD.ids[0]),
            ((signed_record(MENTOR, NO_KEYS),), KEYS, State.WARN, "1 have no valid signature"),
            ((signed_record(MENTOR, NO_KEYS),), NO_KEYS, State.OK, "1 known"),
            ((signed_record(MENTOR, OLD),), NO_KEYS, State.WARN, "no keys here"),
        ],
    )
    def test_what_the_keys_do_not_prove_is_told(
        self, records: tuple[Record, ...], keys: SigningKeys, state: State, says: str
    ) -> None:
        """It warns before a key is removed, and fails after it was removed too early."""
        (finding,) = signature_findings(of(*records, keys=keys), keys)

        assert (state, True) == (finding.state, says in finding.detail)

    def test_ids_that_a_stranger_invents_are_not_all_printed(self) -> None:
        """Five are named."""
        assert "0, 1, 2, 3, 4 and 95 more" == key_ids([str(number) for number in range(100)])


class TestCommand:
    """What `suppressions sign` prints."""

    @pytest.fixture(autouse=True)
    def _read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def read(_settings: object) -> Signatures:
            return of(signed_record(MENTOR, OLD), signed_record(OTHER, LOST), signed_record("mentor-044", KEYS))

        monkeypatch.setattr(sign, "read_signatures", read)

    def test_it_says_what_is_signed_and_which_keys_are_unknown(self, command: Callable[..., Result]) -> None:
        """What no key proves is left, so the exit code is 1."""
        keys = {env_name("signing_keys_file"): str(keys_file())}
        result = command("suppressions", "sign", "--dry-run", **keys)

        assert 1 == result.exit_code
        assert (
            "     1  signed by the first key\n     1  to be signed again with it\n"
            f"     1  of unknown keys, which do not count: {LOST.ids[0]}\n"
        ) == result.stdout
        assert {"dry_run": True, "signed": 1, "dropped": 0, "unknown": {LOST.ids[0]: 1}} == json.loads(
            command("suppressions", "sign", "--dry-run", "--json", **keys).stdout
        )

    def test_what_is_dropped_is_left_no_more(self, command: Callable[..., Result]) -> None:
        """So the exit code is 0."""
        keys = {env_name("signing_keys_file"): str(keys_file())}
        result = command("suppressions", "sign", "--dry-run", "--drop-unproven", **keys)

        assert (0, True) == (result.exit_code, "     1  that no key proves: to be dropped\n" in result.stdout)

    def test_without_a_key_it_refuses(self, command: Callable[..., Result]) -> None:
        """There is nothing to sign with."""
        result = command("suppressions", "sign")

        assert (2, True) == (result.exit_code, env_name("signing_keys_file") in result.stderr)
