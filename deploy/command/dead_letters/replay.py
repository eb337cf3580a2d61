"""`pause-notifications dead-letters replay`: plan, ask, publish in order, and report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import typer

from consumers.delivery.escalation import repeatable_notice
from deploy.command.dead_letters.candidates import Candidate, Skip, judge_letter
from deploy.command.dead_letters.current_dispatches import CurrentDispatches, start_times
from deploy.command.dead_letters.plan import Plan, Policy, make_plan, replay_headers
from deploy.command.dead_letters.report import Outcome, count_lines, print_outcome
from deploy.command.dead_letters.selection import (
    Selection,
    StoredLetter,
    selected_letters,
    selection_of,
)
from deploy.support.asking import ask, check_can_ask
from deploy.support.connections import checked_partition_count, publisher, reader, topics_of
from deploy.support.output import print_error, progress, status
from deploy.support.running import EXIT_USAGE, exit_with_error, load_settings, run
from deploy.support.scanning import follow_from, records_until
from runtime.kafka.publisher import Publisher
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place
from runtime.kafka.topics import Topics
from runtime.settings import CommandSettings, Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.events import Event
from schemas.placement import partition_for
from schemas.signatures import SigningKeys


def replay(
    *,
    reason: list[str] | None,
    ids: list[str] | None,
    source: str | None,
    mentor: str | None,
    from_when: str | None,
    until: str | None,
    max_rounds: int,
    include_answered: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Publish dead-lettered events again, in order, after their cause is fixed."""
    check_can_ask("replay", yes=yes or dry_run)
    _check_keys()
    asked = selection_of(reason, source, mentor, from_when, until, ids=ids or ())
    policy = Policy(datetime.now(UTC), max_rounds, include_answered, limit)
    plan = run(lambda settings: _plan(settings, asked, policy))
    if asked.ids and not (plan.replays or plan.skipped):
        exit_with_error("there is no such dead letter (they are kept for 30 days)")
    outcome = Outcome(plan)
    if plan.replays and not dry_run:
        if not yes:
            _show(plan)
        ask(f"Replay {len(plan.replays)}?", done="replayed", yes=yes)
        _publish(outcome, as_json=as_json)
    print_outcome(outcome, dry_run=dry_run, as_json=as_json)


def _check_keys() -> None:
    """End with exit code 2 unless there are keys: replicas ignore a replay that is not signed."""
    if load_settings(CommandSettings).signing_keys_file is None:
        name = env_name("signing_keys_file")
        exit_with_error(f"a replay must be signed: set {name} to the file that the replicas have", EXIT_USAGE)


async def _plan(settings: Settings, asked: Selection, policy: Policy) -> Plan:
    candidates: list[Candidate] = []
    skipped: list[tuple[StoredLetter, Skip]] = []
    keys, topics = read_signing_keys(settings), topics_of(settings)
    async with reader(settings, of=[topics.dead_letters, topics.dispatches, *topics.events]) as reading:
        with status("reading dead letters"):
            async for stored in selected_letters(reading, settings, asked):
                judged = judge_letter(stored, keys)
                if isinstance(judged, Skip):
                    skipped.append((stored, judged))
                else:
                    candidates.append(judged)
        with status(f"reading the dispatches of {len(candidates)} events"):
            current = await _read_current(reading, topics, candidates, keys)
    plan = make_plan(candidates, current, policy)
    plan.skipped[:0] = skipped
    return plan


def _ids(event: Event) -> Iterator[str]:
    """Yield the id of an event's dispatch, and of that whose mentor it tells a coordinator of."""
    yield event.dispatch_id
    if (about := repeatable_notice(event)) is not None:
        yield about


async def _read_current(
    reading: Reader, topics: Topics, candidates: Sequence[Candidate], keys: SigningKeys
) -> CurrentDispatches:
    current = CurrentDispatches(topics, frozenset(id_ for one in candidates for id_ in _ids(one.event)), keys)
    starts = start_times(candidates, topics, len(await reading.partitions(topics.dispatches)))
    # The end of the dispatches is taken before that of the events. So a replay that is processed in between still
    # counts as waiting, and is not published again.
    ends: dict[Place, int] = {}
    for place in sorted(starts, key=lambda place: place.topic != topics.dispatches):
        ends |= await follow_from(reading, [place], starts[place])
    async for record in records_until(reading, ends):
        current.add(record)
    return current


def _show(plan: Plan) -> None:
    for line in count_lines(plan):
        print_error(line)


def _publish(outcome: Outcome, *, as_json: bool) -> None:
    """Publish all; if that ends early, report what is published before the command ends with its exit code."""

    async def work(settings: Settings) -> None:
        topics = topics_of(settings)
        partitions = await checked_partition_count(settings)
        async with publisher(settings, to=topics.events) as publishing:
            await publish_in_order(publishing, topics, partitions, outcome, read_signing_keys(settings))

    try:
        run(work)
    except typer.Exit:
        print_outcome(outcome, dry_run=False, as_json=as_json)
        print_error("Run the same command again to replay the rest.")
        raise


async def publish_in_order(
    publishing: Publisher, topics: Topics, partitions: int, outcome: Outcome, keys: SigningKeys
) -> None:
    """Publish one replay after the other, so that a mentor's events keep their order; raise a PublishError."""
    for replay in progress(outcome.plan.replays, "replaying"):
        stored, event = replay.candidate.stored, replay.candidate.event
        topic, key, value = topics.named(event.kind.topic), event.mentor_id.encode(), stored.letter.value
        outcome.published[stored.at] = await publishing.publish(
            topic,
            partition_for(event.mentor_id, partitions),
            key=key,
            value=value,
            headers=keys.signed(topic, key, value, replay_headers(replay)),
        )
