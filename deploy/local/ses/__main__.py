"""Run the local SES: ``python -m deploy.local.ses``."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.local.ses.app import FACADE, KEEP, create_app
from deploy.local.ses.faults import Faults
from deploy.local.ses.mail_file import MailFile
from deploy.local.ses.mail_log import json_lines_log, open_log
from deploy.local.ses.server import LocalSesServer, listen

if TYPE_CHECKING:
    import socket

    from deploy.local.ses.mail_log import MailLog
    from deploy.local.ses.outbox import EventQueue


HELP = """Run a local substitute for AWS SES v2: no mail leaves this machine.

Takes SendEmail, GetAccount and GetEmailIdentity as boto3 sends them, with SES's limits, quotas and errors. Any
credentials work. Point a client at it:

\b
  AWS_ENDPOINT_URL_SESV2=http://127.0.0.1:8025 AWS_REGION=us-east-1
  AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local

Accepted mails are shown on the mailbox page, http://127.0.0.1:8025/, and as JSON:

\b
  curl 'http://127.0.0.1:8025/admin/mails?q=paused&to=mentor-042@example.com&tag=recipient:mentor-042&limit=50'
  curl http://127.0.0.1:8025/admin/mails/<message id>
  curl http://127.0.0.1:8025/admin/mails/<message id>/eml
  curl -X DELETE http://127.0.0.1:8025/admin/mails
  curl http://127.0.0.1:8025/admin/stats

With --events-queue it publishes events about mails that name a configuration set, as SES does through SNS. Addresses
with a name of SES's simulator, such as bounce+anything@example.org, have its outcomes; softbounce is a full mailbox.
Any outcome can be reported about any mail:

\b
  curl http://127.0.0.1:8025/admin/mails/<message id>/reports -d '{"report": "complaint"}'

It can simulate faults (PATCH changes some settings, PUT replaces all, DELETE removes all faults; /admin/faults/schema
explains each setting):

\b
  curl -X PATCH http://127.0.0.1:8025/admin/faults -d '{"latency_ms": 200, "throttle_share": 0.1}'
  curl -X PATCH http://127.0.0.1:8025/admin/faults -d '{"accept_then_drop_share": 0.05}'
  curl -X PATCH http://127.0.0.1:8025/admin/faults -d '{"paused": true}'
  curl -X PATCH http://127.0.0.1:8025/admin/faults -d '{"event_delay_seconds": 60, "event_duplicate_share": 0.3}'
  curl -X DELETE http://127.0.0.1:8025/admin/faults

It keeps the newest mails in memory, and with --mails also in a file, from which it reads them after a restart. Ctrl-C
ends it.
"""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = 8025,
    log: Annotated[
        Path | None, typer.Option(help="Append each accepted mail to this file as one JSON line.", dir_okay=False)
    ] = None,
    mails: Annotated[
        Path | None, typer.Option(help="Keep the mails in this SQLite file over a restart, too.", dir_okay=False)
    ] = None,
    keep: Annotated[int, typer.Option(help="How many mails to keep.", min=1)] = KEEP,
    contacts: Annotated[
        Path | None, typer.Option(help="Show the names of these contacts beside their addresses.", dir_okay=False)
    ] = None,
    facade: Annotated[str, typer.Option(metavar="URL", help="Where the empty mailbox page sends a reader.")] = FACADE,
    events_queue: Annotated[
        str | None, typer.Option(metavar="URL", help="Publish events to this queue of a local SQS.")
    ] = None,
    max_send_rate: Annotated[float, typer.Option(help="Recipients a second before SES throttles.", min=0.001)] = 500,
) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    with ExitStack() as undo:
        listening = undo.enter_context(_listen(host, port))
        faults = Faults(max_send_rate=max_send_rate)
        app = create_app(
            log=_log(log, undo),
            queue=_queue(events_queue),
            keep=keep,
            mail_file=None if mails is None else MailFile(mails, on_fault=partial(typer.echo, err=True)),
            names=_names(contacts),
            facade=facade,
            faults=faults,
        )
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        server = LocalSesServer(app, on_started=lambda: typer.echo(f"Local SES and its mailbox page: {address}"))
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        typer.echo(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port.", err=True)
        raise typer.Exit(1) from None


def _queue(url: str | None) -> EventQueue | None:
    if url is None:
        return None

    from deploy.local.ses.sqs_queue import SqsQueue  # noqa: PLC0415 - boto3 takes half a second

    return SqsQueue(url)


def _log(path: Path | None, undo: ExitStack) -> MailLog | None:
    if path is None:
        return None

    try:
        return json_lines_log(undo.enter_context(open_log(path)))
    except OSError as error:
        typer.echo(f"Cannot write the log {path}: {error.strerror}.", err=True)
        raise typer.Exit(1) from None


def _names(contacts: Path | None) -> dict[str, str]:
    """Return the names of contacts by address."""
    if contacts is None:
        return {}

    from schemas.contacts import read_contacts  # noqa: PLC0415 - only with the option

    try:
        known = list(read_contacts(contacts.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError) as error:
        typer.echo(f"Cannot read the contacts {contacts}: {error}", err=True)
        raise typer.Exit(1) from None
    return {contact.email: contact.name for contact in known if contact.email and contact.name}


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=HELP)(serve)
    app(prog_name="python -m deploy.local.ses")


if __name__ == "__main__":
    main()
