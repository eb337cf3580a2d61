"""Which replicas `doctor` asks: those at the addresses given, or else those that the group's members tell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from deploy.command.doctor.members import Group, group_findings, read_group
from deploy.command.doctor.replicas import Readiness, ask, replica_findings
from deploy.command.findings import Finding, State
from deploy.support.running import explain
from runtime.settings import ReplicaSettings


@dataclass(frozen=True)
class Where:
    """Where replicas are to be asked; if nothing is given, the group's members tell."""

    urls: Sequence[str] = ()
    places: Sequence[str] = ()
    """Each HOST:PORT: all addresses of the host."""

    @property
    def given(self) -> bool:
        """Return whether anything is given."""
        return bool(self.urls or self.places)


BY_MEMBERS = Where()


async def check_fleet(settings: ReplicaSettings, where: Where, *, kafka: bool) -> list[Finding]:
    """Ask the replicas, and with *kafka* the group; return a finding for each replica and some for all."""
    group, findings = await _group(settings) if kafka else (None, [])
    if where.given:
        return [*findings, *await _at_given(where, group)]
    if group is None:
        told = "nobody was asked who is in the group, since the topics are not fit, so no replica was asked"
        return findings or [Finding("replicas", State.WARN, told, "give --replica URL, or --replicas HOST:PORT")]
    # An address as the broker sees it may not be the way from here: then nothing is known of the replica.
    answers = await ask(member.url for member in group.members)
    return [*findings, *replica_findings(answers, missing=State.WARN)]


async def _group(settings: ReplicaSettings) -> tuple[Group | None, list[Finding]]:
    try:
        group = await read_group(settings)
    except GroupAuthorizationFailedError:
        detail = f"the members of group {settings.consumer_group} may not be read"
        return None, [Finding("replicas", State.WARN, detail, "grant Describe on the group, or give --replicas")]
    except (KafkaError, OSError) as error:
        detail = f"the members of the group could not be read: {await explain(error, settings)}"
        return None, [Finding("replicas", State.WARN, detail)]
    return group, group_findings(group)


async def _at_given(where: Where, group: Group | None) -> list[Finding]:
    urls, findings = list(where.urls), list[Finding]()
    for place in where.places:
        try:
            urls += await _addresses(place)
        except OSError as error:
            advice = "see whether pods run, and whether the name is right"
            findings.append(Finding("replicas", State.FAIL, f"{place} has no address: {error.strerror}", advice))
    answers = await ask(urls)
    answered = sum(isinstance(one, Readiness) for one in answers.values())
    if group is not None and len(group.members) > answered:
        detail = f"{len(group.members)} are in the group, and {answered} of those asked have answered"
        findings.append(Finding("replicas", State.WARN, detail, "ask all of them"))
    return [*findings, *replica_findings(answers, missing=State.FAIL)]


async def _addresses(place: str) -> list[str]:
    """Return the URLs of all addresses of HOST:PORT, as of a headless Service; raise OSError if there are none."""
    host, _, port = place.rpartition(":")
    found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    hosts = sorted({str(address[0]) for *_, address in found})
    return [f"http://{f'[{one}]' if ':' in one else one}:{port}" for one in hosts]
