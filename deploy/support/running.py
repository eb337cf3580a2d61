"""Run a command: read the settings, run the event loop, and turn each error into one line and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn, TypeVar

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError, NoBrokersAvailable, NodeNotReadyError

from deploy.support.output import print_error
from runtime.environment import InvalidSettings, UnknownSetting, read_settings, unknown_settings
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
    """The command failed; the message says why and what to do."""


def load_settings(settings_class: type[S]) -> S:
    """Read settings from the environment; on errors, print one line each and end with exit code 2."""
    try:
        return read_settings(settings_class, os.environ)
    except InvalidSettings as error:
        exit_with_error("\n".join(error.problems), EXIT_USAGE)


def warn_of_unknown_settings(environ: Mapping[str, str]) -> None:
    """Print a line for each variable with our prefix that no program reads; it may be a misspelt setting."""
    for unknown in unknown_settings(environ):
        print_error(f"Warning: {unknown.variable} is not read by any program; {suggestion(unknown)}")


def suggestion(unknown: UnknownSetting) -> str:
    """Return what may have been meant."""
    return f"did you mean {unknown.nearest}?" if unknown.nearest else "see: pause-notifications settings"


def run(work: Callable[[CommandSettings], Coroutine[Any, Any, T]]) -> T:
    """Run *work* with the command's settings; if it fails, print why in one line and end with exit code 1."""
    settings = load_settings(CommandSettings)
    silence_kafka_client()
    try:
        return asyncio.run(_explaining(work, settings))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except CommandFailed as error:
        exit_with_error(str(error), EXIT_FAILED)


def silence_kafka_client() -> None:
    """Stop the Kafka client from logging each closed port and each retry; our own line has the cause."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


async def _explaining(work: Callable[[CommandSettings], Coroutine[Any, Any, T]], settings: CommandSettings) -> T:
    try:
        return await work(settings)
    except BrokenPipeError:
        raise  # the reader of our output is gone; typer ends quietly
    except InvalidSettings as error:
        exit_with_error(str(error), EXIT_USAGE)
    except (UnfitTopics, PublishError, KafkaError, OSError) as error:
        raise CommandFailed(await explain(error, settings)) from error


async def explain(error: Exception, settings: Settings) -> str:
    """Return the cause and what to do in one line; if no broker answers, connect again to find out why."""
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
        return (
            f"the files for TLS cannot be used ({error}); see {env_name('kafka_ssl_cafile')} and the other TLS settings"
        )
    if isinstance(error, KafkaError):
        return f"the broker at {servers} refused: {error}"
    return str(error)


def exit_with_error(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command: print *message* on standard error and exit with *code*."""
    print_error(f"Error: {message}")
    raise typer.Exit(code)
