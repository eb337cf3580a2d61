"""`pause-notifications contacts`: who is who, and who coordinates whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from deploy.command.contacts_file import ContactsFile, opened
from deploy.command.examples import examples
from deploy.support.connections import publisher, reader, topics_of
from deploy.support.contact_loading import LoadingProgress, publish_contact, publish_contacts
from deploy.support.output import progress, say, status, tell
from deploy.support.running import EXIT_FAILED, EXIT_INTERRUPTED, refuse, run
from deploy.support.scanning import follow_from, to_end
from runtime.kafka.records import Record
from runtime.settings import Settings
from schemas.contacts import NEEDED, InvalidContact, read_contact

_GONE_AFTER = timedelta(days=2)

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

    The whole file is checked first: lines that are wrong refuse all of it, the first ten named with their fields.
    Replicas know a contact seconds later. Contacts that the file leaves out stay as they are (see contacts forget).

    It may be stopped with Ctrl-C, which says how many are published, and run again: that changes nothing for those.
    """
    with _readable(file) as content:
        with status("Checking contacts"):
            loading = LoadingProgress(_checked(file, content))

        async def work(settings: Settings) -> None:
            await publish_contacts(settings, progress(content.contacts(), "Publishing", total=loading.total), loading)

        try:
            run(work)
        except typer.Exit as end:
            if end.exit_code == EXIT_INTERRUPTED:
                tell(f"Stopped: {loading}. Loading the file again is safe, and publishes the rest.")
            raise
    say(f"{loading.total} contact{'s' * (loading.total != 1)} published")


@contextmanager
def _readable(file: Path) -> Iterator[ContactsFile]:
    """Open a file of contacts; end the command, saying why, if that cannot be done."""
    with ExitStack() as undo:
        try:
            content = undo.enter_context(opened(file))
        except InvalidContact as error:
            refuse(f"{file}: {error}; nothing was published", EXIT_FAILED)
        except OSError as error:
            refuse(f"{file}: {error.strerror}", EXIT_FAILED)
        yield content


def _checked(file: Path, content: ContactsFile) -> int:
    try:
        count = content.check()
    except InvalidContact as error:
        refuse(f"{file}: {error}; nothing was published", EXIT_FAILED)
    except OSError as error:
        refuse(f"{file}: {error.strerror}", EXIT_FAILED)
    if not count:
        refuse(f"{file}: there is no contact in it; nothing was published", EXIT_FAILED)
    return count


@app.command()
def forget(contact_id: Annotated[str, typer.Argument(metavar="ID", help="The contact's id.")]) -> None:
    """
    Forget one contact: events about this mentor then end as unknown_mentor.

    Nobody is told any more, at once. What was known is gone from Kafka within two days, provided that contacts are
    written meanwhile: Kafka compacts a part of a topic only after a later record. So load contacts daily, or forget the
    contact once more on the next day; doctor says if an address was left. An id that is not known is no error.
    """

    async def work(settings: Settings) -> bool:
        known = contact_id.encode() in (await known_contacts(settings)).valid
        topic = topics_of(settings).contacts
        async with publisher(settings, to=[topic]) as publishing:
            # Also an id that is not known: it may just be on its way.
            await publish_contact(publishing, topic, await publishing.partitions(topic), contact_id, None)
        return known

    known = run(work)
    say(f"{contact_id} forgotten" if known else f"{contact_id} is not known: there was nothing to forget")
    if known:
        say(
            "What was known is gone from Kafka within two days, if contacts are loaded meanwhile. "
            "To be sure, run this again tomorrow."
        )


@dataclass
class KnownContacts:
    """The contacts as their topic has them."""

    valid: dict[bytes, bool] = field(default_factory=dict)
    """By id of each contact, whether it is valid."""
    lingering: set[bytes] = field(default_factory=set)
    """Ids that were forgotten long ago, and of which the topic still holds what was known."""
    _held: set[bytes] = field(default_factory=set)

    def take(self, record: Record, now: datetime) -> None:
        """Take in a record of the topic, in the order of its partition."""
        key = record.key or b""
        self.valid.pop(key, None)
        self.lingering.discard(key)
        if record.value is not None:
            self._held.add(key)
            self.valid[key] = _is_valid(key, record.value)
        elif key in self._held and now - record.appended_at > _GONE_AFTER:
            self.lingering.add(key)


async def known_contacts(settings: Settings) -> KnownContacts:
    """Return all contacts known; raise KafkaError, UnfitTopics, OSError or TimeoutError."""
    known, now = KnownContacts(), datetime.now(UTC)
    async with reader(settings, of=[topics_of(settings).contacts]) as reading:
        ends = await follow_from(reading, await reading.partitions(topics_of(settings).contacts), None)
        async for record in to_end(reading, ends):
            known.take(record, now)
    return known


def _is_valid(key: bytes, value: bytes) -> bool:
    try:
        _, faults = read_contact(value, key=key.decode())
    except (InvalidContact, UnicodeDecodeError):
        return False
    return not any(field in faults for field in NEEDED)
