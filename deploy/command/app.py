"""The operator's command: its subcommands, in the order in which a newcomer needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, ClassVar

import typer

from deploy.command.lazy_group import Lazy, LazyGroup

HELP = """Operate the Pause Notification Service: set it up, publish events, look at results.

\b
Everything on this machine:
  pause-notifications local
\b
A new environment:
  pause-notifications signing-keys add signing-keys
  export PAUSE_NOTIFICATIONS_SIGNING_KEYS_FILE=$PWD/signing-keys
  export PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS=kafka:9092
  pause-notifications topics create --replication-factor 3
  pause-notifications contacts load contacts.jsonl
  pause-notifications doctor
\b
A producer's records, before they are published:
  pause-notifications events check records.json
\b
An event and its result:
  pause-notifications events publish pause-lifted --mentor mentor-042
  pause-notifications dispatches show DISPATCH_ID --wait 10
  pause-notifications dead-letters list

Settings are environment variables (see: pause-notifications settings). Exit codes: 0 done, 1 failed, 2 wrong usage or
settings, 130 stopped by Ctrl-C.
"""


class _Commands(LazyGroup):
    table: ClassVar[Mapping[str, Lazy]] = {
        "local": Lazy("deploy.command.usage.local:local", "Run everything on this machine until Ctrl-C."),
        "preview": Lazy("deploy.command.usage.preview:preview", "Show what an e-mail looks like."),
        "settings": Lazy(
            "deploy.command.usage.settings:settings", "Print every setting with its default and allowed values."
        ),
        "doctor": Lazy(
            "deploy.command.usage.doctor:doctor", "Check everything that the programs need, and ask the replicas."
        ),
        "topics": Lazy("deploy.command.usage.topics:app", "Create and check the topics."),
        "contacts": Lazy("deploy.command.usage.contacts:app", "Load, list and show contacts, and forget one."),
        "events": Lazy("deploy.command.usage.events:app", "Publish events as a producer does, or check them."),
        "api-keys": Lazy("deploy.command.usage.api_keys:app", "Manage the API keys of REST callers."),
        "dispatches": Lazy("deploy.command.usage.dispatches:app", "Show the results of events, and cancel events."),
        "dead-letters": Lazy("deploy.command.usage.dead_letters:app", "List, show and replay dead letters."),
        "suppressions": Lazy(
            "deploy.command.usage.suppressions:app", "List, show and change which addresses get no e-mail."
        ),
        "sending": Lazy("deploy.command.usage.controls:sending", "Stop and start all sending."),
        "sources": Lazy("deploy.command.usage.controls:sources", "Hold the events of a producer."),
        "log-level": Lazy(
            "deploy.command.usage.controls:log_level", "Change the log level of all facades and replicas."
        ),
        "controls": Lazy("deploy.command.usage.controls:controls", "Show what operators have put in force."),
        "signing-keys": Lazy(
            "deploy.command.usage.signing_keys:app", "Add keys that sign the records of our programs."
        ),
    }


app = typer.Typer(
    cls=_Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes the option's value alone
    if asked:
        typer.echo(f"pause-notifications {version('pause-notifications')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def configure() -> None:
    """Send logs to standard error, so that results on standard output can be parsed; warn of misspelt settings."""
    from deploy.support.running import warn_of_unknown_settings  # noqa: PLC0415 - help and wrong usage need neither
    from runtime.logs import configure_logs  # noqa: PLC0415 - likewise

    configure_logs("auto", "warning", program="command", stream=sys.stderr)
    warn_of_unknown_settings(os.environ)
