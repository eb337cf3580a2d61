"""A broker as in production: SCRAM-SHA-512 over TLS, and ACLs for every user, which a test can change."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from deploy.local.kafka.cluster import Secured
from runtime.kafka.connection import connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.rights import Missing, Needs
from tests.certificates import Authority
from tests.kafka import embedded, or_explain

USER = "pause-notifications"
PASSWORD = "of-the-tests"  # noqa: S105 - of a broker that lives for one run

_RESOURCES = {"topic": 2, "group": 3}
_LITERAL = 3
_ALLOW = 3

Granted = Missing
"""A right, whether it is granted or missing."""


@dataclass(frozen=True)
class SecuredKafka:
    """A broker with ACLs, and its two listeners."""

    bootstrap_servers: str
    """The listener of super users, who may do everything."""
    address: str
    """The listener of all other users."""
    root: Path
    """The certificate to trust."""

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings with which a program connects as the user."""
        return {
            "kafka_bootstrap_servers": self.address,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ssl_cafile": self.root,
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments with which a client connects as the user."""
        return {
            "bootstrap_servers": self.address,
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=self.root),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": USER,
            "sasl_plain_password": PASSWORD,
        }


@pytest.fixture(scope="session", name="secured_kafka")
def _secured_kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Yield one broker with ACLs for the whole session; each test grants what it needs in a namespace of its own."""
    directory = tmp_path_factory.mktemp("secured-kafka")
    authority = Authority(directory)
    keystore = authority.issue("broker", "IP:127.0.0.1").both
    secured = Secured(keystore, {USER: PASSWORD})
    with or_explain(pytestconfig, embedded(directory / "data", secured=secured, patient=True)) as cluster:
        door = cluster.brokers[0].secure_door
        assert door is not None
        yield SecuredKafka(cluster.bootstrap_servers, door.address, authority.root)


def all_of(needs: Needs) -> list[Granted]:
    """Return every right that *needs* names, one by one."""
    rights = [Granted(right, "topic", name) for name, needed in needs.topics.items() for right in sorted(needed)]
    return rights + ([Granted(Right.READ, "group", needs.group)] if needs.group else [])


class Acls:
    """The ACLs of the user."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def grant(self, rights: Iterable[Granted]) -> None:
        """Grant rights."""
        for right in rights:
            answer = await self._admin._send_request(CreateAclsRequest(*_acl(right)))
            assert [0] == [code for code, _ in answer.creation_responses]

    async def take_away(self, right: Granted) -> None:
        """Take one right away."""
        answer = await self._admin._send_request(DeleteAclsRequest(*_acl(right)))
        ((code, _, deleted),) = answer.filter_responses
        assert 0 == code
        assert 1 == len(deleted)


def _acl(right: Granted) -> tuple[int, str, int, str, str, int, int]:
    return _RESOURCES[right.kind], right.name, _LITERAL, f"User:{USER}", "*", int(right.right), _ALLOW


@asynccontextmanager
async def acls(kafka: SecuredKafka) -> AsyncIterator[Acls]:
    """Connect as a super user."""
    async with connected_admin({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        yield Acls(admin)
