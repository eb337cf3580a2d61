"""The SES account: its state, identities and quotas, and the result of each send."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from deploy.local.ses.addresses import belongs_to
from deploy.local.ses.errors import ACCESS_DENIED, DAILY_QUOTA_EXCEEDED, SesError, denied_recipient
from deploy.local.ses.mails import Answer
from deploy.local.ses.quota import RollingDay, SendRate

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.ses.faults import Faults
    from deploy.local.ses.mails import Email

SIMULATOR_DOMAIN = "simulator.amazonses.com"  # the sandbox may send to it, and it uses no quota


class Account:
    """Decide about sends; *clock* returns seconds since the epoch, *ticks* monotonic seconds."""

    def __init__(self, faults: Faults, *, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._clock = clock
        self._ticks = ticks
        self._healthy = faults
        self.reset()

    def reset(self) -> None:
        """Return to the state at the start, with nothing sent today."""
        self._day = RollingDay()
        self._rate = self._full_rate(self._healthy)
        self._begin(self._healthy)

    def change(self, faults: Faults) -> None:
        """Set other faults. Mails sent before still count; a changed rate starts with a full bucket."""
        if (faults.max_send_rate, faults.rate_burst_seconds) != (
            self.faults.max_send_rate,
            self.faults.rate_burst_seconds,
        ):
            self._rate = self._full_rate(faults)
        self._begin(faults)

    def active_faults(self) -> dict[str, Any]:
        """Return the faults that differ from the start."""
        return self.faults.differing(self._healthy)

    def _begin(self, faults: Faults) -> None:
        self.faults = faults
        self._outcomes = Random(faults.seed)  # noqa: S311 - simulated faults need no secure randomness
        self._delays = Random(faults.seed)  # noqa: S311 - likewise; separate, so that jitter does not change outcomes
        self._events = Random(faults.seed)  # noqa: S311 - likewise

    def _full_rate(self, faults: Faults) -> SendRate:
        return SendRate(faults.max_send_rate, burst_seconds=faults.rate_burst_seconds, now=self._ticks())

    def draw_answer(self) -> Answer:
        """Draw the outcome of one send by the configured shares; raise SesError if it is not accepted."""
        faults = self.faults
        if faults.refuse_all:
            raise SesError(faults.refuse_all)

        drawn = self._outcomes.random() - faults.throttle_share
        if drawn < 0:
            raise SesError("TooManyRequestsException")
        drawn -= faults.error_share
        if drawn < 0:
            raise SesError("InternalFailure")
        drawn -= faults.accept_then_drop_share
        if drawn < 0:
            return Answer.DROPPED
        return Answer.HUNG if drawn < faults.accept_then_hang_share else Answer.NORMAL

    def draw_latency(self) -> float:
        """Draw the delay of an answer in seconds."""
        faults = self.faults
        if faults.latency_jitter_ms:
            return (faults.latency_ms + self._delays.random() * faults.latency_jitter_ms) / 1000
        return faults.latency_ms / 1000

    def draw_event_delays(self) -> list[float]:
        """Draw the delay in seconds of each copy of an event; there is none if the event is lost."""
        faults, draw = self.faults, self._events.random
        if draw() < faults.event_loss_share:
            return []
        copies = 2 if draw() < faults.event_duplicate_share else 1
        late = [draw() * faults.event_disorder_seconds * (draw() < faults.event_disorder_share) for _ in range(copies)]
        return [faults.event_delay_seconds + seconds for seconds in late]

    def draw_account_error(self) -> None:
        """Raise SesError for the configured share of GetAccount and GetEmailIdentity calls."""
        if self.faults.account_error_share and self._delays.random() < self.faults.account_error_share:
            raise SesError("InternalFailure")

    def check_may_send(self, configuration_set: str | None) -> None:
        """Raise SesError if the account cannot send, or has no such configuration set."""
        faults = self.faults
        if faults.suspended:
            raise SesError("AccountSuspendedException")
        if faults.paused:
            raise SesError("SendingPausedException")
        if configuration_set:
            self.check_configuration_set(configuration_set)

    def check_configuration_set(self, name: str) -> None:
        """Raise SesError if there is no configuration set of that name."""
        known = self.faults.configuration_sets
        if known is not None and name not in known:
            raise SesError("NotFoundException", f"Configuration set <{name}> does not exist.")

    def check_identities(self, email: Email, region: str) -> None:
        """Raise SesError if sender or recipient is not verified, or if a fault refuses the recipient."""
        unverified = [] if self._may_send_from(email.sender_address) else [email.sender_address]
        if self.faults.sandbox:
            unverified += [address for address in email.recipients if not self._is_open_in_sandbox(address, email)]
        if unverified:
            raise SesError(
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region "
                f"{region.upper()}: {', '.join(unverified)}",
            )

        if self.faults.refuse:
            for address in email.recipients:
                if name := self.faults.refuse.get(address.lower()):
                    raise SesError(name, denied_recipient(address, region) if name == ACCESS_DENIED else None)

    def spend(self, email: Email) -> None:
        """Use both quotas for the recipients of *email*; raise SesError if one is used up."""
        now = self._clock()
        count = sum(not address.endswith(SIMULATOR_DOMAIN) for address in email.recipients)
        limit = self.faults.max_24_hour_send
        if limit >= 0 and self._day.sent(now) + count > limit:
            raise SesError("TooManyRequestsException", DAILY_QUOTA_EXCEEDED)
        if not self._rate.take(len(email.recipients), self._ticks()):
            raise SesError("TooManyRequestsException")

        self._day.add(count, now)

    def describe(self) -> dict[str, Any]:
        """Return the response of GetAccount."""
        faults = self.faults
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": "SHUTDOWN" if faults.suspended else "HEALTHY",
            "ProductionAccessEnabled": not faults.sandbox,
            "SendQuota": {
                "Max24HourSend": float(faults.max_24_hour_send),
                "MaxSendRate": float(faults.max_send_rate),
                "SentLast24Hours": float(self._day.sent(self._clock())),
            },
            "SendingEnabled": not (faults.paused or faults.suspended),
            "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
        }

    def identity(self, name: str) -> dict[str, Any]:
        """Return the response of GetEmailIdentity; raise SesError for an identity that may not send."""
        if not name or not self._may_send_from(name):
            raise SesError("NotFoundException", f"Email identity <{name}> does not exist.")

        return {
            "IdentityType": "EMAIL_ADDRESS" if "@" in name else "DOMAIN",
            "FeedbackForwardingStatus": True,
            "VerifiedForSendingStatus": True,
            "VerificationStatus": "SUCCESS",
        }

    def _may_send_from(self, identity: str) -> bool:
        return not self.faults.unverified_senders or not belongs_to(identity, self.faults.unverified_senders)

    def _is_open_in_sandbox(self, address: str, email: Email) -> bool:
        is_sender = address.lower() == email.sender_address.lower()
        return is_sender or belongs_to(address, [*self.faults.verified_recipients, SIMULATOR_DOMAIN])
