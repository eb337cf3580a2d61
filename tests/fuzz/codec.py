"""
Fuzz the codec: records of the kept corpus, changed at random, in both modes.

Each record is an event or has a reason, and nothing is raised. An event is written and read back unchanged, in either
mode. A detail repeats nothing of the record. A dead letter of any record can be written, and is read back.
`python -m tests.fuzz codec` adds to the corpus what was judged as nothing in it was.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from schemas.cloudevents import NotAnEvent, decode, encode_binary, encode_structured
from schemas.dead_letters import DeadLetter, from_record, to_record
from schemas.dispatch import Origin
from schemas.events import EVENTS, Event

CORPUS = Path(__file__).with_name("codec_corpus.jsonl")

_ORIGIN = Origin(topic="t", partition=0, offset=0, appended_at=datetime(2026, 3, 26, tzinfo=UTC))
_NAME = "Schlüsselblume"
"""A text in many records of the corpus, which no detail may repeat."""
_LISTED = re.compile(r"[\w, -]+(?=: )|[0-9]+")
"""What differs between details that are alike: names of fields and headers, and numbers."""
_PIECES = (
    *(b"\0", b"\xff", b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n"),
    *(b"null", b"1e999", b"9" * 30, b"NaN", b"true", b'""', b"{}", b'"mentor_id"', b'"specversion":"1.0"', b'"data"'),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", "\U0001f600".encode(), b"2026-12-31T23:59:60Z", b"0001-01-01"),
    *(b"application/json", b"application/cloudevents+json", b"; charset=utf-16", b"1.0", b"x" * 600),
    *(kind.type.encode() for kind in EVENTS),
)
_HEADERS = (
    *("ce_id", "CE_ID", "ce_source", "ce_type", "ce_specversion", "ce_time", "ce_", "ce-id", "content-type"),
    *("contentType", "Content-Type", "id", "pn_replay", "pn_reason", "traceparent", "", "ü"),
)


class Found(Exception):
    """A finding, and the record that caused it."""


class Wire(NamedTuple):
    """The headers and the value of a record."""

    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None

    def line(self, outcome: str) -> str:
        """Return it as a line of the corpus, with its outcome."""
        return json.dumps(
            {
                "judged": outcome,
                "headers": [[name, _text(text)] for name, text in self.headers],
                "value": _text(self.value),
            }
        )


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("latin-1")


def _content(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def corpus() -> list[tuple[Wire, str]]:
    """Return the kept records, and the outcome with which each was kept."""
    lines = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines())
    return [
        (Wire(tuple((name, _content(text)) for name, text in one["headers"]), _content(one["value"])), one["judged"])
        for one in lines
    ]


class Judged(NamedTuple):
    """How a record is judged."""

    outcome: str
    """The event's type, or the reason of the dead letter."""
    detail: str
    """In a form that is the same for records alike."""


def judge(wire: Wire) -> Judged:
    """Return how a record is judged; raise Found if a rule is broken."""
    try:
        event = decode(wire.headers, wire.value)
    except NotAnEvent as error:
        _check_letter(wire, error)
        return Judged(error.reason, _LISTED.sub("", error.detail))
    _check_event(wire, event)
    return Judged(event.kind.type, f"{event.time is None} {event.time_unreadable} {event.unknown_fields != ()}")


def _check_event(wire: Wire, event: Event) -> None:
    for encode in (encode_binary, encode_structured):
        record = encode(event)
        back = decode(record.headers, record.value)
        if (event.kind, event.dispatch_id, event.digest, event.time) != (
            back.kind,
            back.dispatch_id,
            back.digest,
            back.time,
        ):
            raise Found(f"another event is read back: {wire!r}")
        if event.mentor_id.encode() != record.key:
            raise Found(f"another key is written: {wire!r}")


def _check_letter(wire: Wire, error: NotAnEvent) -> None:
    if _NAME in error.detail:
        raise Found(f"the detail repeats the record: {wire!r}")
    letter = DeadLetter(error.reason, _ORIGIN, b"k", wire.value, wire.headers, detail=error.detail)
    back = from_record(*to_record(letter))
    if back is None or (letter.reason, letter.origin, letter.detail) != (back.reason, back.origin, back.detail):
        raise Found(f"another dead letter is read back: {wire!r}")


def fuzz(seed: int, seconds: float) -> str:
    """Judge changed records for some seconds; return a summary."""
    summary, _ = _fuzz(seed, seconds)
    return summary


def keep(seed: int, seconds: float) -> str:
    """Fuzz, and add to the corpus what was judged as nothing in it was."""
    summary, new = _fuzz(seed, seconds)
    with CORPUS.open("a", encoding="utf-8") as file:
        file.writelines(f"{wire.line(how.outcome)}\n" for how, wire in new.items())
    return summary


def _fuzz(seed: int, seconds: float) -> tuple[str, dict[Judged, Wire]]:
    random, until, number = Random(seed), time.monotonic() + seconds, 0
    population = [wire for wire, _ in corpus()]
    seen = set(map(judge, population))
    new: dict[Judged, Wire] = {}
    outcomes = Counter[str]()
    while time.monotonic() < until or not number:
        wire = _changed(random.choice(population), random)
        try:
            how = judge(wire)
        except Exception as error:
            raise Found(f"seed {seed}, record {number}: {error!r}; {wire!r}"[:4000]) from error
        outcomes[how.outcome] += 1
        number += 1
        if how not in seen:
            seen.add(how)
            new[how] = wire
            population.append(wire)
    told = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{number} records: {told}; {len(new)} judged as none in the corpus", new


def _changed(wire: Wire, random: Random) -> Wire:
    for _ in range(random.choice((1, 1, 2, 4))):
        headers, value = wire
        if headers and random.random() < 0.5:
            wire = Wire(_other_headers(list(headers), random), value)
        else:
            wire = Wire(headers, _other_value(value, random))
    return wire


def _other_headers(headers: list[tuple[str, bytes | None]], random: Random) -> tuple[tuple[str, bytes | None], ...]:
    place = random.randrange(len(headers))
    name, content = headers[place]
    match random.randrange(5):
        case 0:
            del headers[place]
        case 1:
            headers.insert(place, (random.choice(_HEADERS), content))
        case 2:
            headers[place] = (random.choice(_HEADERS), content)
        case 3:
            headers[place] = (name, None)
        case _:
            headers[place] = (name, _other_bytes(content or b"", random))
    return tuple(headers)


def _other_value(value: bytes | None, random: Random) -> bytes | None:
    match random.randrange(20):
        case 0:
            return None
        case 1:
            return base64.b64encode(value or b"")
        case 2:
            return json.dumps((value or b"").decode("latin-1")).encode()
        case _:
            return _other_bytes(value or b"", random)


def _other_bytes(content: bytes, random: Random) -> bytes:
    start = random.randint(0, len(content))
    end = min(len(content), start + random.choice((0, 0, 1, 4, 20)))
    match random.randrange(4):
        case 0:
            return content[:start] + content[end:]
        case 1:
            return content[:start] + content[start:end] * 2 + content[end:]
        case 2:
            return content[:start] + bytes([random.randrange(256)]) + content[end:]
        case _:
            return content[:start] + random.choice(_PIECES) + content[end:]
