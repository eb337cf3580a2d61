"""`pause-notifications events`: publish an event as a producer does, or check records."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from deploy.command.events_check import check
from deploy.support.connections import publisher, topics_of
from deploy.support.output import print_hint, print_json, print_text
from deploy.support.running import run
from runtime.kafka.publisher import Published
from runtime.settings import Settings
from schemas.cloudevents import encode_binary, encode_structured
from schemas.events import EVENTS, OUR_SOURCES, Event, EventData, EventType
from schemas.placement import partition_for
from schemas.violations import violations

SOURCE = "/pause-notifications/command"

app = typer.Typer(no_args_is_help=True, help="Publish events as a producer does, or check them.", rich_markup_mode=None)
_publish = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Publish one event, or several like it; print dispatch id and position.

\b
  pause-notifications events publish pause-lifted --mentor mentor-042
  pause-notifications events publish cert-expiry-reminder --mentor mentor-042 --days-remaining 14
""",
)
app.add_typer(_publish, name="publish")


@app.callback()
def _noun() -> None:
    """Publish events as a producer does, or check them."""


app.command()(check)


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


def _command(kind: EventType) -> Callable[..., None]:
    def publish(
        *, event_id: str | None, source: str, times: int, structured: bool, as_json: bool, **given: Any
    ) -> None:
        data = _data(kind, given)
        now = datetime.now(UTC)
        events = [Event(kind, event_id or str(uuid.uuid4()), source, data, time=now) for _ in range(times)]

        async def work(settings: Settings) -> None:
            await _publish_all(settings, events, structured=structured, as_json=as_json)

        run(work)

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


async def _publish_all(settings: Settings, events: list[Event], *, structured: bool, as_json: bool) -> None:
    async with publisher(settings, to={topics_of(settings).named(event.kind.topic) for event in events}) as publishing:
        for event in events:
            record = (encode_structured if structured else encode_binary)(event)
            topic = topics_of(settings).named(record.topic)
            partition = partition_for(event.mentor_id, await publishing.partitions(topic))
            published = await publishing.publish(
                topic, partition, key=record.key, value=record.value, headers=record.headers
            )
            _print_published(event, published, as_json=as_json)


def _print_published(event: Event, published: Published, *, as_json: bool) -> None:
    at = str(published.position)
    if as_json:
        print_json({"dispatch_id": event.dispatch_id, "at": at, "event_id": event.id, "source": event.source})
        return
    print_text(f"{event.dispatch_id} {at}")
    print_hint(f"  its result: pause-notifications dispatches show {event.dispatch_id} --at {at} --wait 10")
