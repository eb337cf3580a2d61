"""`pause-notifications events`: publish an event as a producer does, or check records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from schemas.events import EVENTS, OUR_SOURCES, EventData, EventType
from schemas.headers import parse_header
from schemas.placement import DEFAULT_PARTITIONS, MOST_PARTITIONS
from schemas.violations import violations

SOURCE = "/pause-notifications/command"

app = Noun("Publish events as a producer does, or check them.")
_publish = Noun("""Publish one event, or several like it; print dispatch id and position.

\b
  pause-notifications events publish pause-lifted --mentor mentor-042
  pause-notifications events publish cert-expiry-reminder --mentor mentor-042 --days-remaining 14
""")
app.add_typer(_publish, name="publish")


def _header(text: str) -> tuple[str, bytes]:
    try:
        return parse_header(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _option(field: str) -> str:
    return "--mentor" if field == "mentor_id" else "--" + field.replace("_", "-")


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _source(given: str) -> str:
    if given in OUR_SOURCES:
        raise typer.BadParameter("belongs to the REST service: replicas dead-letter events with it that are not signed")
    return given


def _signature(kind: EventType) -> inspect.Signature:
    """Build the options of one event from its model, and add those that all events have."""
    fields = [
        _parameter(
            name,
            Annotated[
                int if info.annotation is int else str,
                typer.Option(_option(name), metavar="ID" if name == "mentor_id" else None, help=info.description),
            ],
        )
        for name, info in kind.model.model_fields.items()
    ]
    common = [
        _parameter(
            "event_id", Annotated[str | None, typer.Option("--id", metavar="EVENT_ID", help=_ID_HELP)], default=None
        ),
        _parameter("source", Annotated[str, typer.Option(metavar="URI", callback=_source, help=_SOURCE_HELP)], SOURCE),
        _parameter("times", Annotated[int, typer.Option(min=1, max=100_000, help=_TIMES_HELP)], 1),
        _parameter(
            "structured",
            Annotated[bool, typer.Option("--structured", help="Put the attributes into the value, not into headers.")],
            default=False,
        ),
        _parameter(
            "as_json", Annotated[bool, typer.Option("--json", help="Print one line of JSON per event.")], default=False
        ),
    ]
    return inspect.Signature([*fields, *common])


_SOURCE_HELP = "Name of the producer."
_ID_HELP = "Id of the event; the same id and source mean the same event. Without it, a new id each time."
_TIMES_HELP = "Publish that many: a new event each time, or with --id the same one."


def _command(kind: EventType) -> Callable[..., Work]:
    def publish(
        *, event_id: str | None, source: str, times: int, structured: bool, as_json: bool, **given: Any
    ) -> Work:
        data = _data(kind, given)
        from deploy.command import events

        return lambda: events.publish(
            kind, data, event_id=event_id, source=source, times=times, structured=structured, as_json=as_json
        )

    signature = _signature(kind)
    publish.__signature__ = signature  # type: ignore[attr-defined]  # typer reads the options from it
    publish.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    publish.__doc__ = f"{kind.summary}.\n\n\b\n  {_example(kind)}"
    return publish


def _example(kind: EventType) -> str:
    options = " ".join(f"{_option(name)} {value}" for name, value in kind.example.items())
    return f"pause-notifications events publish {kind.name} {options}"


for _kind in EVENTS:
    _publish.command(_kind.name)(_command(_kind))


def _data(kind: EventType, given: dict[str, Any]) -> EventData:
    try:
        return kind.model.model_validate(given)
    except ValidationError as error:
        found = violations(error)[0]
        raise typer.BadParameter(found.rule, param_hint=_option(str(found.place[0]))) from None


@app.command()
@examples(
    "kcat -C -e -J -b kafka:9092 -t mentor.pauses.v1 | pause-notifications events check -",
    "pause-notifications events check event.json",
    "pause-notifications events check -H ce_specversion=1.0 -H ce_id=1 -H ce_source=/x "
    "-H ce_type=mentor.pause.lifted.v1 value.json",
)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="kcat's output (-J), JSON Lines or one record; - stdin.")],
    *,
    headers: Annotated[
        list[str], typer.Option("--header", "-H", metavar="NAME=VALUE", help="FILE is a value; this is its header.")
    ] = [],  # noqa: B006 - typer reads the default, and nobody changes it
    partitions: Annotated[
        int, typer.Option(min=1, max=MOST_PARTITIONS, help="Partitions of the topic.")
    ] = DEFAULT_PARTITIONS,
    namespace: Annotated[
        str, typer.Option(envvar="PAUSE_NOTIFICATIONS_NAMESPACE", help="What precedes the topics' names.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per record.")] = False,
) -> Work:
    """
    Judge records without a broker: event or dead letter, why, which partition and dispatch, who gets an e-mail.

    The code of replicas decides. Of topic, partition and key only what is written can be judged, and a note names the
    rest. Exit code 0: each record is an event in its place, as far as that is written. 1: one is not. 2: one is
    unreadable.
    """
    parsed = [_header(text) for text in headers]
    from deploy.command import events_check

    return lambda: events_check.check(file, headers=parsed, partitions=partitions, namespace=namespace, as_json=as_json)
