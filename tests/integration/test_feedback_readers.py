"""The readers of feedback against a real Kafka: the facade and the operator's command."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from deploy.support.connections import publisher
from runtime.environment import read_settings
from runtime.kafka.records import Place
from runtime.settings import CommandSettings, ServiceSettings, env_name
from schemas.cloudevents import decode
from schemas.dispatch import Dispatch, Origin, Recipient, Status, dispatch_json
from schemas.events import Role
from schemas.feedback import Feedback
from schemas.signatures import NO_KEYS, SigningKeys
from service.app import facade
from tests.feedback import a_report, as_record
from tests.integration.test_command import NOW, Operator
from tests.kafka import Kafka
from tests.signing import KEYS
from tests.waiting import until

QUEUE = "https://sqs.eu-central-1.amazonaws.com/111122223333/ses-events"
COMPLAINED = {"state": "complained", "at": "2026-03-26T08:31:00Z", "detail": "abuse"}
DELIVERED = {"state": "delivered", "at": "2026-03-26T08:31:00Z"}
UNCONFIRMED = {"state": "unconfirmed", "at": "2026-03-26T08:30:00Z"}

Signed = tuple[Feedback, SigningKeys]


def genuine(dispatch_id: str) -> list[Signed]:
    """Return signed reports, each twice: the mentor complained in the end, the coordinator's e-mail arrived."""
    about = {"dispatch_id": dispatch_id}
    mentor = [a_report(kind, **about) for kind in ("send", "delivery_delay", "bounce")]
    coordinator = {**about, "recipient": "coordinator-007", "message_id": "msg-00941"}
    reports = [
        *mentor,
        a_report("complaint", type="abuse", **about),
        *(a_report(kind, **coordinator) for kind in ("send", "delivery")),
    ]
    return [(report, KEYS) for report in reports * 2]


def forged(dispatch_id: str) -> list[Signed]:
    """Return reports that do not count: unsigned, about another e-mail, or about another dispatch."""
    coordinator = {"recipient": "coordinator-007", "message_id": "msg-00941"}
    return [
        (a_report("complaint", dispatch_id=dispatch_id, **coordinator), NO_KEYS),
        (a_report("bounce", dispatch_id=dispatch_id, **{**coordinator, "message_id": "msg-earlier"}), KEYS),
        (a_report("bounce", dispatch_id="f" * 32, **coordinator), KEYS),
    ]


class Stage:
    """An event in a namespace of its own, and those who read what became of its e-mails."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        operator.create_topics()
        printed = operator.run("events", "publish", "pause-lifted", "--mentor", "mentor-042").stdout
        self.dispatch_id, self.at = printed.split()
        (event,) = operator.records(operator.topics.named("mentor.pauses.v1"))
        self.origin: Origin = event.origin
        self.digest = decode(event.headers, event.value).digest

    def publish_feedback(self, reports: Sequence[Signed]) -> None:
        """Write the records of these reports, in this order."""
        place = Place(self.operator.topics.feedback, self.origin.partition)

        async def work(settings: CommandSettings) -> None:
            async with publisher(settings, to=[place.topic]) as publishing:
                for report, keys in reports:
                    await publishing.publish(*place, **as_record(place.topic, report, keys))

        self.operator.ask(work)

    def publish_dispatch(self) -> None:
        """Write that the e-mails to mentor, coordinator and a third contact were sent in March."""
        sent: dict[str, Any] = {"status": Status.SENT, "at": NOW, "send": 1}
        dispatch = Dispatch(
            dispatch_id=self.dispatch_id,
            event_type="mentor.pause.lifted.v1",
            mentor_id="mentor-042",
            digest=self.digest,
            origin=self.origin,
            recipients=(
                Recipient(contact_id="mentor-042", role=Role.MENTOR, message_id="msg-00940", **sent),
                Recipient(contact_id="coordinator-007", role=Role.COORDINATOR, message_id="msg-00941", **sent),
                Recipient(contact_id="coordinator-008", role=Role.COORDINATOR, message_id="msg-00942", **sent),
            ),
        )
        place = Place(self.operator.topics.dispatches, self.origin.partition)
        self.operator.publish(place, self.dispatch_id.encode(), dispatch_json(dispatch))

    def shown(self, *how: str) -> list[Any]:
        """Return what the command prints of each recipient's feedback as JSON."""
        result = self.operator.run("dispatches", "show", self.dispatch_id, "--json", *how)
        assert (0, "") == (result.exit_code, result.stderr)
        return [one["feedback"] for one in json.loads(result.stdout)["recipients"]]

    def answered(self) -> list[Any]:
        """Return each recipient's feedback in the answer of a facade that was started after everything was written."""

        async def ask() -> httpx.Response:
            settings = read_settings(ServiceSettings, self.operator.environ)
            async with facade(settings) as built:
                await until(lambda: built.ready().ok, what="the facade to be ready")
                transport = httpx.ASGITransport(built.app)
                async with httpx.AsyncClient(transport=transport, base_url="http://facade") as client:
                    path = f"/api/v1/pause-notifications/dispatches/{self.dispatch_id}"
                    return await client.get(path, params={"at": self.at})

        answer = asyncio.run(ask())
        assert 200 == answer.status_code
        return [one.get("feedback") for one in answer.json()["notifications_dispatched"]]


@pytest.fixture(name="stage")
def _stage(kafka: Kafka, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a stage with signing keys and a queue of SES's events."""
    monkeypatch.delenv(env_name("kafka_bootstrap_servers"), raising=False)
    operator = Operator(kafka.bootstrap_servers, namespace)
    operator.environ[env_name("ses_events_queue_url")] = QUEUE
    return Stage(operator)


@pytest.mark.parametrize("seed", [1, 2])
def test_both_readers_show_the_same_of_shuffled_doubled_and_forged_feedback(stage: Stage, seed: int) -> None:
    """The most severe genuine report counts, also if it came before the dispatch's record."""
    reports = genuine(stage.dispatch_id) + forged(stage.dispatch_id)
    random.Random(seed).shuffle(reports)
    half = len(reports) // 2

    stage.publish_feedback(reports[:half])
    stage.publish_dispatch()
    stage.publish_feedback(reports[half:])

    expected = [COMPLAINED, DELIVERED, UNCONFIRMED]
    assert [expected] * 3 == [stage.shown(), stage.shown("--at", stage.at), stage.answered()]


def test_the_command_prints_it_in_a_table(stage: Stage) -> None:
    """The last column has state, detail and time."""
    stage.publish_dispatch()
    stage.publish_feedback([(a_report("bounce", dispatch_id=stage.dispatch_id), KEYS)])

    result = stage.operator.run("dispatches", "show", stage.dispatch_id)

    cells = [line.split("\t")[-1] for line in result.stdout.splitlines() if "\t" in line]
    unconfirmed = "unconfirmed, 2026-03-26T08:30:00Z"
    assert ["feedback", "bounced (Permanent/NoEmail), 2026-03-26T08:31:00Z", unconfirmed, unconfirmed] == cells


def test_feedback_of_others_in_the_partition_is_passed_over(stage: Stage) -> None:
    """A partition holds the feedback of very many dispatches, in batches of many records."""
    others = [(a_report("send", dispatch_id=f"{number:032x}"), KEYS) for number in range(300)]
    stage.publish_dispatch()
    stage.publish_feedback([*others, *genuine(stage.dispatch_id), *others])

    expected = [COMPLAINED, DELIVERED, UNCONFIRMED]
    assert [expected] * 2 == [stage.shown("--at", stage.at), stage.answered()]
