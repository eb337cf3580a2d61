"""How every noun runs: settings read, the loop run, every error one line on stderr and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError, NoBrokersAvailable, NodeNotReadyError

from deploy.support.output import tell
from runtime.environment import InvalidSettings, read_settings
from runtime.kafka.connection import client_arguments
from runtime.kafka.diagnosis import diagnose
from runtime.kafka.publisher import PublishError
from runtime.kafka.topics import UnfitTopics
from runtime.settings import CommandSettings, Settings, env_name

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

T = TypeVar("T")
S = TypeVar("S", bound=Settings)


class CommandFailed(Exception):
    """What was asked for could not be done; the message says why and what to do, for a person."""


def settings_of(settings_class: type[S]) -> S:
    """Read settings from the environment, or end with exit code 2, every problem a line on stderr."""
    try:
        return read_settings(settings_class, os.environ)
    except InvalidSettings as error:
        refuse("\n".join(error.problems), EXIT_USAGE)


def run(work: Callable[[CommandSettings], Coroutine[Any, Any, T]]) -> T:
    """Run *work* with the command's settings; where it fails, say why in one line and end with exit code 1."""
    settings = settings_of(CommandSettings)
    quiet()
    try:
        return asyncio.run(_explaining(work, settings))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except CommandFailed as error:
        refuse(str(error), EXIT_FAILED)


def quiet() -> None:
    """Keep the Kafka client from logging each closed port and each retry: our one line says what a person needs."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


async def _explaining(work: Callable[[CommandSettings], Coroutine[Any, Any, T]], settings: CommandSettings) -> T:
    try:
        return await work(settings)
    except BrokenPipeError:
        raise  # who read our output has gone, which typer knows to end quietly
    except InvalidSettings as error:
        refuse(str(error), EXIT_USAGE)
    except (UnfitTopics, PublishError, KafkaError, OSError) as error:
        raise CommandFailed(await explain(error, settings)) from error


async def explain(error: Exception, settings: Settings) -> str:
    """Return what went wrong and what to do in one line; if no broker answers, ask once more for the cause."""
    servers = settings.kafka_bootstrap_servers
    if isinstance(error, CommandFailed | UnfitTopics):
        return str(error)
    if isinstance(error, PublishError):
        return f"the record was not acknowledged by the broker at {servers}: {type(error).__name__} ({error})"
    if isinstance(error, TimeoutError | KafkaConnectionError | NoBrokersAvailable | NodeNotReadyError):
        cause = await diagnose(client_arguments(settings))
        cause = cause or f"{servers}: {type(error).__name__}"
        return f"no broker answers: {cause}; brokers are set in {env_name('kafka_bootstrap_servers')}"
    if isinstance(error, ssl.SSLError):
        return f"the files for TLS cannot be used ({error}); see {env_name('kafka_ssl_cafile')} and its like"
    if isinstance(error, KafkaError):
        return f"the broker at {servers} refused: {error}"
    return str(error)


def refuse(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command: *message* on stderr, *code* for the shell."""
    tell(f"Error: {message}")
    raise typer.Exit(code)
