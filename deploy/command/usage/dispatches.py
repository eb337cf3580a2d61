"""`pause-notifications dispatches`: the results of events, and how events end without a send."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from deploy.command.operator import By, one_line, source_of_events
from deploy.command.option_values import dispatch_id as an_id
from deploy.command.option_values import parse_when, position, when
from schemas.events import EVENTS_BY_NAME, EVENTS_BY_TYPE

app = Noun("Show the results of events, and cancel events.")


def _type_of(name: str | None) -> str | None:
    """Return the type of an event by its name or its type; raise a usage error for another."""
    if name is None or name in EVENTS_BY_TYPE:
        return name
    if name not in EVENTS_BY_NAME:
        raise typer.BadParameter(f"must be one of {', '.join(EVENTS_BY_NAME)}")
    return EVENTS_BY_NAME[name].type


@app.command()
@examples(
    "pause-notifications dispatches show 4c6a… --at mentor.pauses.v1-3-1042 --wait 10",
    "pause-notifications dispatches show 4c6a… --since 7d --json",
)
def show(
    *,
    dispatch_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", callback=an_id, help="Dispatch-Id of a REST response, or as printed by events publish."
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC-PARTITION-OFFSET", callback=position, help="Position of its event, to find it at once."
        ),
    ] = None,
    from_when: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="WHEN",
            callback=when,
            help="Without --at: how far back to look; 90m, 24h, 7d, or a time.",
        ),
    ] = "24h",
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait up to that long until it is final.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the dispatch as JSON, as it is in Kafka, and the feedback.")
    ] = False,
) -> Work:
    """
    Show a dispatch: each recipient with its status and reason, and what became of the e-mail.

    An accepted event may wait before its dispatch is written, such as while sending is stopped. Then it is shown
    without recipients, with what keeps it.

    The exit code is 1 if the dispatch is not found, or is not final after --wait.
    """
    from deploy.command import dispatches

    return lambda: dispatches.show(dispatch_id=dispatch_id, at=at, from_when=from_when, wait=wait, as_json=as_json)


@app.command("list")
@examples(
    "pause-notifications dispatches list --mentor mentor-042 --since 7d",
    "pause-notifications dispatches list --mentor mentor-042 --json",
)
def list_dispatches(
    *,
    mentor: Annotated[str, typer.Option(metavar="ID", help="The mentor whose events led to the dispatches.")],
    from_when: Annotated[
        str,
        typer.Option("--since", metavar="WHEN", callback=when, help="How far back to look; 90m, 24h, 7d, or a time."),
    ] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per dispatch.")] = False,
) -> Work:
    """List the dispatches of a mentor, in the order of their events: what happened, and who was told."""
    from deploy.command import dispatches

    return lambda: dispatches.list_dispatches(mentor=mentor, from_when=from_when, as_json=as_json)


@app.command()
@examples(
    "pause-notifications dispatches cancel --source /hr/absences --since 2h --dry-run",
    'pause-notifications dispatches cancel --source /hr/absences --since 2h --reason "wrong bulk publish"',
    "pause-notifications dispatches cancel --undo 3f9a01bc",
)
def cancel(
    *,
    source: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", callback=source_of_events, help="The CloudEvents `source` of the events."),
    ] = None,
    from_when: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", callback=when, help="Events appended since: 90m, 24h, 7d, or a time."),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="EVENT", callback=_type_of, help="Only these, such as pause-activated; else all."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", callback=one_line, help="Why, in your words; all who look see it.")
    ] = None,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ID", help="Lift the cancel with this id (see: controls).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be cancelled; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; required without a terminal.")] = False,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the count as one line of JSON.")] = False,
) -> Work:
    """
    End the events of one source that are not sent yet, without a send: the wrong bulk publish of a Friday.

    It concerns events appended from --since until now. Hold a source first if it still publishes: what comes later is
    not cancelled. Recipients that are not sent to yet end as suppressed, with the reason cancelled. What is sent, or
    being sent, stays. An e-mail whose answer was lost ends as unknown, since it may have been sent.

    --undo lifts a cancel: events that it has not ended yet are sent. What it has ended stays ended; to send it after
    all, publish it again with new ids.
    """
    if undo is not None:
        if dry_run or as_json or any(other is not None for other in (source, from_when, event)):
            raise typer.BadParameter("goes alone", param_hint="--undo")
        from deploy.command.controls import cancel

        return lambda: cancel.undo(undo, reason, by)
    if source is None or from_when is None:
        raise typer.BadParameter("are both needed, or --undo", param_hint="--source and --since")
    from deploy.command.controls import cancel

    wanted = cancel.wanted(source, parse_when(from_when), event)
    return lambda: cancel.cancel(wanted, reason=reason, dry_run=dry_run, yes=yes, by=by, as_json=as_json)
