"""Find out why no broker answers: aiokafka logs the cause of each failure, and raises an error without it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from runtime.settings import env_name

Address = tuple[str, int]
Brokers = dict[Address, str]
"""Ids of brokers, by the addresses that they advertise."""

_TRY_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_NOT_OF_A_CONNECTION = frozenset({"bootstrap_servers", "metadata_max_age_ms"})


async def diagnose(arguments: Mapping[str, Any], *, deadline_seconds: float = _TRY_SECONDS) -> str:
    """
    Try the brokers once more, and return what goes wrong with each; return an empty text if all of them answer.

    Try the addresses that the brokers advertise, too: a client must reach them as well.
    """
    given: list[Address] = [
        (host, port) for host, port, _ in collect_hosts(arguments["bootstrap_servers"], randomize=False)
    ]
    tried = await _try_all(arguments, given, deadline_seconds)
    brokers = {
        address: node for answer in tried.values() if isinstance(answer, dict) for address, node in answer.items()
    }
    advertised = await _try_all(arguments, [one for one in brokers if one not in given], deadline_seconds)
    return "; ".join(
        [
            *(f"{_named(one)}: {answer}" for one, answer in tried.items() if isinstance(answer, str)),
            *(
                f"broker {brokers[one]}, which advertises {_named(one)}: {answer}"
                for one, answer in advertised.items()
                if isinstance(answer, str)
            ),
        ]
    )


def _named(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


async def _try_all(
    arguments: Mapping[str, Any], addresses: Sequence[Address], deadline_seconds: float
) -> dict[Address, Brokers | str]:
    tried = await asyncio.gather(*(_try(arguments, *address, deadline_seconds) for address in addresses))
    return dict(zip(addresses, tried, strict=True))


async def _try(arguments: Mapping[str, Any], host: str, port: int, deadline_seconds: float) -> Brokers | str:
    """Return the brokers that this one lists, or what is wrong."""
    try:
        async with asyncio.timeout(deadline_seconds):
            return await _brokers(arguments, host, port, deadline_seconds)
    except Exception as error:  # noqa: BLE001 - any error of a client is the answer here
        return explained(error, arguments)


async def _brokers(arguments: Mapping[str, Any], host: str, port: int, deadline_seconds: float) -> Brokers:
    given = {name: value for name, value in arguments.items() if name not in _NOT_OF_A_CONNECTION}
    connection = AIOKafkaConnection(host, port, **given, request_timeout_ms=int(deadline_seconds * 1000))
    try:
        await connection.connect()
        answer = await connection.send(MetadataRequest([]))
    finally:
        if connection._protocol is not None:  # noqa: SLF001 - refused or not, there is a socket: only then does it close
            await _closed(connection)
    return {(broker_host, broker_port): str(node) for node, broker_host, broker_port, *_ in answer.brokers}


async def _closed(connection: AIOKafkaConnection) -> None:
    """Close a connection, and wait a moment until its socket is closed, too: TLS says good-bye first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()


def explained(error: BaseException, arguments: Mapping[str, Any]) -> str:
    """Return what a connection's error means, and which setting to look at."""
    for cause in _causes(error):
        problem = _tls_problem(cause) or _sign_in_problem(cause, arguments) or _network_problem(cause)
        if problem:
            return problem
    protocol = arguments["security_protocol"]
    if isinstance(error, KafkaError | ConnectionResetError):
        return (
            f"the connection was closed by the other side; does that port speak {protocol} "
            f"({env_name('kafka_security_protocol')})?"
        )
    return f"{type(error).__name__}: {error}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _tls_problem(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is refused: {error.verify_message} (certificates to trust are those of "
            f"{env_name('kafka_ssl_cafile')}, or the system's)"
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS failed: {reason} (see {env_name('kafka_ssl_certfile')} and its like; does that port speak TLS?)"
    return None


def _sign_in_problem(error: BaseException, arguments: Mapping[str, Any]) -> str | None:
    mechanism = arguments.get("sasl_mechanism")
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"SASL mechanism {mechanism} is not offered ({env_name('kafka_sasl_mechanism')})"
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"user or password is refused: {_text(error)} ({env_name('kafka_sasl_username')}, "
            f"{env_name('kafka_sasl_password')})"
        )
    return None


def _text(error: BaseException) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _network_problem(error: BaseException) -> str | None:
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time; is a firewall or a wrong port in between?"
    return None
