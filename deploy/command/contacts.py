"""`pause-notifications contacts`: load, list and show contacts, and forget one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from deploy.command.contacts_file import ContactsFile, open_contacts
from deploy.command.contacts_view import print_contact, print_contacts, stored_contact, stored_contacts
from deploy.support.connections import publisher, topics_of
from deploy.support.contact_loading import LoadingProgress, publish_contact, publish_contacts
from deploy.support.contacts_fall import FALL_WITHIN
from deploy.support.output import print_error, print_text, progress, status
from deploy.support.running import EXIT_FAILED, EXIT_INTERRUPTED, exit_with_error, run
from deploy.support.scanning import whole_topics
from runtime.kafka.records import Record
from runtime.settings import Settings
from schemas.contacts import InvalidContact

_GONE_AFTER = timedelta(days=2)


def load(file: Path) -> None:
    """Publish a file of contacts; each replaces the contact with the same id."""
    with _readable(file) as content:
        with status("Checking contacts"):
            loading = LoadingProgress(_checked(file, content))

        async def work(settings: Settings) -> None:
            await publish_contacts(settings, progress(content.contacts(), "Publishing", total=loading.total), loading)

        try:
            run(work)
        except typer.Exit as end:
            if end.exit_code == EXIT_INTERRUPTED:
                print_error(f"Stopped: {loading}. It is safe to load the file again, which publishes the rest.")
            raise
    print_text(f"{loading.total} contact{'s' * (loading.total != 1)} published")


@contextmanager
def _readable(file: Path) -> Iterator[ContactsFile]:
    """Open a file of contacts; end the command with an error if that fails."""
    with ExitStack() as undo:
        try:
            content = undo.enter_context(open_contacts(file))
        except InvalidContact as error:
            exit_with_error(f"{file}: {error}; nothing was published", EXIT_FAILED)
        except OSError as error:
            exit_with_error(f"{file}: {error.strerror}", EXIT_FAILED)
        yield content


def _checked(file: Path, content: ContactsFile) -> int:
    try:
        count = content.check()
    except InvalidContact as error:
        exit_with_error(f"{file}: {error}; nothing was published", EXIT_FAILED)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}", EXIT_FAILED)
    if not count:
        exit_with_error(f"{file}: it has no contacts; nothing was published", EXIT_FAILED)
    return count


def list_contacts(*, problems: bool, coordinator: str | None, addresses: bool, as_json: bool) -> None:
    """List the contacts as the replicas know them, and what is wrong with each."""
    shown = [
        one
        for one in run(stored_contacts)
        if one.problem or not problems
        if coordinator is None or (one.contact is not None and one.contact.coordinator_id == coordinator)
    ]
    if as_json:
        for one in shown:
            print_contact(one, addresses=addresses, as_json=True)
        return
    print_contacts(shown, addresses=addresses)


def show(contact_id: str, *, addresses: bool, as_json: bool) -> None:
    """Show one contact as the replicas know it. The exit code is 1 if the id is not known."""
    found = next((one for one in run(stored_contacts) if one.id == contact_id), None)
    if found is None:
        exit_with_error(f"{contact_id} is not known; see: pause-notifications contacts list")
    print_contact(found, addresses=addresses, as_json=as_json)


def forget(contact_id: str) -> None:
    """Forget one contact: events about this mentor then end as unknown_mentor."""

    async def work(settings: Settings) -> bool:
        known = contact_id.encode() in (await known_contacts(settings)).valid
        topic = topics_of(settings).contacts
        async with publisher(settings, to=[topic]) as publishing:
            # Also for an unknown id: the contact may be on its way to Kafka.
            await publish_contact(publishing, topic, await publishing.partitions(topic), contact_id, None)
        return known

    known = run(work)
    print_text(f"{contact_id} forgotten" if known else f"{contact_id} is not known: nothing to forget")
    if known:
        print_text(
            "Its data is gone from Kafka within two days, if contacts are loaded in that time. "
            "To be sure, run this again tomorrow."
        )


@dataclass
class KnownContacts:
    """The contacts in their topic."""

    valid: dict[bytes, bool] = field(default_factory=dict)
    """Whether each contact is valid, by id."""
    lingering: set[bytes] = field(default_factory=set)
    """Ids that were forgotten over two days ago, and whose data is still in the topic."""
    lately_forgotten: set[bytes] = field(default_factory=set)
    """Ids that were forgotten within the last day."""
    _held: set[bytes] = field(default_factory=set)

    def add(self, record: Record, now: datetime) -> None:
        """Add a record of the topic; the records of a partition must come in order."""
        key = record.key or b""
        self.valid.pop(key, None)
        self.lingering.discard(key)
        self.lately_forgotten.discard(key)
        if record.value is not None:
            self._held.add(key)
            self.valid[key] = _is_valid(key, record.value)
        elif now - record.appended_at <= FALL_WITHIN:
            self.lately_forgotten.add(key)
        elif key in self._held and now - record.appended_at > _GONE_AFTER:
            self.lingering.add(key)


async def known_contacts(settings: Settings) -> KnownContacts:
    """Return all contacts; raise KafkaError, UnfitTopics, OSError or TimeoutError."""
    known, now = KnownContacts(), datetime.now(UTC)
    async with whole_topics(settings, topics_of(settings).contacts) as records:
        async for record in records:
            known.add(record, now)
    return known


def _is_valid(key: bytes, value: bytes) -> bool:
    return stored_contact(key, value).usable
