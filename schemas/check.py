"""
Check records before they are published, without a broker: `python -m schemas.check [OPTIONS] FILE|-`.

It exits with 0 if every record is an event in its place, with 1 if one is not, and with 2 if a record is unreadable.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from schemas.earlier_records import EarlierRecords
from schemas.events import MAX_EVENT_BYTES
from schemas.headers import Headers, parse_header
from schemas.judgement import Judgement, judge, listed
from schemas.placement import DEFAULT_PARTITIONS, MOST_PARTITIONS
from schemas.written_records import UnreadableRecord, WrittenRecord, read_records

WRONG, UNREADABLE = 1, 2


@dataclass(frozen=True)
class Checking:
    """How records are checked."""

    partitions: int = DEFAULT_PARTITIONS
    namespace: str = ""
    headers: Headers = ()
    """If given, all that is read is one record's value, and these are its headers."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def judgements(self, source: BinaryIO) -> Iterator[Judgement]:
        """
        Yield a judgement for each record in *source*.

        Raises:
            UnreadableRecord: at the first record that cannot be read, or if there is none: whoever checks nothing
                must not be told that all is well.
        """
        record, earlier = None, EarlierRecords()
        for record in self._records(source):
            judgement = judge(record, partitions=self.partitions, namespace=self.namespace, now=self.now())
            yield earlier.compared(judgement)
        if record is None:
            raise UnreadableRecord("there is no record to check")

    def _records(self, source: BinaryIO) -> Iterator[WrittenRecord]:
        if not self.headers:
            return read_records(source)
        # One byte more than a value may have is enough to see that it is too large.
        value = source.read(MAX_EVENT_BYTES + 2).removesuffix(b"\n")
        return iter([WrittenRecord("the value", value, self.headers)])


def described(judgement: Judgement) -> list[str]:
    """Return a judgement in words, a line each. Texts of the record are in them as they are."""
    event, place = judgement.event, judgement.place
    notes = [f"  note: {note}" for note in judgement.notes]
    if judgement.reason or event is None or place is None:
        what = "no event" if judgement.unread else "a dead letter"
        return [f"{judgement.where}: {what}: {judgement.reason}", f"  {judgement.detail}", *notes]
    then = "" if judgement.unread else ", so the record would be moved"
    wrong = f": wrong {listed(judgement.misplaced)}{then}" if judgement.misplaced else ""
    told = " and ".join(role.value for role in judgement.told) or "nobody"
    return [
        f"{judgement.where}: an event: {event.kind.type}",
        f"  source {event.source}, id {event.id}",
        f"  dispatch {event.dispatch_id}",
        f"  belongs to {place.topic}, partition {place.partition}, key {event.mentor_id}{wrong}",
        f"  e-mail to {told}",
        *notes,
    ]


def as_object(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as one JSON object."""
    event, place = judgement.event, judgement.place
    found: dict[str, Any] = {"where": judgement.where, "event": not judgement.reason}
    if judgement.reason:
        found |= {"reason": str(judgement.reason), "detail": judgement.detail}
    if event is not None:
        found |= {"type": event.kind.type, "source": event.source, "id": event.id, "dispatch_id": event.dispatch_id}
    if event is not None and place is not None:
        found |= {"topic": place.topic, "partition": place.partition, "key": event.mentor_id}
        found |= {
            "misplaced": list(judgement.misplaced),
            "unjudged": list(judgement.unjudged),
            "unread": judgement.unread,
        }
        found |= {"told": [role.value for role in judgement.told]}
    return {**found, "notes": list(judgement.notes)}


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for `-`; the latter stays open."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with open(name, "rb") as file:  # noqa: PTH123 - the name may be any file's, a pipe's too
        yield file


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the records of a file, print the judgements, and return the exit code."""
    given = _parser().parse_args(arguments)
    checking = Checking(given.partitions, given.namespace, given.headers)
    right = True
    try:
        with opened(given.file) as source:
            for judgement in checking.judgements(source):
                right = right and judgement.is_right
                lines = [json.dumps(as_object(judgement))] if given.json else [*map(_shown, described(judgement))]
                sys.stdout.write("\n".join(lines) + "\n")
    except BrokenPipeError:  # whoever reads the judgements has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # which Python flushes at its end
        return WRONG
    except (UnreadableRecord, OSError) as error:
        sys.stderr.write(f"{_shown(reason_of(error))}\n")
        return UNREADABLE
    return 0 if right else WRONG


def reason_of(error: UnreadableRecord | OSError) -> str:
    """Return why the check ended early, and in which file, unless it was opened: then reading or writing failed."""
    if isinstance(error, OSError):
        return f"{error.filename or 'input or output'}: {error.strerror}"
    return str(error)


def _shown(line: str) -> str:
    """Return a line whose control and invisible characters are escaped, since it has texts from strangers."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def _header(text: str) -> tuple[str, bytes]:
    try:
        return parse_header(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _partitions(text: str) -> int:
    if text.isdecimal() and 1 <= int(text[:9]) <= MOST_PARTITIONS:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 1 to {MOST_PARTITIONS}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m schemas.check", description="Check records before publishing.")
    parser.add_argument("file", metavar="FILE", help="kcat's output (-J), JSON Lines or one record; - for stdin")
    parser.add_argument(
        "-H",
        dest="headers",
        action="append",
        default=[],
        type=_header,
        metavar="NAME=VALUE",
        help="a header of the record; the file is then its value alone",
    )
    parser.add_argument(
        "--partitions",
        type=_partitions,
        default=DEFAULT_PARTITIONS,
        metavar="N",
        help="of the topic; %(default)s if not given",
    )
    parser.add_argument("--namespace", default="", metavar="NAME", help="the operator's, if there is one")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each record")
    return parser


if __name__ == "__main__":
    sys.exit(main())
