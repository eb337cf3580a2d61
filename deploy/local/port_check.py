"""Check all ports of the stack before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local.addresses import own_command
from deploy.local.kafka.errors import PortTaken
from deploy.local.ports import check_free
from deploy.local.programs import StackFailed

if TYPE_CHECKING:
    from deploy.local.addresses import Ports


def check_ports(ports: Ports, *, replicas: int, own_kafka: bool) -> None:
    """Raise StackFailed if two ports are the same or any is taken; the message has the options for other ones."""
    wanted = [(ports.http, "--http-port"), (ports.ses, "--ses-port"), (ports.sqs, "--sqs-port")]
    wanted += [(ports.management + n, "--management-port") for n in range(replicas + 1)]
    wanted += [(ports.kafka, "--kafka-port")] if own_kafka else []
    if len({port for port, _ in wanted}) < len(wanted):
        raise StackFailed(
            "two of the ports are the same: " + ", ".join(f"{port} ({option})" for port, option in wanted)
        )
    taken = []
    for port, name in wanted:
        try:
            check_free(port)
        except PortTaken as error:
            option = f"{name} N"
            taken.append(f'{error}: make run ARGS="{option}", or {own_command()} local {option}')
    if taken:
        raise StackFailed("\n  ".join(["cannot listen", *taken]))
