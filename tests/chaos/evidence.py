"""What a chaos run sees from outside: what was acknowledged, dispatched, dead-lettered, sent, committed and answered.

Nothing here knows the code's insides. It is read from the topics, from HTTP answers and from the log of the local SES.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset({"sent", "failed", "unknown", "expired", "suppressed"})
"""The final statuses, as the contract lists them."""


@dataclass(frozen=True)
class Acknowledged:
    """An event that was acknowledged to a producer or caller."""

    dispatch_id: str
    mentor_id: str
    topic: str
    """The contract's name, without the namespace."""
    partition: int
    due: frozenset[str]
    """The contact ids of those who must get an e-mail, unless something is wrong with the contact."""
    at: float
    door: str = "kafka"
    offset: int | None = None
    """Its offset, if its producer was told."""


@dataclass(frozen=True)
class Mail:
    """An e-mail that SES accepted, even if the answer was lost."""

    dispatch_id: str
    recipient: str
    message_id: str
    at: float
    answer_lost: bool


@dataclass(frozen=True)
class RecipientState:
    """A recipient in one dispatch record."""

    status: str
    reason: str | None
    message_id: str | None
    answers_lost: int


@dataclass(frozen=True)
class Record:
    """A dispatch record."""

    dispatch_id: str
    mentor_id: str
    partition: int
    offset: int
    at: float
    """When the broker appended it."""
    origin: tuple[str, int, int]
    recipients: dict[str, RecipientState]
    unknown_mentor: bool
    retry_of: str | None
    moved: bool = False

    @property
    def final(self) -> bool:
        """Return whether the dispatch is final."""
        if self.recipients:
            return all(one.status in FINAL for one in self.recipients.values())
        return self.unknown_mentor

    @staticmethod
    def parse(body: dict[str, Any], partition: int, offset: int, at: float) -> Record:
        """Return a record from the published JSON of a dispatch."""
        origin = body["origin"]
        return Record(
            dispatch_id=body["dispatch_id"],
            mentor_id=body["mentor_id"],
            partition=partition,
            offset=offset,
            at=at,
            origin=(origin["topic"], origin["partition"], origin["offset"]),
            recipients={
                one["contact_id"]: RecipientState(
                    one.get("status", "pending"), one.get("reason"), one.get("message_id"), one.get("answers_lost", 0)
                )
                for one in body.get("recipients", ())
            },
            unknown_mentor=body.get("unknown_mentor", False),
            retry_of=body.get("retry_of"),
        )


@dataclass(frozen=True)
class Letter:
    """A dead letter."""

    reason: str
    origin: str
    dispatch_id: str | None
    detail: str = ""


@dataclass(frozen=True)
class Reported:
    """A record of feedback: what SES said of an e-mail."""

    dispatch_id: str
    recipient: str
    message_id: str
    kind: str
    at: float
    """When the broker appended it."""
    automatic_reply: bool = False

    @staticmethod
    def parse(body: dict[str, Any], at: float) -> Reported:
        """Return a report from the published JSON of feedback."""
        named = {name: body[name] for name in ("dispatch_id", "recipient", "message_id", "kind")}
        return Reported(**named, at=at, automatic_reply=body.get("automatic_reply", False))


@dataclass(frozen=True)
class Fate:
    """What the local SES itself says of an e-mail."""

    message_id: str
    state: str
    kinds: frozenset[str]
    """The kinds of all reports that it made."""


@dataclass(frozen=True)
class Answered:
    """The final answer to a REST caller."""

    status_code: int
    dispatch_id: str | None
    problem: str | None
    recipients: dict[str, tuple[str, str | None]]
    """By contact id: status and message id."""
    at: float


@dataclass(frozen=True)
class Committed:
    """The group's offsets at the time *at*."""

    at: float
    offsets: dict[tuple[str, int], int]
    """By the contract's topic name and the partition."""


@dataclass(frozen=True)
class Mark:
    """A fault, or another act, on the timeline."""

    at: float
    kind: str
    """One word, by which the timeline colours it: kill, stop, start, fault, broker, cut, freeze, well."""
    what: str


@dataclass
class Evidence:
    """All evidence of a run."""

    began: float
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Dispatch ids of calls that a facade refused as not durable, and that were not repeated."""
    mails: list[Mail] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    feedback: list[Reported] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)
    """By message id; empty if SES reports nothing."""
    answers: list[Answered] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    """The end offsets of the event topics after the load."""
    marks: list[Mark] = field(default_factory=list)
    memory_mb: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By program: the times, and its resident memory."""
