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

from runtime.environment import InvalidSettings, read_settings
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
    # The Kafka client logs each closed port and each retry; what a person needs to know is in our one line.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    try:
        return asyncio.run(work(settings))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        raise  # who read our output has gone, which typer knows to end quietly
    except InvalidSettings as error:
        refuse(str(error), EXIT_USAGE)
    except (CommandFailed, UnfitTopics, PublishError, KafkaError, OSError) as error:
        refuse(explain(error, settings), EXIT_FAILED)


def explain(error: Exception, settings: Settings) -> str:
    """Say in one line what went wrong and what to do."""
    servers = settings.kafka_bootstrap_servers
    if isinstance(error, CommandFailed | UnfitTopics):
        return str(error)
    if isinstance(error, PublishError):
        return f"the record was not acknowledged by the broker at {servers}: {type(error).__name__} ({error})"
    if isinstance(error, TimeoutError | KafkaConnectionError | NoBrokersAvailable | NodeNotReadyError):
        return f"no broker answers at {servers}; set {env_name('kafka_bootstrap_servers')}"
    if isinstance(error, ssl.SSLError):
        return f"the files for TLS cannot be used ({error}); see {env_name('kafka_ssl_cafile')} and its like"
    if isinstance(error, KafkaError):
        return f"the broker at {servers} refused: {error}"
    return str(error)


def refuse(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command: *message* on stderr, *code* for the shell."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(code)
