"""
Ask replicas whether they are ready, and what they say of themselves.

Answers may come from anybody who listens at an address: each is bounded in bytes and time, and what it says is cut.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import aiohttp
import msgspec

from consumers.admission.gate import (
    CONTACTS_NOT_READ,
    CONTROLS_NOT_READ,
    STOPPED_BY_OPERATOR,
    SUPPRESSIONS_NOT_READ,
)
from deploy.command.findings import Finding, State

_SECONDS = 5.0
_AT_ONCE = 16
_MAX_BYTES = 64 * 1024
_MAX_REPLICAS = 100
_MAX_TEXT = 200
_NAMED = 5


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What `/readyz` of a replica says, as far as it is shown. What an older release leaves out counts as well."""

    ok: bool
    version: str = "not told"
    waiting_for: str | None = None
    because: str | None = None
    joined: bool = True
    kafka_connected: bool = True
    missing_rights: list[str] = msgspec.field(default_factory=list)
    missing_topics: list[str] = msgspec.field(default_factory=list)
    contacts_read: bool = True
    suppressions_read: bool = True
    controls_read: bool = True
    partitions: list[int] = msgspec.field(default_factory=list)
    ledgers_being_read: list[int] = msgspec.field(default_factory=list)
    halt: str | None = None
    more_replicas: str = ""
    records_held: int = 0
    oldest_unfinished: str | None = None
    dispatches_followed: bool | None = None
    """What only a facade says."""


class NoAnswer(Exception):
    """It did not answer as a replica does; the message says why."""


Answers = Mapping[str, Readiness | NoAnswer]
"""By address."""


async def ask(urls: Iterable[str]) -> Answers:
    """Ask the replicas at these addresses side by side."""
    asked = list(dict.fromkeys(urls))[:_MAX_REPLICAS]
    free = asyncio.Semaphore(_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    # A compressed answer would be small only until it is read: no replica compresses.
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        answers = await asyncio.gather(*(_ask(session, url, free) for url in asked))
    return dict(zip(asked, answers, strict=True))


async def _ask(session: aiohttp.ClientSession, url: str, free: asyncio.Semaphore) -> Readiness | NoAnswer:
    try:
        async with free, session.get(f"{url}/readyz", allow_redirects=False) as response:
            body = await _read(response.content)
        return _readiness(body)
    except TimeoutError:
        return NoAnswer(f"no answer within {_SECONDS:g} s")
    except aiohttp.ClientConnectorError as error:
        return NoAnswer(f"cannot be reached: {error.strerror or 'refused'}")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return NoAnswer(f"does not answer as a replica does ({type(error).__name__})")
    except NoAnswer as error:
        return error


def _readiness(body: bytes) -> Readiness:
    said = msgspec.json.decode(body, type=Readiness)
    if said.dispatches_followed is not None:
        raise NoAnswer("is a facade, not a replica")
    return said


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) > _MAX_BYTES:
            raise NoAnswer(f"does not answer as a replica does: over {_MAX_BYTES // 1024} KiB")
    return bytes(body)


def replica_findings(answers: Answers, *, missing: State) -> list[Finding]:
    """Return a finding for each replica, and one if they run different versions; *missing* is for one not reached."""
    findings = [
        Finding(f"replica {url.removeprefix('http://')}", missing, str(answer), _NOT_REACHED)
        if isinstance(answer, NoAnswer)
        else _finding(url.removeprefix("http://"), answer)
        for url, answer in answers.items()
    ]
    return [*findings, *_skew([one.version for one in answers.values() if isinstance(one, Readiness)])]


_NOT_REACHED = "give the way from here: --replica URL, or --replicas HOST:PORT for all addresses of a name"
_HALTED = "nothing that waits is lost; see the reason in deploy/runbooks/halted.md"
_STOPPED = "pause-notifications controls shows who stopped it and why"
_WHILE_IT_READS = (CONTACTS_NOT_READ, SUPPRESSIONS_NOT_READ, CONTROLS_NOT_READ)
"""Halts of a replica that starts: what it lacks says more."""
_NOT_READY = "see deploy/runbooks/not-ready.md"


def _finding(address: str, said: Readiness) -> Finding:
    check, facts = f"replica {address}", "; ".join(map(_cut, _facts(said)))
    if said.halt == STOPPED_BY_OPERATOR:
        return Finding(check, State.WARN, f"sends nothing, stopped by an operator; {facts}", _STOPPED)
    if said.halt is not None and (said.ok or said.halt not in _WHILE_IT_READS):
        return Finding(check, State.FAIL, f"sends nothing, halted by {_cut(said.halt)}; {facts}", _HALTED)
    if not said.ok:
        return Finding(check, State.FAIL, f"not ready: {'; '.join(map(_cut, _lacks(said)))}; {facts}", _NOT_READY)
    return Finding(check, State.OK, f"ready; {facts}")


def _facts(said: Readiness) -> Iterator[str]:
    if said.halt is not None and not said.ok and said.halt not in _WHILE_IT_READS:
        yield f"not ready: {', '.join(_lacks(said))}"
    owned = len(said.partitions)
    yield f"owns {owned} partition{'' if owned == 1 else 's'}"
    if said.oldest_unfinished is not None:
        seconds = said.oldest_unfinished.partition(".")[0].removesuffix("+00:00")
        yield f"oldest unfinished event of {seconds}Z"
    if said.more_replicas and said.halt is None:
        yield said.more_replicas[:1].lower() + said.more_replicas[1:].removesuffix(".")
    yield f"version {said.version}"


def _lacks(said: Readiness) -> list[str]:
    """Return what a replica that is not ready says it lacks."""
    lacks = {
        f"it waits for {said.waiting_for}, because {said.because}": said.waiting_for is not None,
        "Kafka is not connected": not said.kafka_connected,
        f"missing rights: {_some(said.missing_rights)}": said.missing_rights,
        f"missing topics: {_some(said.missing_topics)}": said.missing_topics,
        "it has not joined the group": not said.joined,
        "contacts are being read": not said.contacts_read,
        "suppressions are being read": not said.suppressions_read,
        "controls are being read": not said.controls_read,
        f"{len(said.ledgers_being_read)} ledgers are being read": said.ledgers_being_read,
    }
    return [text for text, lacking in lacks.items() if lacking] or ["it stops"]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def _skew(versions: Sequence[str]) -> list[Finding]:
    counted = Counter(map(_cut, versions)).most_common()
    if len(counted) < 2:  # noqa: PLR2004 - one version is no skew
        return []
    detail = ", ".join(f"{count} of {version}" for version, count in counted[:_NAMED])
    return [Finding("versions", State.WARN, f"replicas differ: {detail}", "a roll-out is under way, or has stopped")]
