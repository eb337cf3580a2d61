"""The controls as the topic has them, and how the command puts one in force."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from consumers.controls import Controls, publish_control
from deploy.support.connections import publisher, reader, topics_of
from deploy.support.output import print_error
from deploy.support.running import EXIT_USAGE, exit_with_error, run
from deploy.support.scanning import follow_from, records_until
from runtime.settings import Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.controls import Control
from schemas.signatures import key_id_of

_CLOCKS_AGREE = timedelta(seconds=0.5)


@dataclass
class Stored:
    """The controls, and which of their records do not count."""

    controls: Controls
    faults: Counter[str] = field(default_factory=Counter)
    has_signed: bool = False
    """Whether any record of the topic has a signature: then replicas have keys."""

    def in_force(self) -> tuple[Control, ...]:
        """Return what is in force now, oldest first."""
        return self.controls.in_force(datetime.now(UTC))

    def find(self, key: bytes) -> Control | None:
        """Return the control in force with a key, or None."""
        return next((one for one in self.in_force() if one.key == key), None)


async def stored_controls(settings: Settings) -> Stored:
    """Return the controls; raise KafkaError, UnfitTopics, OSError or TimeoutError."""
    topic, keys, faults = topics_of(settings).controls, read_signing_keys(settings), Counter[str]()
    stored = Stored(Controls(on_fault=lambda fault: faults.update([str(fault)])), faults)
    async with reader(settings, of=[topic]) as reading:
        ends = await follow_from(reading, await reading.partitions(topic), None)
        async for record in records_until(reading, ends):
            stored.has_signed |= key_id_of(record.headers) is not None
            if stored.controls.believes(record, keys):
                stored.controls.take(record.key, record.value)
    return stored


def read_stored() -> Stored:
    """Return the controls; say what is left out."""
    stored = run(stored_controls)
    if stored.faults:
        named = ", ".join(f"{count} {fault}" for fault, count in sorted(stored.faults.items()))
        print_error(f"left out: records that are unreadable, or that no key of ours signed ({named})")
    return stored


def put(stored: Stored, control: Control) -> Control:
    """
    Publish a control, and return it with the broker's time: events are dated by the same clock.

    If our clock disagrees, it is published again: a cancel must not concern events of the future.

    End with exit code 2 if the topic is signed and there are no keys: replicas would leave the control out.
    """

    async def work(settings: Settings) -> Control:
        topic, keys = topics_of(settings).controls, read_signing_keys(settings)
        if not keys and stored.has_signed:
            name = env_name("signing_keys_file")
            exit_with_error(f"controls are signed: set {name} to the file that the replicas have", EXIT_USAGE)
        if not keys:
            print_error(f"not signed, so replicas that have keys leave it out: set {env_name('signing_keys_file')}")
        async with publisher(settings, to=[topic]) as publishing:
            published = await publish_control(publishing, topic, keys, control)
            dated = replace(control, at=published.appended_at)
            if abs(dated.at - control.at) > _CLOCKS_AGREE:
                await publish_control(publishing, topic, keys, dated)
                return dated
        return control

    return run(work)
