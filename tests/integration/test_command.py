"""The operator's command against a real Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka.admin import NewTopic
from typer.testing import CliRunner, Result

from deploy.command.app import app
from deploy.support.connections import admin_client, publisher
from deploy.support.scanning import whole_topics
from runtime.environment import read_settings
from runtime.kafka.descriptions import describe_topics
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.settings import CommandSettings, env_name
from schemas.cloudevents import decode
from schemas.contacts import parse_contact
from schemas.dead_letters import DeadLetter, DeadLetterReason, to_record
from schemas.dispatch import Dispatch, Origin, Recipient, Status, dispatch_json
from schemas.events import Role
from schemas.placement import partition_for
from tests.kafka import Kafka
from tests.signing import keys_file
from tests.waiting import until

T = TypeVar("T")

PARTITIONS = 3
NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


class Operator:
    """Run the command in one namespace, and read what it wrote to Kafka."""

    def __init__(self, bootstrap_servers: str, namespace: str) -> None:
        self.environ = {
            env_name("kafka_bootstrap_servers"): bootstrap_servers,
            env_name("namespace"): namespace,
            env_name("signing_keys_file"): str(keys_file()),
        }
        self.topics = Topics(namespace)

    def run(self, *arguments: str) -> Result:
        """Run the command with these arguments."""
        return CliRunner().invoke(app, list(arguments), env=self.environ, prog_name="pause-notifications")

    def create_topics(self) -> None:
        """Create the topics, with few partitions."""
        assert 0 == self.run("topics", "create", "--partitions", str(PARTITIONS)).exit_code

    def ask(self, work: Callable[[CommandSettings], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with the command's settings."""
        return asyncio.run(work(read_settings(CommandSettings, self.environ)))

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic."""

        async def work(settings: CommandSettings) -> list[Record]:
            async with whole_topics(settings, topic) as records:
                return [record async for record in records]

        return self.ask(work)

    def publish(self, place: Place, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        """Write one record."""

        async def work(settings: CommandSettings) -> None:
            async with publisher(settings, to=[place.topic]) as publishing:
                await publishing.publish(place.topic, place.partition, key=key, value=value, headers=headers)

        self.ask(work)


@pytest.fixture(name="operator")
def _operator(kafka: Kafka, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Return an operator with its own namespace."""
    monkeypatch.delenv(env_name("kafka_bootstrap_servers"), raising=False)
    return Operator(kafka.bootstrap_servers, namespace)


def a_dispatch(dispatch_id: str, origin: Origin, status: Status) -> Dispatch:
    """Make a dispatch about mentor-042 with one recipient."""
    return Dispatch(
        dispatch_id=dispatch_id,
        event_type="mentor.pause.lifted.v1",
        mentor_id="mentor-042",
        digest="d",
        origin=origin,
        recipients=(
            Recipient(contact_id="mentor-042", role=Role.MENTOR, status=status, message_id="msg-1", at=NOW, send=1),
        ),
    )


def publish_dispatch(operator: Operator, *statuses: Status) -> tuple[str, str]:
    """Publish an event, and a record of its dispatch for each status; return the dispatch's id and the position."""
    operator.create_topics()
    dispatch_id, at = operator.run("events", "publish", "pause-lifted", "--mentor", "mentor-042").stdout.split()
    (event,) = operator.records(operator.topics.named("mentor.pauses.v1"))
    for status in statuses:
        value = dispatch_json(a_dispatch(dispatch_id, event.origin, status))
        operator.publish(Place(operator.topics.dispatches, event.partition), dispatch_id.encode(), value)
    return dispatch_id, at


def test_topics_are_created_once(operator: Operator) -> None:
    """The command lists the created topics; the second time all are present, and nothing fails."""
    first = operator.run("topics", "create", "--partitions", str(PARTITIONS))
    second = operator.run("topics", "create")

    fit = f"fit: events, dispatches and feedback have {PARTITIONS} partitions each"
    assert [*(f"created  {name}" for name in operator.topics.all), fit] == first.stdout.splitlines()
    assert [*(f"present  {name}" for name in operator.topics.all), fit] == second.stdout.splitlines()


def test_differences_of_topics_are_printed_and_not_changed(operator: Operator) -> None:
    """For existing topics the command prints what differs from new ones, and how to fix it."""
    contacts = operator.topics.contacts

    async def make(settings: CommandSettings) -> None:
        async with admin_client(settings) as admin:
            configs = {"cleanup.policy": "compact", "segment.ms": "3600000"}
            made = await admin.create_topics([NewTopic(contacts, 2, 1, topic_configs=configs)])
            assert [0] == [code for _, code, _ in made.topic_errors]

            async def is_known() -> bool:
                return not (await describe_topics(admin, [contacts]))[contacts].missing

            await until(is_known, what="the topic to be known to the broker")

    operator.ask(make)

    result = operator.run("topics", "create", "--partitions", "4", "--replication-factor", "1")

    assert (0, "") == (result.exit_code, result.stderr)
    differs = [line for line in result.stdout.splitlines() if line.startswith("differs")]
    assert [
        f"differs  {contacts}: has 2 partitions, not 4",
        f"differs  {contacts}: delete.retention.ms is 86400000, not 604800000",
        f"differs  {contacts}: max.compaction.lag.ms is 9223372036854775807, not 86400000",
    ] == sorted(differs, key=lambda line: (": has" not in line, line))
    assert f"--entity-name {contacts} --add-config max.compaction.lag.ms=86400000" in result.stdout
    assert f"present  {contacts}" in result.stdout


def test_missing_topics_are_named(operator: Operator) -> None:
    """Publishing without topics prints the command that creates them, and creates none."""
    result = operator.run("events", "publish", "pause-lifted", "--mentor", "mentor-042")

    assert 1 == result.exit_code
    assert "Run: pause-notifications topics create" in result.stderr


def test_contacts_are_loaded_and_forgotten(operator: Operator, tmp_path: Path) -> None:
    """Contacts are published under their id into murmur2's partition; forgetting one publishes a null value."""
    operator.create_topics()
    ids = [f"mentor-{number:03}" for number in range(300)]
    file = tmp_path / "contacts.jsonl"
    file.write_text("".join(json.dumps({"id": name, "role": "mentor"}) + "\n" for name in ids), encoding="utf-8")

    loaded = operator.run("contacts", "load", str(file))
    forgotten = operator.run("contacts", "forget", "mentor-042")

    records = operator.records(operator.topics.contacts)
    nulls = [record for record in records if record.value is None]
    contacts = [parse_contact(record.value, key=(record.key or b"").decode()) for record in records if record.value]
    assert ("300 contacts published\n", "mentor-042 forgotten") == (loaded.stdout, forgotten.stdout.splitlines()[0])
    assert "gone from Kafka within two days" in forgotten.stdout
    assert ids == sorted(contact.id for contact in contacts)
    assert [(b"mentor-042", partition_for("mentor-042", PARTITIONS))] == [(r.key, r.partition) for r in nulls]
    assert [] == [r.key for r in records if r.partition != partition_for((r.key or b"").decode(), PARTITIONS)]


def test_contacts_are_listed_with_their_problems(operator: Operator, tmp_path: Path) -> None:
    """The list has each contact as the replicas know it, and what is wrong with it; addresses only if asked for."""
    operator.create_topics()
    file = tmp_path / "contacts.jsonl"
    file.write_text(
        '{"id":"c-7","role":"coordinator","email":"c@acme.eu"}\n'
        '{"id":"mentor-1","role":"mentor","email":"amara@acme.eu","coordinator_id":"c-7"}\n'
        '{"id":"mentor-3","role":"mentor","email":"zoe@acme.eu","coordinator_id":"c-8"}\n',
        encoding="utf-8",
    )
    operator.run("contacts", "load", str(file))
    place = Place(operator.topics.contacts, partition_for("mentor-2", PARTITIONS))
    operator.publish(place, b"mentor-2", b'{"id":"mentor-2","role":"mentor","email":"at home"}')

    plain, problems, of_coordinator = (
        [json.loads(line) for line in operator.run("contacts", "list", "--json", *more).stdout.splitlines()]
        for more in ([], ["--problems"], ["--coordinator", "c-7", "--addresses"])
    )

    assert ["c-7", "mentor-1", "mentor-2", "mentor-3"] == [one["id"] for one in plain]
    assert all("email" not in one for one in plain)
    assert {
        "mentor-2": "no e-mail: email must be an e-mail address",
        "mentor-3": "its coordinator is no contact",
    } == {one["id"]: one["problem"] for one in problems}
    assert ["amara@acme.eu"] == [one["email"] for one in of_coordinator]


def test_one_contact_is_shown(operator: Operator, tmp_path: Path) -> None:
    """A contact is shown by its id; an unknown id is a failure that names the list."""
    operator.create_topics()
    file = tmp_path / "contacts.jsonl"
    file.write_text(
        '{"id":"mentor-1","role":"mentor","email":"amara@acme.eu","coordinator_id":"c-8"}\n', encoding="utf-8"
    )
    operator.run("contacts", "load", str(file))

    shown = operator.run("contacts", "show", "mentor-1", "--addresses")
    unknown = operator.run("contacts", "show", "mentor-2")

    assert "email          amara@acme.eu" in shown.stdout.splitlines()
    assert "problem        its coordinator is no contact" in shown.stdout.splitlines()
    assert (1, True) == (unknown.exit_code, "mentor-2 is not known" in unknown.stderr)


def test_dispatches_of_a_mentor_are_listed(operator: Operator) -> None:
    """The dispatches of one mentor are listed, each once and as the fold of its records."""
    dispatch_id, _ = publish_dispatch(operator, Status.SENT, Status.SENDING)

    listed = operator.run("dispatches", "list", "--mentor", "mentor-042", "--since", "2026-01-01T00:00:00Z")
    other = operator.run("dispatches", "list", "--mentor", "mentor-1")

    (_, row) = listed.stdout.splitlines()
    assert [dispatch_id, "all"] == [row.split("\t")[0], row.split("\t")[-1]]
    assert "no dispatches\n" == other.stdout


@pytest.mark.parametrize("mode", [[], ["--structured"]], ids=["binary", "structured"])
def test_event_is_published_like_a_producer_does(operator: Operator, mode: list[str]) -> None:
    """An event is at the printed position, with the mentor's key, and can be decoded as the same event."""
    operator.create_topics()

    result = operator.run(
        *("events", "publish", "cert-expiry-reminder", "--mentor", "mentor-042", "--days-remaining", "14"), *mode
    )

    (record,) = operator.records(operator.topics.named("mentor.certifications.v1"))
    event = decode(record.headers, record.value)
    assert f"{event.dispatch_id} {record.topic}-{record.partition}-{record.offset}\n" == result.stdout
    assert (b"mentor-042", partition_for("mentor-042", PARTITIONS)) == (record.key, record.partition)
    assert {"mentor_id": "mentor-042", "days_remaining": 14} == event.data.model_dump()


@pytest.mark.parametrize(("id_option", "dispatches"), [([], 3), (["--id", "same"], 1)])
def test_event_is_published_several_times(operator: Operator, id_option: list[str], dispatches: int) -> None:
    """With --times there are that many events; with an id as well, the same event that many times."""
    operator.create_topics()

    result = operator.run(
        *("events", "publish", "pause-lifted", "--mentor", "mentor-042", "--times", "3", "--json"), *id_option
    )

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (3, dispatches) == (len({line["at"] for line in lines}), len({line["dispatch_id"] for line in lines}))


def test_dispatch_is_folded_and_shown(operator: Operator) -> None:
    """The fold of its records is shown, whether it is found by the position of its event or by a search."""
    dispatch_id, at = publish_dispatch(operator, Status.SENT, Status.SENDING)

    for how in (["--at", at, "--wait", "10"], []):
        result = operator.run("dispatches", "show", dispatch_id, "--json", *how)

        assert (0, "sent") == (result.exit_code, json.loads(result.stdout)["recipients"][0]["status"])


def test_dispatch_is_waited_for(operator: Operator) -> None:
    """A dispatch that does not become final in time is shown as it is, and the command fails."""
    dispatch_id, at = publish_dispatch(operator, Status.SENDING)

    result = operator.run("dispatches", "show", dispatch_id, "--at", at, "--wait", "0.2")

    assert (1, "Error: not final after 0.2 s\n") == (result.exit_code, result.stderr)
    assert "sent to   nobody yet (the rest: sending)" in result.stdout.splitlines()


@pytest.mark.parametrize("by_position", [False, True])
def test_an_event_that_waits_is_shown(operator: Operator, *, by_position: bool) -> None:
    """Before its dispatch is written, an accepted event is shown with what keeps it, and is no failure."""
    dispatch_id, at = publish_dispatch(operator)
    operator.run("sending", "stop", "--reason", "wrong text", "--by", "amara")
    where = ["--at", at] if by_position else []

    shown = operator.run("dispatches", "show", dispatch_id, *where)
    waited_for = operator.run("dispatches", "show", dispatch_id, *where, "--wait", "0.2", "--json")

    assert (0, "") == (shown.exit_code, shown.stderr)
    assert "sent to   nobody yet" in shown.stdout.splitlines()
    assert "because   nothing is sent, by amara since " in shown.stdout
    assert (1, "Error: not final after 0.2 s\n") == (waited_for.exit_code, waited_for.stderr)
    assert [] == json.loads(waited_for.stdout)["recipients"]


def test_an_event_that_waits_is_listed(operator: Operator) -> None:
    """Before its dispatch is written, an accepted event is in the list of its mentor, and of no other one."""
    dispatch_id, at = publish_dispatch(operator)

    listed = operator.run("dispatches", "list", "--mentor", "mentor-042")
    other = operator.run("dispatches", "list", "--mentor", "mentor-1")

    (_, row) = listed.stdout.splitlines()
    assert [dispatch_id, at, "nobody yet"] == [row.split("\t")[number] for number in (0, 2, -1)]
    assert "no dispatches\n" == other.stdout


def test_unknown_dispatch_is_a_failure(operator: Operator) -> None:
    """The error for an unknown dispatch has the searched time; the position of another dispatch is an error, too."""
    operator.create_topics()
    dispatch_id, at = operator.run("events", "publish", "pause-lifted", "--mentor", "mentor-042").stdout.split()

    everywhere = operator.run("dispatches", "show", "0" * 32)
    elsewhere = operator.run("dispatches", "show", "0" * 32, "--at", at)

    assert (1, True) == (everywhere.exit_code, f"no dispatch {'0' * 32} since 24h" in everywhere.stderr)
    assert (1, f"Error: the event at {at} belongs to another dispatch: {dispatch_id}\n") == (
        elsewhere.exit_code,
        elsewhere.stderr,
    )


def publish_letters(operator: Operator, *reasons: DeadLetterReason) -> tuple[Origin, Dispatch]:
    """Publish dead letters of one event about mentor-042, one for each reason."""
    origin = Origin(topic=operator.topics.named("mentor.pauses.v1"), partition=1, offset=7, appended_at=NOW)
    dispatch = a_dispatch("d" * 32, origin, Status.FAILED)
    for reason in reasons:
        letter = DeadLetter(
            reason, origin, b"mentor-042", b'{"mentor_id":"mentor-042"}', [("ce_id", b"1")], "", dispatch
        )
        operator.publish(Place(operator.topics.dead_letters, 1), *to_record(letter))
    return origin, dispatch


def test_dead_letters_are_counted_and_shown(operator: Operator) -> None:
    """Dead letters are counted and listed; one is shown in full, by its position, its origin's, or its dispatch."""
    operator.create_topics()
    failed, unknown_mentor = DeadLetterReason.FAILED, DeadLetterReason.UNKNOWN_MENTOR
    origin, dispatch = publish_letters(operator, failed, failed, unknown_mentor)

    counted = operator.run("dead-letters", "list").stdout.splitlines()
    one_by_one = operator.run("dead-letters", "list", "--reason", "failed", "--letters", "--json")
    place = f"{operator.topics.dead_letters}-1-2"

    by_reason = ["count\treason", "2\tfailed", "1\tunknown_mentor", ""]
    assert [*by_reason, "count\tage", "3\tunder 1h", "", "count\tmentor", "3\tmentor-042", ""] == counted[:10]
    assert 4 == len(counted[10:])
    assert [f"{operator.topics.dead_letters}-1-{n}" for n in (0, 1)] == [
        json.loads(line)["at"] for line in one_by_one.stdout.splitlines()
    ]
    for which, many in ((place, 1), (f"{origin.topic}-1-7", 3), (dispatch.dispatch_id, 3)):
        shown = operator.run("dead-letters", "show", which).stdout
        assert many == shown.count("dead letter  ")
        assert 'value        {"mentor_id":"mentor-042"}' in shown
        assert "  dispatch  " + dispatch.dispatch_id in shown


def test_dead_letters_are_counted_for_scripts(operator: Operator) -> None:
    """The counts in JSON are one line; only the selected letters are counted."""
    operator.create_topics()
    publish_letters(operator, DeadLetterReason.FAILED, DeadLetterReason.UNKNOWN)
    ages = {"under 1h": 2, "1h to 24h": 0, "1d to 7d": 0, "over 7d": 0}

    everything = operator.run("dead-letters", "list", "--json")
    nothing = [
        operator.run("dead-letters", "list", "--json", option, value).stdout
        for option, value in (("--mentor", "mentor-001"), ("--until", "1h"), ("--source", "/other"))
    ]

    expected = {"count": 2, "reasons": {"failed": 1, "unknown": 1}, "ages": ages, "mentors": {"mentor-042": 2}}
    assert expected == json.loads(everything.stdout)
    assert [0, 0, 0] == [json.loads(line)["count"] for line in nothing]


def test_a_record_that_is_not_a_dead_letter_is_reported(operator: Operator) -> None:
    """A record of another producer is not shown as a dead letter, but reported."""
    operator.create_topics()
    operator.publish(Place(operator.topics.dead_letters, 1), b"key", b"value", [("pn_reason", b"failed")])

    listed = operator.run("dead-letters", "list")

    assert "no dead letters\n" == listed.stdout
    assert f"1 in all, the first at {operator.topics.dead_letters}-1-0" in listed.stderr


def test_no_dead_letters(operator: Operator) -> None:
    """Without dead letters the list says so, a replay does nothing, and showing or replaying one by id fails."""
    operator.create_topics()

    assert ("no dead letters\n", "", "no dead letters\n") == (
        operator.run("dead-letters", "list").stdout,
        operator.run("dead-letters", "list", "--letters", "--json").stdout,
        operator.run("dead-letters", "replay", "--yes").stdout,
    )
    assert 1 == operator.run("dead-letters", "show", "0" * 32).exit_code
    assert 1 == operator.run("dead-letters", "replay", "--dry-run", "--id", "0" * 32).exit_code
