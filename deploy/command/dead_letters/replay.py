"""`pause-notifications dead-letters replay`: reads, asks, publishes in order, and says what became of each letter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.command.dead_letters.candidates import Candidate, Skip, candidate_of
from deploy.command.dead_letters.current_dispatches import Standings, where_to_look
from deploy.command.dead_letters.plan import Plan, Policy, plan, replay_headers
from deploy.command.dead_letters.report import Outcome, counts, tell_outcome
from deploy.command.dead_letters.selection import (
    Found,
    Mentor,
    Reasons,
    Selection,
    Since,
    Source,
    Until,
    Which,
    instant,
    letters,
)
from deploy.command.examples import examples
from deploy.support.connections import fit_topics, publisher, reader, topics_of
from deploy.support.output import progress, status, tell
from deploy.support.running import EXIT_USAGE, refuse, run, settings_of
from deploy.support.scanning import follow_from, to_end
from runtime.kafka.publisher import Publisher
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place
from runtime.kafka.topics import Topics, partition_for
from runtime.settings import CommandSettings, Settings, env_name
from runtime.signing_keys import read_signing_keys
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
    which: Which = None,
    source: Source = None,
    mentor: Mentor = None,
    from_when: Since = None,
    until: Until = None,
    max_rounds: Annotated[
        int, typer.Option(min=1, metavar="TIMES", help="Skip where somebody was tried again that often already.")
    ] = 3,
    include_answered: Annotated[
        bool, typer.Option("--include-answered", help="Also where a REST caller was told of the failure.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="At most that many: try a few, then the rest.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, a line a letter; do none.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody can be asked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one line of JSON.")] = False,
) -> None:
    """
    Send dead letters again, once their cause is mended: in order, and to nobody whose mail was sent.

    A replay is a copy of the event that carries its dispatch as it now stands: failed and unknown recipients are tried
    again, an unknown mentor is looked up again, and whoever was sent to is left alone. All that is asked for is
    replayed, but for what is skipped, with the rule said: what is no event, moved on since, waits already, is too late
    to be true, was tried too often, or whose REST caller was told of the failure and may have acted on it. Where an
    answer of SES was lost (reason unknown) the mail may reach somebody a second time.

    It may be stopped at any moment and run again: what was replayed is skipped then, and a replay published twice does
    nothing the second time.

    Exit codes: 0 done, or nothing to do; 1 not all could be published, or it was declined; 2 wrong usage;
    130 stopped.
    """
    if not (dry_run or yes or sys.stdin.isatty()):
        refuse("nobody can be asked here: look with --dry-run, then replay with --yes", EXIT_USAGE)
    _check_keys()
    asked = Selection(
        frozenset(reason or ()), frozenset(which or ()), source, mentor, instant(from_when), instant(until)
    )
    policy = Policy(datetime.now(UTC), max_rounds, include_answered, limit)
    planned = run(lambda settings: _plan(settings, asked, policy))
    if asked.which and not (planned.replays or planned.skipped):
        refuse("there is no such dead letter (they are kept for 30 days)")
    outcome = Outcome(planned)
    if planned.replays and not dry_run:
        _confirm(planned, yes=yes)
        _publish(outcome, as_json=as_json)
    tell_outcome(outcome, dry_run=dry_run, as_json=as_json)


def _check_keys() -> None:
    """End with exit code 2 unless there are keys: replicas believe no replay that is not signed."""
    if settings_of(CommandSettings).signing_keys_file is None:
        name = env_name("signing_keys_file")
        refuse(f"a replay is signed, and replicas take no other: set {name} to the file that they have", EXIT_USAGE)


async def _plan(settings: Settings, asked: Selection, policy: Policy) -> Plan:
    candidates: list[Candidate] = []
    skipped: list[tuple[Found, Skip]] = []
    keys, topics = read_signing_keys(settings), topics_of(settings)
    async with reader(settings, of=[topics.dead_letters, topics.dispatches, *topics.events]) as reading:
        with status("reading dead letters"):
            async for found in letters(reading, settings, asked):
                judged = candidate_of(found, keys)
                if isinstance(judged, Skip):
                    skipped.append((found, judged))
                else:
                    candidates.append(judged)
        with status(f"reading what became of {len(candidates)}"):
            standings = await _standings(reading, topics_of(settings), candidates, keys)
    planned = plan(candidates, standings, policy)
    planned.skipped[:0] = skipped
    return planned


async def _standings(reading: Reader, topics: Topics, candidates: Sequence[Candidate], keys: SigningKeys) -> Standings:
    standings = Standings(topics, frozenset(one.event.dispatch_id for one in candidates), keys)
    starts = where_to_look(candidates, topics, len(await reading.partitions(topics.dispatches)))
    # The dispatches' ends are taken first: a replay taken since then is found to wait, and never passed over.
    in_turn = sorted(starts, key=lambda place: place.topic != topics.dispatches)
    ends: dict[Place, int] = {}
    for place in in_turn:
        ends |= await follow_from(reading, [place], starts[place])
    async for record in to_end(reading, ends):
        standings.take(record)
    return standings


def _confirm(planned: Plan, *, yes: bool) -> None:
    if yes:
        return
    for line in counts(planned):
        tell(line)
    if not typer.confirm(f"Replay {len(planned.replays)}?", err=True):
        refuse("nothing was replayed")


def _publish(outcome: Outcome, *, as_json: bool) -> None:
    """Publish all; where that ends early, say what is done by then before the command ends with its code."""

    async def work(settings: Settings) -> None:
        topics = topics_of(settings)
        partitions = await fit_topics(settings)
        async with publisher(settings, to=topics.events) as publishing:
            await publish_in_order(publishing, topics, partitions, outcome, read_signing_keys(settings))

    try:
        run(work)
    except typer.Exit:
        tell_outcome(outcome, dry_run=False, as_json=as_json)
        tell("What is left may be replayed by the same command again.")
        raise


async def publish_in_order(
    publishing: Publisher, topics: Topics, partitions: int, outcome: Outcome, keys: SigningKeys
) -> None:
    """Publish replays one after the other, so that no mentor's later event overtakes; raises a PublishError."""
    for replay in progress(outcome.planned.replays, "replaying"):
        found, event = replay.candidate.found, replay.candidate.event
        topic, key, value = topics.named(event.kind.topic), event.mentor_id.encode(), found.letter.value
        outcome.published[found.at] = await publishing.publish(
            topic,
            partition_for(event.mentor_id, partitions),
            key=key,
            value=value,
            headers=keys.signed(topic, key, value, replay_headers(replay)),
        )
