"""What happened in one run, in order: all that the checker knows, and what a person reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.kafka.records import Place, Record
from schemas.feedback import FeedbackKind

NOT_DRAINED = "partition.not_drained"
"""The log event of a program that could not finish what had passed the gate, and its entry in the history."""

OPENED = "opened"
"""A program has opened partitions: their records are processed from now on."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A record was appended to a log."""

    at: float
    record: Record
    program: str | None
    """The program that wrote it; None for producers."""


@dataclass(frozen=True, slots=True)
class CommitAsked:
    """A member asked for offsets to be committed."""

    at: float
    program: str
    place: Place
    offset: int
    owned_from: int | None
    """The offset at which it began to own the place; None if it does not own the place."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The group accepted an offset."""

    at: float
    program: str
    place: Place
    offset: int


@dataclass(frozen=True, slots=True)
class Called:
    """A call to SES began."""

    at: float
    call: int
    program: str
    dispatch_id: str
    contact_id: str
    owns: bool
    """Whether the caller is the owner for the group: a zombie may not know yet that it is not."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """SES accepted an e-mail."""

    at: float
    call: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A call to SES was answered, or timed out."""

    at: float
    call: int
    answer: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A report of SES about an e-mail was put on the queue of its events."""

    at: float
    dispatch_id: str
    contact_id: str
    message_id: str
    kind: FeedbackKind
    permanent: bool
    """Whether no later e-mail to this address will arrive, or be wanted."""


@dataclass(frozen=True, slots=True)
class Troubled:
    """A program could not publish a record, or not fetch: it tries again later."""

    at: float
    program: str


@dataclass(frozen=True, slots=True)
class Happened:
    """Something happened to a program: it was killed, frozen or asked to stop, or partitions were revoked."""

    at: float
    program: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Polled:
    """A replica held more than it may."""

    at: float
    program: str
    held: int
    bound: int


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An unexpected error was raised."""

    at: float
    program: str
    what: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line, for a person who reads the history."""

    at: float
    program: str
    line: str


Entry = (
    Appended
    | CommitAsked
    | Committed
    | Called
    | Accepted
    | Answered
    | Reported
    | Troubled
    | Happened
    | Polled
    | Unexpected
    | LogLine
)


@dataclass
class History:
    """The entries of one run, and how it ended."""

    entries: list[Entry] = field(default_factory=list)
    quiet: bool = False
    """Whether all work was finished in time."""
    left: dict[str, str] = field(default_factory=dict)
    """By program: what it still held at the end."""
