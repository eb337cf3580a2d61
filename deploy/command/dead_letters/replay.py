"""`pause-notifications dead-letters replay`: plan, ask, publish in order, and report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.command.dead_letters.candidates import Candidate, Skip, judge_letter
from deploy.command.dead_letters.current_dispatches import CurrentDispatches, start_times
from deploy.command.dead_letters.plan import Plan, Policy, make_plan, replay_headers
from deploy.command.dead_letters.report import Outcome, count_lines, print_outcome
from deploy.command.dead_letters.selection import (
    Ids,
    Mentor,
    Reasons,
    Selection,
    Since,
    Source,
    StoredLetter,
    Until,
    selected_letters,
    selection_of,
)
from deploy.command.examples import examples
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
from schemas.placement import partition_for
from schemas.signatures import SigningKeys


@examples(
    "pause-notifications dead-letters replay --dry-run",
    "pause-notifications dead-letters replay --reason unknown_mentor --since 24h",
    "pause-notifications dead-letters replay --id 4c6a3bf0e1d2c3b4a5968778695a4b3c --include-answered",
    "pause-notifications dead-letters replay --source /academy --yes --json",
)
def replay(
    *,
    reason: Reasons = None,
    ids: Ids = None,
    source: Source = None,
    mentor: Mentor = None,
    from_when: Since = None,
    until: Until = None,
    max_rounds: Annotated[
        int, typer.Option(min=1, metavar="TIMES", help="Skip if a recipient was already retried that often.")
    ] = 3,
    include_answered: Annotated[
        bool, typer.Option("--include-answered", help="Also replay if a REST caller was told of the failure.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Replay at most that many: try a few, then the rest.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would happen to each letter; replay nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; required without a terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")] = False,
) -> None:
    """
    Publish dead-lettered events again, in order, after their cause is fixed.

    A replay is the same event, together with its dispatch as it is now. Recipients that are failed or unknown are tried
    again, and an unknown mentor is looked up again. Recipients whose e-mail was sent get no second one.

    Some dead letters are skipped, and the reason is printed. Examples: the record is not an event, its dispatch has
    changed since, a replay is already waiting, its e-mail would be out of date, it was retried too often, or its REST
    caller was told of the failure and may have acted on it. If an answer of SES was lost (reason unknown), a replay may
    send the e-mail a second time.

    You can stop the command at any time and run it again: what was replayed is then skipped. A replay that is published
    twice has no further effect.

    Exit codes: 0 done, or nothing to do; 1 not all could be published, or you declined; 2 wrong usage; 130 stopped.
    """
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


async def _read_current(
    reading: Reader, topics: Topics, candidates: Sequence[Candidate], keys: SigningKeys
) -> CurrentDispatches:
    current = CurrentDispatches(topics, frozenset(one.event.dispatch_id for one in candidates), keys)
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
