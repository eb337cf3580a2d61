"""`pause-notifications suppressions sign`: sign our list again, before a signing key is removed."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from deploy.command.suppressions.signatures import Signatures, key_ids, read_signatures
from deploy.support.connections import publisher, topics_of
from deploy.support.output import print_hint, print_json, print_text, progress
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error, load_settings, run
from runtime.kafka.publisher import Publisher
from runtime.kafka.records import Record
from runtime.settings import CommandSettings, Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.placement import partition_for
from schemas.signatures import SigningKeys
from schemas.suppressions import parse_suppression_key


def sign(*, dry_run: bool, drop_unproven: bool, as_json: bool) -> None:
    """Sign every entry of our list again that another key than the first one signed."""
    if load_settings(CommandSettings).signing_keys_file is None:
        name = env_name("signing_keys_file")
        exit_with_error(f"there is no key to sign with: set {name} to the file that the replicas have", EXIT_USAGE)
    found = run(read_signatures)
    again = found.to_sign()
    dropped = found.to_drop() if drop_unproven else []
    if not dry_run and (again or dropped):
        _publish(again, dropped)
    if as_json:
        print_json({"dry_run": dry_run, "signed": len(again), "dropped": len(dropped), "unknown": dict(found.unknown)})
    else:
        _print(found, len(again), len(dropped), dry_run=dry_run)
    if found.unknown and not drop_unproven:
        raise typer.Exit(EXIT_FAILED)


def _print(found: Signatures, signed: int, dropped: int, *, dry_run: bool) -> None:
    print_text(f"{len(found) - signed:>6}  signed by the first key")
    print_text(f"{signed:>6}  {'to be signed' if dry_run else 'signed'} again with it")
    if dropped:
        print_text(f"{dropped:>6}  that no key proves: {'to be dropped' if dry_run else 'dropped'}")
    elif found.unknown:
        unknown = found.unknown
        print_text(f"{sum(unknown.values()):>6}  of unknown keys, which do not count: {key_ids([*unknown])}")
        print_hint("put such a key back below the first one, and sign again; or drop its entries: --drop-unproven")
    if dry_run and signed:
        print_hint("sign them:  pause-notifications suppressions sign")


def _publish(again: Sequence[Record], dropped: Sequence[tuple[bytes, Record | None]]) -> None:
    async def work(settings: Settings) -> None:
        keys, topic = read_signing_keys(settings), topics_of(settings).suppressions
        async with publisher(settings, to=[topic]) as publishing:
            partitions = await publishing.partitions(topic)
            await publish_again(publishing, topic, partitions, keys, [(record.key, record) for record in again])
            await publish_again(publishing, topic, partitions, keys, dropped)

    run(work)


async def publish_again(
    publishing: Publisher,
    topic: str,
    partitions: int,
    keys: SigningKeys,
    records: Sequence[tuple[bytes | None, Record | None]],
) -> None:
    """Publish each record by its key, signed with the first of *keys*, or a null if there is none; as `Publisher`."""
    for key, record in progress(records, "signing"):
        named = parse_suppression_key(key)
        if named is None:
            continue
        value, headers = (None, []) if record is None else (record.value, record.headers)
        await publishing.publish(
            topic,
            partition_for(named[1], partitions),
            key=key,
            value=value,
            headers=keys.signed(topic, key, value, headers),
        )
