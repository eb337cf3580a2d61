"""The producers' guide as data: its marked blocks, and those that are generated from the code.

`python -m tests.contract.guide` writes the generated blocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.kafka.topics import DEFAULT_PARTITIONS
from schemas import cloudevents
from schemas.events import EVENTS, MAX_EVENT_BYTES, CertificationExpiring, EventType, PauseActivated
from schemas.placement import partition_for

SCHEMAS = Path(__file__).parents[2] / "schemas"
GUIDE = SCHEMAS / "README.md"
EXAMPLES = SCHEMAS / "examples"
PAGES = (SCHEMAS / "spring-kafka.md", SCHEMAS / "outbox.md")
"""What the guide says on pages of their own."""

_FILE = re.compile(r"(<!-- file: (\S+) -->\n```\w+\n).*?```", re.DOTALL)
_LANGUAGES = {".py": "python", ".java": "java", ".sh": "sh", ".go": "go", ".mjs": "js"}
_HOW = {
    "publish_aiokafka.py": (
        "Python with aiokafka",
        "python publish_aiokafka.py localhost:9092 mentor-042 pause-8731-activated",
    ),
    "publish_confluent.py": (
        "Python with confluent-kafka",
        "python publish_confluent.py localhost:9092 mentor-042 pause-8731-activated",
    ),
    "PublishPauseActivated.java": (
        "Java with kafka-clients (and slf4j-api, both in the folder JARS)",
        "java -cp 'JARS/*' PublishPauseActivated.java localhost:9092 mentor-042 pause-8731-activated",
    ),
    "franz-go/main.go": (
        "Go with franz-go",
        "cd franz-go && go run . localhost:9092 mentor-042 pause-8731-activated",
    ),
    "sarama/main.go": (
        "Go with Sarama",
        "cd sarama && go run . localhost:9092 mentor-042 pause-8731-activated",
    ),
    "kafkajs/publish.mjs": (
        "Node with KafkaJS",
        "cd kafkajs && npm ci && node publish.mjs localhost:9092 mentor-042 pause-8731-activated",
    ),
    "publish.sh": ("Shell with kcat", "sh publish.sh localhost:9092 mentor-042 pause-8731-activated"),
}

_BESIDE = {"sarama/main.go": ("sarama/outcome.go", "sarama/murmur2.go")}
"""Files that an example needs besides, and that are shown after it."""


def sources() -> set[str]:
    """Return the files of the examples that are shown: those in a programming language."""
    return {str(file.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("*") if file.suffix in _LANGUAGES}


def shown() -> set[str]:
    """Return the files that the guide or one of its pages shows, or to which it links."""
    beside = (name for names in _BESIDE.values() for name in names)
    texts = [page.read_text(encoding="utf-8") for page in (GUIDE, *PAGES)]
    on_pages = (found[2] for text in texts for found in _FILE.finditer(text))
    linked = (name for text in texts for name in re.findall(r"\]\(examples/([^)]+)\)", text))
    return {*_HOW, *beside, *on_pages, *linked}


def with_files(page: str) -> str:
    """Return the text of a page with the files that it shows as they are now."""
    return _FILE.sub(lambda found: f"{found[1]}{(EXAMPLES / found[2]).read_text(encoding='utf-8')}```", page)


def block(name: str) -> str:
    """Return the text between a block's markers."""
    found = re.search(rf"<!-- {name} -->(.*?)<!-- /{name.split(':', maxsplit=1)[0]} -->", _text(), re.DOTALL)
    assert found is not None, f"{GUIDE} has no block {name}"
    return found[1].strip()


def code(name: str) -> str:
    """Return the code after a marker."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", _text(), re.DOTALL)
    assert found is not None, f"{GUIDE} has no code {name}"
    return found[1]


def rows(name: str) -> dict[str, list[str]]:
    """Return a table's rows by their first cell, without its back quotes."""
    lines = [line.strip("| ").split(" | ") for line in block(name).splitlines()[2:]]
    return {first.strip("`"): rest for first, *rest in lines}


def _text() -> str:
    return GUIDE.read_text(encoding="utf-8")


def _table(*lines: tuple[str, ...]) -> str:
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *body))


def events_table() -> str:
    """Return a table of the four events."""
    return _table(("type", "topic", "meaning", "recipients", "data"), *map(_event_row, EVENTS))


def _event_row(event: EventType) -> tuple[str, ...]:
    example = json.dumps(event.example, separators=(",", ":"))
    return (
        f"[`{event.type}`](json/{event.type}.json)",
        f"`{event.topic}`",
        event.summary,
        ", ".join(role.value for role in event.roles),
        f"`{example}`",
    )


def partitions_table() -> str:
    """Return a table of a few keys with their partitions."""
    keys = ("mentor-042", "mentor-007", "coordinator-007", "José-9")
    return _table(("key", *(f"`{key}`" for key in keys)), ("partition", *(str(_partition(key)) for key in keys)))


def _partition(key: str) -> int:
    return partition_for(key, DEFAULT_PARTITIONS)


def limits_table() -> str:
    """Return a table of the limits."""
    pause = PauseActivated.model_json_schema()["properties"]
    days: Mapping[str, Any] = CertificationExpiring.model_json_schema()["properties"]["days_remaining"]
    return _table(
        ("what", "limit"),
        ("a record's value", f"{MAX_EVENT_BYTES // 1024} KiB ({MAX_EVENT_BYTES} bytes), uncompressed"),
        ("`id`, `type`", f"1 to {cloudevents._MAX_ID} characters"),
        ("`source`", f"1 to {cloudevents._MAX_SOURCE} characters"),
        *((f"`{name}`", f"1 to {pause[name]['maxLength']} characters") for name in ("mentor_id", "pause_reason")),
        ("`days_remaining`", f"a whole number from {days['minimum']} to {days['maximum']}"),
    )


def examples() -> str:
    """Return every example in full, under its heading."""
    return "\n\n".join(_example(name, *how) for name, how in _HOW.items())


def _example(name: str, heading: str, command: str) -> str:
    return "\n\n".join([f"### {heading}", f"`{command}`", *map(_listing, (name, *_BESIDE.get(name, ())))])


def _listing(name: str) -> str:
    file = EXAMPLES / name
    return f"```{_LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8')}```"


GENERATED: Mapping[str, Callable[[], str]] = {
    "events": events_table,
    "partitions": partitions_table,
    "limits": limits_table,
    "examples": examples,
}


def write() -> None:
    """Write the blocks that are generated from the code."""
    text = _text()
    for name, make in GENERATED.items():
        before, opening, rest = text.partition(f"<!-- {name} -->")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{opening}\n{make()}\n{closing}{after}"
    GUIDE.write_text(text, encoding="utf-8")
    for page in PAGES:
        page.write_text(with_files(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
