"""Client arguments from the settings, and stopping clients."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from runtime.kafka.connection import client_arguments, stop_client
from runtime.settings import CommandSettings


def test_plaintext_needs_nothing_more() -> None:
    """By default a client gets brokers and protocol, and neither TLS nor SASL."""
    arguments = client_arguments(CommandSettings())

    assert "127.0.0.1:9092" == arguments["bootstrap_servers"]
    assert "PLAINTEXT" == arguments["security_protocol"]
    assert not {"ssl_context", "sasl_mechanism"} & set(arguments)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize(("protocol", "tls"), [("SASL_PLAINTEXT", False), ("SASL_SSL", True)])
def test_sign_in(mechanism: str, protocol: str, *, tls: bool) -> None:
    """With SASL a client gets mechanism, user and password, and TLS if the protocol has it."""
    sign_in = {"kafka_sasl_username": "mailer", "kafka_sasl_password": "secret", "kafka_sasl_mechanism": mechanism}
    settings = CommandSettings.model_validate({"kafka_security_protocol": protocol, **sign_in})

    arguments = client_arguments(settings)

    given = (arguments["sasl_mechanism"], arguments["sasl_plain_username"], arguments["sasl_plain_password"])
    assert (mechanism, "mailer", "secret") == given
    assert tls == isinstance(arguments.get("ssl_context"), ssl.SSLContext)


def test_tls_checks_the_brokers() -> None:
    """With TLS a client checks certificates and host names."""
    context = client_arguments(CommandSettings(kafka_security_protocol="SSL"))["ssl_context"]

    assert ssl.CERT_REQUIRED == context.verify_mode
    assert context.check_hostname


def test_an_unreadable_certificate_is_an_error(tmp_path: Path) -> None:
    """A file without a certificate is refused at once, not at the first connection."""
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")

    with pytest.raises(ssl.SSLError):
        client_arguments(CommandSettings(kafka_security_protocol="SSL", kafka_ssl_cafile=nonsense))


class _Client:
    """An aiokafka client's connections, and its ways to stop."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    async def stop_in_order(self) -> None:
        """Stop in order."""

    async def stop_with_its_own_cancellation(self) -> None:
        fetching = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetching.cancel()
        await fetching

    async def stop_never(self) -> None:
        await asyncio.Event().wait()

    async def stop_with_an_error(self) -> None:
        raise OSError


async def test_a_client_that_stops_in_order_is_left_alone() -> None:
    """Its own stop closes the connections."""
    client = _Client()

    assert await stop_client(client.stop_in_order(), client, deadline_seconds=1)
    assert not client.closed


@pytest.mark.parametrize("how", ["stop_with_its_own_cancellation", "stop_never", "stop_with_an_error"])
async def test_a_client_that_cannot_stop_is_closed_and_raises_nothing(how: str) -> None:
    """If a client's stop fails, the original error is still the one that is raised."""
    client = _Client()

    async def fail() -> None:
        try:
            raise LookupError
        finally:
            assert not await stop_client(getattr(client, how)(), client, deadline_seconds=0.01)

    with pytest.raises(LookupError):
        await fail()
    assert client.closed


async def test_being_cancelled_while_a_client_stops_is_not_swallowed() -> None:
    """Only the client's own cancellation is swallowed; ours is raised."""
    client = _Client()
    stopping = asyncio.create_task(stop_client(client.stop_never(), client, deadline_seconds=60))
    await asyncio.sleep(0)

    stopping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stopping
