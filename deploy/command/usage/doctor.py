"""`pause-notifications doctor`: check everything that the programs need, and ask the replicas."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Work

_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,260}")
_PLACE = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
_MAX_PORT = 65_535


def url_of(text: str) -> str:
    """Return a replica's URL without its path; raise BadParameter."""
    address = text.rstrip("/").removesuffix("/readyz")
    if not _URL.fullmatch(address):
        raise typer.BadParameter(f"{text!r} is not like http://10.0.0.7:8002")
    return address


def place_of(text: str) -> str:
    """Return a HOST:PORT; raise BadParameter."""
    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= _MAX_PORT:
        raise typer.BadParameter(f"{text!r} is not like pause-notifications-replica:8002")
    return text


@examples(
    "pause-notifications doctor",
    "pause-notifications doctor --feedback --sends 20",
    "pause-notifications doctor --replica http://10.0.0.7:8002 --replica http://10.0.0.8:8002",
    "kubectl exec deploy/pause-notifications-command -- \\\n"
    "    pause-notifications doctor --replicas pause-notifications-replica:8002",
)
def doctor(
    *,
    replica: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", parser=url_of, help="Ask the replica at this address; repeatable."),
    ] = None,
    replicas: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT", parser=place_of, help="Ask the replicas at all addresses of a name; repeatable."
        ),
    ] = None,
    feedback: Annotated[bool, typer.Option("--feedback", help="Check the way of SES's events, too.")] = False,
    sends: Annotated[
        int | None, typer.Option(min=1, max=100, help="E-mails that --feedback sends to SES's simulator: 5 by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per check.")] = False,
) -> Work:
    """
    Check everything that the programs need, and ask the replicas.

    The checks cover settings, signing keys, broker, topics, contacts, suppressions, controls and the SES account. Each
    failure is printed with what to do. Nothing is written or sent. The exit code is 1 if a check fails; warnings are
    yours to judge.

    Each replica is asked whether it is ready, whether it is halted and what limits it. Without --replica and --replicas
    those are asked that are in the group, at the address from which they connect to Kafka. A replica that is halted or
    not ready is a failure, and so is one at a given address that does not answer. If an operator stopped all sending,
    that is a warning.

    With --feedback it also checks configuration set, topic, queue and dead-letter queue. Then it sends e-mails to SES's
    mailbox simulator, and prints how long their events take. They cost as much as other e-mails, and do not count for
    the reputation.
    """
    if sends is not None and not feedback:
        raise typer.BadParameter("goes with --feedback, which sends the e-mails", param_hint="--sends")
    from deploy.command.doctor import check

    return lambda: check.doctor(replica=replica, replicas=replicas, feedback=feedback, sends=sends, as_json=as_json)
