"""`pause-notifications dead-letters`: list, show and replay dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from deploy.command.option_values import dispatch_id_or_position, when
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetterReason

_REASONS = tuple(reason.value for kind in (DeadLetterReason, NotAnEventReason) for reason in kind)

app = Noun("List, show and replay dead letters.")


def _check_reasons(given: list[str] | None) -> list[str]:
    if not {*(given or ())} <= {*_REASONS}:
        raise typer.BadParameter("must be one of " + ", ".join(_REASONS))
    return given or []


def _check_ids(given: list[str] | None) -> list[str]:
    return [dispatch_id_or_position(text) for text in given or ()]


Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        callback=_check_reasons,
        help="Only letters with this reason; may be given several times.",
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        metavar="DISPATCH_ID|TOPIC-PARTITION-OFFSET",
        callback=_check_ids,
        help="Only letters of this dispatch, or at this position; may be given several times.",
    ),
]
Source = Annotated[str | None, typer.Option(metavar="URI", help="Only events of this producer.")]
Mentor = Annotated[str | None, typer.Option(metavar="ID", help="Only events about this mentor.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        callback=when,
        help="Only letters of the last 90m, 24h or 7d, or since a time.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", callback=when, help="Only letters before that; written as --since."),
]


@app.command("list")
@examples(
    "pause-notifications dead-letters list --since 24h",
    "pause-notifications dead-letters list --reason failed --letters --json",
)
def list_letters(
    *,
    reason: Reasons = None,
    source: Source = None,
    mentor: Mentor = None,
    from_when: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to show; all are counted.")] = 20,
    one_by_one: Annotated[bool, typer.Option("--letters", help="Show all letters, without counts.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the counts as one line of JSON; with --letters, one line per letter.")
    ] = False,
) -> Work:
    """Count dead letters by reason, age and mentor, and show the newest."""
    from deploy.command.dead_letters import browse

    return lambda: browse.list_letters(
        reason=reason,
        source=source,
        mentor=mentor,
        from_when=from_when,
        until=until,
        limit=limit,
        one_by_one=one_by_one,
        as_json=as_json,
    )


@app.command()
@examples(
    "pause-notifications dead-letters show pause-notifications.dead-letters.v1-3-17",
    "pause-notifications dead-letters show 4c6a3bf0e1d2c3b4a5968778695a4b3c",
)
def show(
    which: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC-PARTITION-OFFSET|DISPATCH_ID",
            callback=dispatch_id_or_position,
            help="From dead-letters list.",
        ),
    ],
) -> Work:
    """
    Show dead letters in full: reason, origin, headers, value, and the dispatch at that time.

    A dispatch id shows all letters of that dispatch. A position may be the letter's own or that of its origin.

    Control characters are shown as their numbers, and bytes that are not UTF-8 as hexadecimal digits.
    """
    from deploy.command.dead_letters import browse

    return lambda: browse.show(which)


@app.command()
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
) -> Work:
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
    from deploy.command.dead_letters import replay

    return lambda: replay.replay(
        reason=reason,
        ids=ids,
        source=source,
        mentor=mentor,
        from_when=from_when,
        until=until,
        max_rounds=max_rounds,
        include_answered=include_answered,
        limit=limit,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
