"""The controls as the topic has them, and how the command puts one in force."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from deploy.support.connections import publisher, topics_of
from deploy.support.output import print_error
from deploy.support.running import EXIT_USAGE, exit_with_error, run
from deploy.support.scanning import whole_topics
from runtime.controls import UNREADABLE, Controls, publish_control
from runtime.kafka.records import Record
from runtime.settings import Settings, env_name
from runtime.signing_keys import proof_of, read_signing_keys
from schemas.controls import Control, parse_control
from schemas.signatures import NO_KEYS, SigningKeys, key_id_of

_CLOCKS_AGREE = timedelta(seconds=0.5)


@dataclass
class Stored:
    """The controls, and which of their records do not count."""

    keys: SigningKeys = NO_KEYS
    controls: Controls = field(default_factory=Controls)
    left_out: dict[bytes, str] = field(default_factory=dict)
    """Why the last record of a key does not count. One that would lift what is not in force is nobody's loss."""
    has_signed: bool = False
    """Whether any record of the topic has a signature: then replicas have keys."""

    def add(self, record: Record) -> None:
        """Add a record of the topic, in order."""
        key, proof = record.key or b"", proof_of(record, self.keys)
        found = parse_control(record.key, record.value)
        self.has_signed |= key_id_of(record.headers) is not None
        self.left_out.pop(key, None)
        if proof.counts:
            self.controls.take(record.key, record.value)
        if found is None and record.value is not None:
            self.left_out[key] = UNREADABLE
        elif not proof.counts and (self.find(key) is not None or not (found is None or found.lifted)):
            self.left_out[key] = proof

    def in_force(self) -> tuple[Control, ...]:
        """Return what is in force now, oldest first."""
        return self.controls.in_force(datetime.now(UTC))

    def find(self, key: bytes) -> Control | None:
        """Return the control in force with a key, or None."""
        return next((one for one in self.in_force() if one.key == key), None)


async def stored_controls(settings: Settings) -> Stored:
    """Return the controls; raise InvalidSettings, KafkaError, UnfitTopics, OSError or TimeoutError."""
    topic, stored = topics_of(settings).controls, Stored(read_signing_keys(settings))
    async with whole_topics(settings, topic) as records:
        async for record in records:
            stored.add(record)
    return stored


def read_stored() -> Stored:
    """Return the controls; say what is left out."""
    stored = run(stored_controls)
    if stored.left_out:
        named = ", ".join(f"{count} {fault}" for fault, count in sorted(Counter(stored.left_out.values()).items()))
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
