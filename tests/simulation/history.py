"""What happened in one run, in order: all that the checker knows, and what a person reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.kafka.records import Place, Record

NOT_DRAINED = "partition.not_drained"
"""What a program says that could not finish what had passed the gate; also what then befell it."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A record came to lie in a log."""

    at: float
    record: Record
    program: str | None
    """Who wrote it; None for producers."""


@dataclass(frozen=True, slots=True)
class CommitAsked:
    """A member asked for offsets to be committed."""

    at: float
    program: str
    place: Place
    offset: int
    owned_from: int | None
    """Where the ownership began in which it asks; None where it owns the place no longer, or not yet."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The group took an offset."""

    at: float
    program: str
    place: Place
    offset: int


@dataclass(frozen=True, slots=True)
class Called:
    """A send began."""

    at: float
    call: int
    program: str
    dispatch_id: str
    contact_id: str
    owns: bool
    """Whether the group takes the caller for the owner: a zombie may not know yet that it is none."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """SES took an e-mail."""

    at: float
    call: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A caller was answered, or waited too long."""

    at: float
    call: int
    answer: str


@dataclass(frozen=True, slots=True)
class Happened:
    """Something befell a program: it was killed, stood still, was told to stop, gave up."""

    at: float
    program: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Polled:
    """A replica took more than it may hold."""

    at: float
    program: str
    held: int
    bound: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Something was raised that nobody foresaw."""

    at: float
    program: str
    what: str


@dataclass(frozen=True, slots=True)
class Said:
    """A log line, kept where a person reads the history."""

    at: float
    program: str
    line: str


Entry = Appended | CommitAsked | Committed | Called | Accepted | Answered | Happened | Polled | Broken | Said


@dataclass
class History:
    """The entries of one run, and how it ended."""

    entries: list[Entry] = field(default_factory=list)
    quiet: bool = False
    """Whether everything came to an end within the time that was given."""
    left: dict[str, str] = field(default_factory=dict)
    """What programs still held when all was quiet, by program."""
