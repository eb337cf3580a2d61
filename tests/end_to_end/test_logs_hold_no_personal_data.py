"""Invariant 8 for logs: they have no address, name or subject, whatever goes wrong.

Every stage looks through the logs of its programs when it ends (`tests.stage.open_stage`), so that the whole run is
searched; here the most talkative level meets all the trouble there is at once, and the search itself is tested.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deploy.local.ports import HOST, free_ports
from schemas.contacts import Contact
from schemas.events import PAUSES_TOPIC, Role
from tests.kafka import Kafka
from tests.stage import an_event, mentor, open_stage, personal_data_in

TROUBLE: list[dict[str, object]] = [
    {"throttle_share": 0.5, "seed": 1},
    {"error_share": 0.5, "seed": 1},
    {"accept_then_drop_share": 0.5, "seed": 1},
    {"refuse_all": "MessageRejected"},
    {"refuse_all": "BadRequestException"},
    {"sandbox": True},
]
"""The fault for every send of some events; the sandbox's answer has the recipient's address."""


async def test_no_failure_brings_personal_data_into_a_log(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """At level debug, through every kind of failure by REST and by Kafka, no program logs who a contact is."""
    (port,) = free_ports(1)
    async with (
        open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage,
        httpx.AsyncClient(
            base_url=f"http://{HOST}:{port}/api/v1/pause-notifications", trust_env=False, timeout=30
        ) as http,
    ):
        broken = b'{"id":"mentor-broken","role":"mentor","email":"Amara Diallo <mentor-042@example.org>"}'
        place = stage.place("mentor.contacts.v1", "mentor-broken")
        await stage.put_at(place, key=b"mentor-broken", value=broken)
        await stage.start(log_level="debug")
        await stage.start("service", http_port=port, log_level="debug")
        for number, faults in enumerate(TROUBLE):
            await stage.ses.set(**faults)
            events = [an_event(mentor_id=mentor(4 * number + one)) for one in range(4)]
            await stage.publish_all([*events, an_event(mentor_id="mentor-broken")])
            await http.post("/pause-lifted", json={"mentor_id": mentor(4 * number)}, headers={"Prefer": "wait=10"})
            await stage.all_ended(events)
        private = b'{"mentor_id":"mentor-042@example.org","expected_return_date":"Amara Diallo"'
        bad = await stage.put(PAUSES_TOPIC, "mentor-042", key=b"mentor-042", value=private)
        await http.post("/pause-activated", content=private)
        await http.post("/pause-activated", content=private + b"}")
        await stage.passed(bad)

    logs = [process.log.read_text() for process in stage.processes]
    assert [True, True] == ["dead_letter.written" in logs[0], '"facade.listening"' in logs[1]]
    assert ["mentor-broken"] == sorted(set(_invalid_contacts(logs[0])))


def _invalid_contacts(log: str) -> list[str]:
    return ["mentor-broken" for line in log.splitlines() if "contacts.invalid" in line and "mentor-broken" in line]


CONTACT = Contact(id="mentor-043", role=Role.MENTOR, email="mentor-043@example.org", name="Björn Åkesson")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sent to mentor-043 of dispatch 12", []),
        ("sent to MENTOR-043@example.org", ["mentor-043@example.org"]),
        ('{"event": "sent", "name": "Björn Åkesson"}', ["Björn Åkesson"]),
        ('{"event": "sent", "name": "Bj\\u00f6rn \\u00c5kesson"}', ["Björn Åkesson"]),
        ('{"event": "sent", "subject": "Your pause"}', ["Your pause"]),
    ],
    ids=["id", "address", "name", "escaped name", "subject"],
)
def test_the_search_finds_personal_data(line: str, found: list[str]) -> None:
    """The search finds addresses, names and subjects, in any case and as JSON escapes them, and no ids."""
    assert found == personal_data_in(line, [CONTACT], {"Your pause"})
