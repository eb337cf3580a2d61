"""Simulated faults of the account, the network or a recipient, set by tests or with curl."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deploy.local.ses.errors import ERRORS


def _known_error(name: str) -> str:
    if name not in ERRORS:
        raise ValueError(f"no such error; the known ones are {', '.join(sorted(ERRORS))}")

    return name


Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
Address = Annotated[str, AfterValidator(str.lower)]
ErrorName = Annotated[str, AfterValidator(_known_error)]


class Faults(BaseModel):
    """The faults; the defaults are a healthy account with production access."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: Milliseconds = Field(
        default=0, description="delay of every answer to a send; the mail is accepted at once"
    )
    latency_jitter_ms: Milliseconds = Field(default=0, description="additional random delay, up to this")

    throttle_share: Share = Field(default=0, description="share of sends: 429, not accepted")
    error_share: Share = Field(default=0, description="share of sends: 500, not accepted")
    accept_then_drop_share: Share = Field(
        default=0, description="share of sends: accepted, connection closed without an answer"
    )
    accept_then_hang_share: Share = Field(
        default=0, description="share of sends: accepted, answered after hang_seconds"
    )
    hang_seconds: float | None = Field(default=None, gt=0, description="null: a hung send is never answered")
    account_error_share: Share = Field(default=0, description="share of GetAccount and GetEmailIdentity calls: 500")

    outcome_seconds: Seconds = Field(
        default=0.5, description="after how long a mail is delivered or bounces, and again until a complaint or a reply"
    )
    event_delay_seconds: Seconds = Field(default=0, description="delay of every event")
    event_loss_share: Share = Field(default=0, description="share of events: never published")
    event_duplicate_share: Share = Field(default=0, description="share of events: published twice")
    event_disorder_share: Share = Field(default=0, description="share of events: published after later ones")
    event_disorder_seconds: Seconds = Field(default=2, description="such an event is published up to this much later")

    paused: bool = Field(default=False, description="SendingPausedException; GetAccount: SendingEnabled false")
    suspended: bool = Field(default=False, description="AccountSuspendedException; GetAccount: SHUTDOWN")
    sandbox: bool = Field(default=False, description="verified recipients only; GetAccount: no production access")
    verified_recipients: list[Address] = Field(default=[], description="addresses or domains allowed in the sandbox")
    unverified_senders: list[Address] = Field(default=[], description="addresses or domains that may not send")
    configuration_sets: list[str] | None = Field(default=None, description="sets that exist; null: every name does")
    refuse: dict[Address, ErrorName] = Field(default={}, description="error for a send, by recipient address")
    refuse_all: ErrorName | None = Field(
        default=None, description="error for every send, such as ExpiredTokenException"
    )

    max_send_rate: float = Field(default=500, gt=0, description="recipients a second")
    rate_burst_seconds: float = Field(default=1, gt=0, le=60, description="size of a burst, in seconds")
    max_24_hour_send: int = Field(default=1_000_000, ge=-1, description="recipients in any 24 hours; -1: no limit")

    seed: int | None = Field(
        default=None, description="the same seed gives the same sends the same outcome; null: random"
    )

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Faults:
        shares = (self.throttle_share, self.error_share, self.accept_then_drop_share, self.accept_then_hang_share)
        if sum(shares) > 1 + 1e-9:
            raise ValueError("throttle, error, accept_then_drop and accept_then_hang shares add up to more than 1")

        return self

    def differing(self, healthy: Faults) -> dict[str, Any]:
        """Return the values that differ from *healthy*."""
        normal = healthy.model_dump()
        return {name: value for name, value in self.model_dump().items() if value != normal[name]}
