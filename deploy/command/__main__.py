"""The operator's command: `pause-notifications`, or `python -m deploy.command`."""

from __future__ import annotations

import sys

import typer

from deploy.command import api_keys, contacts, dispatches, events, signing_keys, topics
from deploy.command.controls.browse import controls
from deploy.command.controls.change import log_level, sending, sources
from deploy.command.dead_letters import browse
from deploy.command.doctor import doctor
from deploy.command.local import local
from deploy.command.preview import preview
from deploy.command.settings import settings
from deploy.command.suppressions.browse import app as suppressions_app
from runtime.logs import configure_logs

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
An event and its result:
  pause-notifications events publish pause-lifted --mentor mentor-042
  pause-notifications dispatches show DISPATCH_ID --wait 10
  pause-notifications dead-letters list

Settings are environment variables (see: pause-notifications settings). Exit codes: 0 done, 1 failed, 2 wrong usage or
settings, 130 stopped by Ctrl-C.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command()(local)
app.add_typer(topics.app, name="topics")
app.add_typer(contacts.app, name="contacts")
app.add_typer(events.app, name="events")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(dispatches.app, name="dispatches")
app.add_typer(browse.app, name="dead-letters")
app.add_typer(suppressions_app, name="suppressions")
app.add_typer(sending, name="sending")
app.add_typer(sources, name="sources")
app.add_typer(log_level, name="log-level")
app.command()(controls)
app.add_typer(signing_keys.app, name="signing-keys")
app.command()(preview)
app.command()(settings)
app.command()(doctor)


def main() -> None:
    """Run the command line; logs go to standard error, and results to standard output."""
    configure_logs("auto", "warning", program="command", stream=sys.stderr)
    app(prog_name="pause-notifications")


if __name__ == "__main__":
    main()
