"""`pause-notifications contacts`: who is who, and who coordinates whom."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.command.connections import publisher, reader, topics_of
from deploy.command.examples import examples
from deploy.command.output import progress, say
from deploy.command.running import EXIT_FAILED, CommandFailed, refuse, run
from deploy.command.scanning import follow_from, to_end
from runtime.kafka.publisher import KafkaPublisher, Published
from runtime.kafka.topics import partition_for
from runtime.settings import Settings
from schemas.contacts import NEEDED, Contact, InvalidContact, contact_json, read_contact, read_contacts

_AT_ONCE = 200

app = typer.Typer(no_args_is_help=True, help="Say who is who, and who coordinates whom.", rich_markup_mode=None)


@app.callback()
def _noun() -> None:
    """Say who is who, and who coordinates whom."""


@app.command()
@examples(
    '{"id":"mentor-042","role":"mentor","email":"amara@example.org","name":"Amara Diallo",',
    ' "locale":"en","timezone":"Europe/Berlin","coordinator_id":"coordinator-007"}     (on one line)',
    "pause-notifications contacts load contacts.jsonl",
)
def load(
    file: Annotated[Path, typer.Argument(help="JSON Lines, a contact a line; - reads standard input.")],
) -> None:
    """
    Publish a file of contacts; each replaces what was known under its id.

    The whole file is checked first: a line that is wrong refuses all of it, naming line and field. Replicas know a
    contact seconds later. Contacts that the file leaves out stay as they are (see contacts forget).
    """
    contacts = read_file(file)

    async def work(settings: Settings) -> None:
        await publish_contacts(settings, contacts, steps=lambda batches: progress(batches, "Publishing contacts"))

    run(work)
    say(f"{len(contacts)} contact{'s' * (len(contacts) != 1)} published")


@app.command()
def forget(contact_id: Annotated[str, typer.Argument(metavar="ID", help="The contact's id.")]) -> None:
    """
    Forget one contact: events about this mentor then end as unknown_mentor.

    What was known is gone from Kafka after its next compaction. An id that is not known is said to be so, and no error.
    """

    async def work(settings: Settings) -> bool:
        known = contact_id.encode() in await known_contacts(settings)
        async with publisher(settings, to=[topics_of(settings).contacts]) as publishing:
            # Also an id that is not known: it may just be on its way.
            await _publish(publishing, settings, contact_id, None)
        return known

    known = run(work)
    say(f"{contact_id} forgotten" if known else f"{contact_id} is not known: there was nothing to forget")


def read_file(file: Path) -> list[Contact]:
    """Read a file of contacts, - being standard input; end the command, saying why, where that cannot be done."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        contacts = list(read_contacts(io.StringIO(content.decode("utf-8-sig"), newline=None)))
    except InvalidContact as error:
        refuse(f"{file}: {error}; nothing was published", EXIT_FAILED)
    except UnicodeDecodeError:
        refuse(f"{file}: is not UTF-8; nothing was published", EXIT_FAILED)
    except OSError as error:
        refuse(f"{file}: {error.strerror}", EXIT_FAILED)
    if not contacts:
        refuse(f"{file}: there is no contact in it; nothing was published", EXIT_FAILED)
    return contacts


async def known_contacts(settings: Settings) -> dict[bytes, bool]:
    """Return by id of each contact whether it is valid; raises KafkaError, UnfitTopics or TimeoutError."""
    known: dict[bytes, bool] = {}
    async with reader(settings, of=[topics_of(settings).contacts]) as reading:
        ends = await follow_from(reading, await reading.partitions(topics_of(settings).contacts), None)
        async for record in to_end(reading, ends):
            key = record.key or b""
            known.pop(key, None)
            if record.value is not None:
                known[key] = _is_valid(key, record.value)
    return known


def _is_valid(key: bytes, value: bytes) -> bool:
    try:
        _, faults = read_contact(value, key=key.decode())
    except (InvalidContact, UnicodeDecodeError):
        return False
    return not any(field in faults for field in NEEDED)


Batches = Sequence[Sequence[Contact]]


def _plainly(batches: Batches) -> Iterable[Sequence[Contact]]:
    return batches


async def publish_contacts(
    settings: Settings,
    contacts: Sequence[Contact],
    *,
    steps: Callable[[Batches], Iterable[Sequence[Contact]]] = _plainly,
) -> None:
    """Publish contacts, many at once; *steps* goes through the batches. Raises CommandFailed naming how far it came."""
    done = 0
    async with publisher(settings, to=[topics_of(settings).contacts]) as publishing:
        for batch in steps(list(_batches(contacts))):
            outcomes = await asyncio.gather(
                *(_publish(publishing, settings, contact.id, contact_json(contact)) for contact in batch),
                return_exceptions=True,
            )
            failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            done += len(outcomes) - len(failed)
            if failed:
                raise CommandFailed(
                    f"{done} of {len(contacts)} contacts were published, then {type(failed[0]).__name__}: {failed[0]}; "
                    "load the file again"
                )


def _batches(contacts: Sequence[Contact]) -> Iterator[Sequence[Contact]]:
    for start in range(0, len(contacts), _AT_ONCE):
        yield contacts[start : start + _AT_ONCE]


async def _publish(publishing: KafkaPublisher, settings: Settings, contact_id: str, value: bytes | None) -> Published:
    topic = topics_of(settings).contacts
    partition = partition_for(contact_id, await publishing.partitions(topic))
    return await publishing.publish(topic, partition, key=contact_id.encode(), value=value)
