"""The diagnosis when no broker answers: the cause, and the setting to look at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import SaslAuthenticationFailed, UnsupportedSaslMechanismError

from deploy.local.ports import free_ports
from runtime.kafka.diagnosis import diagnose, explained
from tests.certificates import Authority, Certificate

HOST = "127.0.0.1"


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a root certificate for this module."""
    return Authority(tmp_path_factory.mktemp("root"))


@asynccontextmanager
async def a_server(certificate: Certificate | None = None) -> AsyncIterator[int]:
    """Listen, with TLS if there is a *certificate*, and close every connection at the first byte; yield the port."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.certificate, certificate.key)
    server = await asyncio.start_server(close, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def arguments(port: int, *, host: str = HOST, root: Path | None = None) -> dict[str, Any]:
    """Return a client's arguments, with TLS if there is a *root* to trust."""
    plain = {"bootstrap_servers": f"{host}:{port}", "security_protocol": "PLAINTEXT", "metadata_max_age_ms": 1}
    if root is None:
        return plain
    return {**plain, "security_protocol": "SSL", "ssl_context": ssl.create_default_context(cafile=root)}


async def test_a_port_on_which_nothing_listens() -> None:
    """Each address is named, with its problem."""
    first, second = free_ports(2)
    servers = f"{HOST}:{first},{HOST}:{second}"

    found = await diagnose({**arguments(first), "bootstrap_servers": servers})

    assert f"{HOST}:{first}: nothing listens there; {HOST}:{second}: nothing listens there" == found


async def test_a_host_that_has_no_address() -> None:
    """The diagnosis names a host that cannot be resolved."""
    found = await diagnose(arguments(9092, host="no-such-host.invalid"))

    assert found.startswith("no-such-host.invalid:9092: the host name cannot be resolved")


@pytest.mark.parametrize(
    ("names", "ended", "trusted", "says"),
    [
        (["IP:127.0.0.1"], False, False, "unable to get local issuer certificate"),
        (["DNS:kafka.example.org"], False, True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        (["IP:127.0.0.1"], True, True, "certificate has expired"),
    ],
    ids=["wrong root", "wrong name", "expired"],
)
async def test_a_certificate_that_is_refused(
    authority: Authority, tmp_path: Path, names: list[str], *, ended: bool, trusted: bool, says: str
) -> None:
    """The diagnosis names the problem with the certificate, and the setting of trusted ones."""
    root = authority.root if trusted else Authority(tmp_path).root
    async with a_server(authority.issue(f"broker-{says[:5]}", *names, ended=ended)) as port:
        found = await diagnose(arguments(port, root=root))

    assert f"{HOST}:{port}: its certificate is refused: {says}" in found
    assert "PAUSE_NOTIFICATIONS_KAFKA_SSL_CAFILE" in found


async def test_a_port_that_speaks_something_else() -> None:
    """A peer that hangs up at the first byte probably speaks another protocol."""
    async with a_server() as port:
        found = await diagnose(arguments(port))

    assert f"{HOST}:{port}: the connection was closed by the other side; does that port speak PLAINTEXT" in found


async def test_a_port_that_never_answers() -> None:
    """A silent peer takes no longer than the deadline, and the diagnosis says that it is silent."""
    held: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(say_nothing, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await diagnose(arguments(port), deadline_seconds=0.1)
        for writer in held:
            writer.close()

    assert found.startswith(f"{HOST}:{port}: no answer in time")


@pytest.mark.parametrize(
    ("error", "says", "setting"),
    [
        (SaslAuthenticationFailed("invalid credentials"), "user or password is refused: invalid", "SASL_PASSWORD"),
        (UnsupportedSaslMechanismError(), "SASL mechanism PLAIN is not offered", "SASL_MECHANISM"),
    ],
)
def test_a_sign_in_that_is_refused(error: Exception, says: str, setting: str) -> None:
    """A wrong password and an unsupported mechanism are distinguished."""
    found = explained(error, {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"})

    assert says in found
    assert setting in found
