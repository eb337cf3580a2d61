"""Set, list and lift controls, with their topic in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import Result

from deploy.command.controls import cancel as cancel_command
from deploy.command.controls import stored
from deploy.command.controls.browse import control_findings
from deploy.command.controls.cancel import Matches
from deploy.command.controls.change import beside
from deploy.command.controls.stored import Stored
from runtime.kafka.publisher import Published
from runtime.kafka.records import Place, Record
from runtime.settings import env_name
from schemas.cloudevents import encode_binary
from schemas.controls import CONTROLS_TOPIC, Control, ControlKind, control_json
from schemas.signatures import NO_KEYS, SigningKeys
from schemas.times import format_seconds
from tests.fakes.kafka_log import FakeLog
from tests.fakes.publisher import FakePublisher
from tests.signing import KEYS, keys_file
from tests.unit.consumers.stage import event_of
from tests.unit.schemas.test_controls import NOW, cancel, control

PLACE = Place(CONTROLS_TOPIC, 0)
WHY = ("--reason", "wrong text", "--by", "amara")
SIGNED = {env_name("signing_keys_file"): str(keys_file())}
EACH = [
    (("sending", "stop", *WHY), b"sending_stopped", ("sending", "start")),
    (("sources", "hold", "/hr", *WHY), b"source_held:/hr", ("sources", "release", "/hr")),
    (("log-level", "set", "debug", "--for", "30m", *WHY), b"log_level", ("log-level", "reset")),
]


class BrokersClock(FakePublisher):
    """A publisher whose broker's clock is ahead of ours."""

    ahead = timedelta()

    async def publish(self, *place: Any, **record: Any) -> Published:
        """Write a record; the broker dates it."""
        published = await super().publish(*place, **record)
        return Published(published.topic, published.partition, published.offset, datetime.now(UTC) + self.ahead)


class Topic:
    """The topic in memory, and the command that works on it."""

    def __init__(self, command: Callable[..., Result]) -> None:
        self.command = command
        self.log = FakeLog()
        self.publisher = BrokersClock(self.log)

    async def read(self, _settings: object) -> Stored:
        """Read the topic."""
        return self.stored

    @property
    def stored(self) -> Stored:
        """Return what the topic holds."""
        found = Stored(KEYS)
        for record in self.log.records.get(PLACE, []):
            found.add(record)
        return found

    @asynccontextmanager
    async def writing(self, _settings: object, *, to: object) -> AsyncIterator[FakePublisher]:
        """Yield a publisher."""
        assert [CONTROLS_TOPIC] == to
        yield self.publisher

    def run(self, *arguments: str, **environ: str) -> Result:
        """Run the command with the signing keys."""
        return self.command(*arguments, **{**SIGNED, **environ})


@pytest.fixture(name="topic")
def _topic(command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic(command)
    monkeypatch.setattr(stored, "stored_controls", topic.read)
    monkeypatch.setattr(stored, "publisher", topic.writing)
    return topic


@pytest.mark.parametrize(("arguments", "key", "twin"), EACH, ids=[one[1].decode() for one in EACH])
def test_a_control_is_put_in_force_and_lifted(
    topic: Topic, arguments: tuple[str, ...], key: bytes, twin: tuple[str, ...]
) -> None:
    """It says who, when and why; its twin lifts it once, and what is listed names the twin."""
    assert (0, "") == ((result := topic.run(*arguments)).exit_code, result.stderr)
    (found,) = topic.stored.in_force()
    assert (key, "amara", "wrong text") == (found.key, found.by, found.reason)
    assert abs(found.at - datetime.now(UTC)) < timedelta(minutes=1)
    (listed,) = map(json.loads, topic.run("controls", "--json").stdout.splitlines())
    assert ("amara", " ".join(("pause-notifications", *twin))) == (listed["by"], listed["undo"])

    assert "lifted" in topic.run(*twin, "--by", "jonas").stdout
    assert "nothing to lift" in topic.run(*twin).stdout
    assert "no controls are in force\n" == topic.run("controls").stdout
    assert 2 == len(topic.log.records[PLACE])


@pytest.mark.parametrize(("arguments", "key", "twin"), EACH, ids=[one[1].decode() for one in EACH])
def test_what_is_put_in_force_twice(
    topic: Topic, arguments: tuple[str, ...], key: bytes, twin: tuple[str, ...]
) -> None:
    """The second says whose control it replaces, since when, and why that was; one that was lifted is not named."""
    first = topic.run(*arguments).stdout
    before = topic.stored.find(key)
    assert before is not None

    second = topic.run(*arguments[: arguments.index("--reason")], "--reason", "another", "--by", "jonas").stdout
    topic.run(*twin)
    third = topic.run(*arguments).stdout

    assert [False, True, False] == ["in place of: " in said for said in (first, second, third)]
    assert f"(by amara since {format_seconds(before.at)}: wrong text)\n" in second


def test_a_cancel_beside_another() -> None:
    """Each cancel of a source is named that a new one leaves in force: to undo one alone has no effect."""
    others = [cancel(id="0000000a"), cancel(id="0000000b", source="/it"), control()]

    assert ["0000000a"] == [one.id for one in beside(others, cancel(id="0000000c"))]


@pytest.mark.parametrize(
    "arguments",
    [
        ("sending", "stop"),
        ("sending", "stop", "--reason", " "),
        ("sending", "stop", "--reason", "x" * 257),
        ("sending", "stop", "--reason", "two\nlines"),
        ("sources", "hold", "", *WHY),
        ("sources", "hold", "x" * 513, *WHY),
        ("log-level", "set", "debug"),
        ("log-level", "set", "debug", "--for", "0m"),
        ("log-level", "set", "debug", "--for", "25h"),
        ("log-level", "set", "loud", "--for", "1h"),
        ("dispatches", "cancel", "--source", "/hr"),
        ("dispatches", "cancel", "--since", "1h"),
        ("dispatches", "cancel", "--source", "", "--since", "1h", *WHY),
        ("dispatches", "cancel", "--source", "/hr", "--since", "soon", *WHY),
        ("dispatches", "cancel", "--source", "/hr", "--since", "1h", "--type", "holiday", *WHY),
        ("dispatches", "cancel", "--source", "/hr", "--undo", "0123abcd"),
    ],
    ids=" ".join,
)
def test_wrong_usage_changes_nothing(topic: Topic, arguments: tuple[str, ...]) -> None:
    """It exits with 2."""
    assert 2 == topic.run(*arguments).exit_code
    assert [] == topic.log.records.get(PLACE, [])


def test_a_source_with_control_characters_can_be_held(topic: Topic) -> None:
    """Whatever source a hostile producer writes, its events can be held."""
    topic.run("sources", "hold", "/hr\x1b[2J", *WHY)

    assert ["/hr\x1b[2J"] == [control.source for control in topic.stored.in_force()]


def test_a_held_source_cannot_steer_the_terminal(topic: Topic) -> None:
    """What a stranger named is escaped when it is listed."""
    topic.run("sources", "hold", "/hr\x1b[2J", *WHY)

    assert "\x1b" not in topic.run("controls").stdout


class TestKeys:
    """Replicas that have keys leave out what is not signed."""

    @pytest.mark.usefixtures("topic")
    def test_an_unsigned_control_is_warned_of(self, command: Callable[..., Result]) -> None:
        """Where nothing is signed yet, nobody can tell what replicas have."""
        result = command("sending", "stop", *WHY)

        assert (0, True) == (result.exit_code, "not signed" in result.stderr)

    def test_a_signed_topic_is_not_changed_without_keys(self, topic: Topic, command: Callable[..., Result]) -> None:
        """A stop that stops nothing would be believed."""
        topic.run("sending", "stop", *WHY)
        result = command("sending", "start")

        assert (2, True) == (result.exit_code, "controls are signed" in result.stderr)
        assert 1 == len(topic.log.records[PLACE])


def test_a_control_is_dated_by_the_broker(topic: Topic) -> None:
    """If our clock differs it is written again: a cancel must end where the broker's events end."""
    topic.publisher.ahead = -timedelta(minutes=20)
    topic.run("sending", "stop", *WHY)

    first, second = topic.log.records[PLACE]
    assert first.key == second.key
    (found,) = topic.stored.in_force()
    assert timedelta(minutes=19) < datetime.now(UTC) - found.at < timedelta(minutes=21)


class TestCancel:
    """Events of one source are ended."""

    CHOSEN = ("dispatches", "cancel", "--source", "/hr", "--since", "2h")

    @pytest.fixture(autouse=True)
    def _events(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def count(_settings: object, wanted: Control) -> Matches:
            matches = Matches(replace(wanted, since=datetime.min.replace(tzinfo=UTC, year=2)))
            for number in range(3):
                matches.add(record_of(event_id=f"{number % 2}", source="/hr"))
            return matches

        monkeypatch.setattr(cancel_command, "_count", count)

    def test_a_dry_run_only_counts(self, topic: Topic) -> None:
        """The same event twice is one; nothing is written."""
        result = topic.run(*self.CHOSEN, "--dry-run", "--json")

        assert {"source": "/hr", "events": 2, "types": {"pause-activated": 2}} == json.loads(result.stdout)
        assert [] == topic.log.records.get(PLACE, [])

    def test_it_is_put_in_force_and_undone(self, topic: Topic) -> None:
        """It names source, type and span, and ends by itself after two weeks."""
        result = topic.run(*self.CHOSEN, "--type", "pause-activated", *WHY, "--yes")
        assert (0, "") == (result.exit_code, result.stderr)
        (found,) = topic.stored.in_force()
        assert (ControlKind.CANCEL, "/hr", "mentor.pause.activated.v1") == (found.kind, found.source, found.event_type)
        assert found.since is not None
        assert timedelta(hours=2) <= found.at - found.since < timedelta(hours=2, minutes=1)
        assert found.until is not None
        assert 13 <= (found.until - found.at).days <= 14

        assert 0 == topic.run("dispatches", "cancel", "--undo", found.id or "").exit_code
        assert () == topic.stored.in_force()

    def test_without_a_terminal_it_needs_a_yes(self, topic: Topic) -> None:
        """Else a script would wait for an answer."""
        assert 2 == topic.run(*self.CHOSEN, *WHY).exit_code
        assert [] == topic.log.records.get(PLACE, [])


def record_of(**fields: Any) -> Record:
    """Return the record of an event."""
    encoded = encode_binary(event_of(**fields))
    return Record(encoded.topic, 0, 0, encoded.key, encoded.value, tuple(encoded.headers), NOW, 1)


def test_only_what_a_cancel_concerns_is_counted() -> None:
    """By source, type and time; what is no event is not."""
    matches = Matches(cancel(source="/hr", event_type="mentor.pause.activated.v1"))
    matches.add(record_of(source="/hr"))
    matches.add(record_of(source="/it"))
    matches.add(record_of(name="pause-lifted", source="/hr", expected_return_date=None))
    matches.add(replace_value(record_of(source="/hr", event_id="2"), b"{"))

    assert {"pause-activated": 1} == matches.types


def replace_value(record: Record, value: bytes) -> Record:
    """Return the record with another value."""
    return Record(record.topic, 0, 0, record.key, value, record.headers, record.appended_at, 1)


class TestDoctor:
    """What the doctor says of the controls."""

    @staticmethod
    def findings(*records: tuple[SigningKeys, Control], unreadable: bool = False) -> list[tuple[str, str]]:
        """Return state and detail of what is found in a topic with these records."""
        found = Stored(KEYS)
        for keys, one in records:
            value = b"{" if unreadable else control_json(one)
            headers = keys.signed(CONTROLS_TOPIC, one.key, value, [])
            found.add(Record(CONTROLS_TOPIC, 0, 0, one.key, value, tuple(headers), NOW, 1))
        return [(one.state.value, one.detail) for one in control_findings(found)]

    def test_what_is_in_force_is_a_warning(self) -> None:
        """With who, when and why."""
        ((state, detail),) = self.findings((KEYS, control()))

        assert ("warn", "nothing is sent, by amara since 2026-03-26T08:30:00Z, until it is lifted: wrong text") == (
            state,
            detail,
        )

    def test_nothing_in_force_is_well(self) -> None:
        """Also after it was lifted, whoever signed that."""
        strangers = SigningKeys([bytes(range(101, 133))])
        assert ["ok"] == [state for state, _ in self.findings()]
        assert ["ok"] == [state for state, _ in self.findings((KEYS, control()), (KEYS, control(lifted=True)))]
        assert ["ok"] == [state for state, _ in self.findings((strangers, control(lifted=True)))]

    def test_a_control_whose_key_is_gone_fails(self) -> None:
        """It was in force, and is not since the key was removed."""
        strangers = SigningKeys([bytes(range(101, 133))])

        assert ["fail"] == [state for state, _ in self.findings((strangers, control()))]

    @pytest.mark.parametrize("unreadable", [False, True])
    def test_what_does_not_count_is_a_warning(self, *, unreadable: bool) -> None:
        """Somebody else writes to the topic."""
        assert ["warn"] == [state for state, _ in self.findings((NO_KEYS, control()), unreadable=unreadable)]
