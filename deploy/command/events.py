"""`pause-notifications events`: publish an event as any producer would."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from deploy.support.connections import publisher, topics_of
from deploy.support.output import hint, json_line, say
from deploy.support.running import run
from runtime.kafka.publisher import Published
from runtime.kafka.topics import partition_for
from runtime.settings import Settings
from schemas.cloudevents import encode_binary, encode_structured
from schemas.events import EVENTS, FACADE_SOURCE, Event, EventData, EventType
from schemas.violations import violations

SOURCE = "/pause-notifications/command"

app = typer.Typer(no_args_is_help=True, help="Publish events as any producer would.", rich_markup_mode=None)
_publish = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Publish one event, or several alike; prints dispatch id and topic-partition-offset.

\b
  pause-notifications events publish pause-lifted --mentor mentor-042
  pause-notifications events publish cert-expiry-reminder --mentor mentor-042 --days-remaining 14
""",
)
app.add_typer(_publish, name="publish")


@app.callback()
def _noun() -> None:
    """Publish events as any producer would."""


def _option(field: str) -> str:
    return "--mentor" if field == "mentor_id" else "--" + field.replace("_", "-")


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _source(given: str) -> str:
    if given == FACADE_SOURCE:
        raise typer.BadParameter("is the REST service's own: replicas set aside what it has not signed")
    return given


def _signature(kind: EventType) -> inspect.Signature:
    """Make the options of one event from its model, and those that all events have."""
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
    of_all = [
        _parameter(
            "event_id", Annotated[str | None, typer.Option("--id", metavar="EVENT_ID", help=_ID_HELP)], default=None
        ),
        _parameter("source", Annotated[str, typer.Option(metavar="URI", callback=_source, help=_SOURCE_HELP)], SOURCE),
        _parameter("times", Annotated[int, typer.Option(min=1, max=100_000, help=_TIMES_HELP)], 1),
        _parameter(
            "structured",
            Annotated[bool, typer.Option("--structured", help="Attributes in the value, not headers.")],
            default=False,
        ),
        _parameter("as_json", Annotated[bool, typer.Option("--json", help="A line of JSON per event.")], default=False),
    ]
    return inspect.Signature([*fields, *of_all])


_SOURCE_HELP = "The producer's name."
_ID_HELP = "The event's id; a known id of the same source is the same event. Without it, a new one each time."
_TIMES_HELP = "Publish that many: each a new event, or with --id the same one again."


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
            _tell(event, published, as_json=as_json)


def _tell(event: Event, published: Published, *, as_json: bool) -> None:
    at = str(published.position)
    if as_json:
        json_line({"dispatch_id": event.dispatch_id, "at": at, "event_id": event.id, "source": event.source})
        return
    say(f"{event.dispatch_id} {at}")
    hint(f"  what became of it: pause-notifications dispatches show {event.dispatch_id} --at {at} --wait 10")
