"""
Every setting: default, unit, bounds, and (by its class) which program reads it.

A field is set by the environment variable `PAUSE_NOTIFICATIONS_<FIELD>`; `runtime.environment` reads them, once.
The own settings of AWS (credentials, region, endpoint) and of OpenTelemetry keep their own names and are not here.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from runtime.from_address import MAX_NAME, parse_named_address
from runtime.source_names import ALLOWED as SOURCES_ALLOWED
from runtime.source_names import SourceNames
from schemas.addresses import ascii_address
from schemas.allowed_recipients import ALLOWED, AllowedRecipients

PREFIX = "PAUSE_NOTIFICATIONS_"

_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_MAX_PORT = 65535


def env_name(field: str) -> str:
    """Return the environment variable that sets *field*."""
    return PREFIX + field.upper()


class LostAnswerPolicy(StrEnum):
    """What happens to a send when its answer is lost for the first time."""

    RESEND = "resend"
    HOLD = "hold"
    RECONCILE = "reconcile"


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _servers(text: str) -> str:
    for server in text.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 1 <= int(found[2]) <= _MAX_PORT:
            raise ValueError("must be host:port, or several separated by commas")
    return text


def _sender(text: str) -> str:
    parse_named_address(text)
    return text


def _setting(
    default: Any,
    description: str,
    unit: str | None = None,
    *,
    ge: float | None = None,
    le: float | None = None,
    allowed: str | None = None,
) -> Any:
    """Declare one setting; *allowed* describes in words what its type and bounds do not."""
    return Field(default, description=description, ge=ge, le=le, json_schema_extra={"unit": unit, "allowed": allowed})


_ADDRESS_ALLOWED = f"an ASCII e-mail address, bare or as Name <address>, the name of at most {MAX_NAME} characters"
_NAMESPACE_ALLOWED = "empty, or up to 63 lower-case letters, digits and '-', without a dot at the end"
_NAME_ALLOWED = "1 to 180 letters, digits, '.', '_' and '-'"


_LINE_ALLOWED = f"1 to {MAX_NAME} characters on one line, not blank"


def _line(text: str) -> str:
    if len(text) > MAX_NAME or not text.isprintable() or not text.strip():
        raise ValueError(f"must be {_LINE_ALLOWED}")
    return text.strip()


def _recipients(text: str) -> str:
    AllowedRecipients(text)
    return text


def _source_names(text: str) -> str:
    SourceNames(text)
    return text


Servers = Annotated[str, AfterValidator(_servers)]
Sender = Annotated[str, AfterValidator(_sender)]
Address = Annotated[str, AfterValidator(ascii_address)]
Codes = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}(,[a-z0-9_]{1,64})*\z")]
Line = Annotated[str, AfterValidator(_line)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}\z")]
Recipients = Annotated[str, AfterValidator(_recipients)]
Sources = Annotated[str, AfterValidator(_source_names)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,180}\z")]
SecurityProtocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)]
SaslMechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)]
QueueUrl = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9._:-]{1,253}/[A-Za-z0-9._/-]{1,256}\z")]
LogFormat = Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


PAUSE_REASONS_SHOWN = (
    "business_trip",
    "holiday",
    "other",
    "personal_leave",
    "relocation",
    "sabbatical",
    "study_leave",
    "training",
    "vacation",
)
"""The reason codes of a pause that a coordinator sees by default: those that reveal nothing about health."""


class Settings(BaseSettings):
    """The settings of every program: Kafka, names, feedback, logs."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    kafka_bootstrap_servers: Servers = _setting(
        "127.0.0.1:9092", "Kafka brokers to connect to first.", allowed="host:port, or several separated by commas"
    )
    kafka_security_protocol: SecurityProtocol = _setting("PLAINTEXT", "Protocol of connections to the brokers.")
    kafka_sasl_mechanism: SaslMechanism = _setting("PLAIN", "SASL mechanism, under SASL_PLAINTEXT and SASL_SSL.")
    kafka_sasl_username: str | None = _setting(None, "User name for SASL.")
    kafka_sasl_password: SecretStr | None = _setting(None, "Password for SASL.")
    kafka_ssl_cafile: FilePath | None = _setting(None, "Certificates (PEM) to trust; if unset, those of the system.")
    kafka_ssl_certfile: FilePath | None = _setting(None, "Client certificate (PEM); set its key, too.")
    kafka_ssl_keyfile: FilePath | None = _setting(None, "Key (PEM) of the client certificate.")
    kafka_ssl_password: SecretStr | None = _setting(None, "Password of that key, if it has one.")
    namespace: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?\z")] = _setting(
        "",
        "Prefix of topics and group, as `<namespace>.`, so that several environments share a cluster.",
        allowed=_NAMESPACE_ALLOWED,
    )
    group_id: Name = _setting("pause-notifications", "Consumer group of the replicas.", allowed=_NAME_ALLOWED)
    signing_keys_file: FilePath | None = _setting(
        None, "File of keys that prove `pn_` headers: the first signs, all verify. If unset, no such header is trusted."
    )
    record_deadline_seconds: float = _setting(
        3.0, "Deadline for a dispatch or dead letter to become durable.", "s", ge=0.1, le=60
    )
    max_batch_bytes: int = _setting(
        16_777_216,
        "Largest size of a batch when decompressed; a larger one is skipped as unreadable.",
        "bytes",
        ge=1_048_576,
        le=1_073_741_824,
    )
    ses_events_queue_url: QueueUrl | None = _setting(
        None, "SQS queue of SES's events. If set, feedback is on.", allowed="an https or http URL of a queue"
    )
    feedback_overdue_hours: float = _setting(
        24.0, "After how long an e-mail without feedback counts as `unconfirmed`.", "h", ge=0.01, le=672
    )
    log_format: LogFormat = _setting("auto", "Format of log lines; auto is console on a terminal, and json otherwise.")
    log_level: LogLevel = _setting("info", "Lowest level that is logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only the values passed in: `read_settings` alone reads the environment."""
        return (init_settings,)

    @property
    def consumer_group(self) -> str:
        """Return the group id with the namespace, as Kafka knows it."""
        return f"{self.namespace}.{self.group_id}" if self.namespace else self.group_id

    @property
    def feedback_overdue(self) -> timedelta | None:
        """Return after how long an e-mail without feedback is unconfirmed, or None if feedback is off."""
        return None if self.ses_events_queue_url is None else timedelta(hours=self.feedback_overdue_hours)

    @model_validator(mode="after")
    def _complete_sasl(self) -> Self:
        signs_in = self.kafka_security_protocol.startswith("SASL_")
        given = (self.kafka_sasl_username is not None, self.kafka_sasl_password is not None)
        if given != (signs_in, signs_in):
            names = f"{env_name('kafka_sasl_username')} and {env_name('kafka_sasl_password')}"
            protocol = env_name("kafka_security_protocol")
            raise ValueError(
                f"{names} must both be set if {protocol} is SASL_PLAINTEXT or SASL_SSL, and unset otherwise."
            )
        return self

    @model_validator(mode="after")
    def _complete_certificate(self) -> Self:
        if (self.kafka_ssl_certfile is None) != (self.kafka_ssl_keyfile is None):
            names = f"{env_name('kafka_ssl_certfile')} and {env_name('kafka_ssl_keyfile')}"
            raise ValueError(f"{names} must both be set, or neither.")
        return self


class ProgramSettings(Settings):
    """The further settings of both long-running programs: the management port, and the stop."""

    management_host: str = _setting("0.0.0.0", "Address of probes and metrics.", allowed="a host name or address")
    management_port: int = _setting(8001, "Port of probes and metrics; 0 is any free one.", ge=0, le=_MAX_PORT)
    drain_seconds: float = _setting(25.0, "Deadline for a stop to finish the work under way.", "s", ge=1, le=600)
    tracing: bool = _setting(
        False,  # noqa: FBT003 - the default of a setting
        "Whether to export traces by OpenTelemetry. Its own OTEL_ variables say where to, and how many.",
    )

    @property
    def feedback_on(self) -> bool:
        """Return whether SES's events come back."""
        return self.ses_events_queue_url is not None


class ServiceSettings(ProgramSettings):
    """The settings of the facade."""

    http_host: str = _setting("0.0.0.0", "Address of the REST endpoints.", allowed="a host name or address")
    http_port: int = _setting(8000, "Port of the REST endpoints; 0 is any free one.", ge=0, le=_MAX_PORT)
    reply_timeout_seconds: float = _setting(
        4.0, "How long a caller waits for the outcome, unless the call says otherwise.", "s", ge=0.1, le=30
    )
    publish_deadline_seconds: float = _setting(
        2.5, "Deadline for an event to become durable; after it the caller gets a 503.", "s", ge=0.1, le=30
    )
    max_waiting_callers: int = _setting(
        1000, "Callers who may wait at the same time; further ones get a 503.", "callers", ge=1, le=100_000
    )
    max_waiting_share: float = _setting(
        0.5,
        "Share of these places for one caller: one API key's name or, without keys, one client address.",
        ge=0.001,
        le=1,
    )
    max_connections: int = _setting(
        1500,
        "Connections to the REST port; one more closes the connection that has waited longest for a request.",
        "connections",
        ge=16,
        le=100_000,
    )
    trust_forwarded_prefix: bool = _setting(
        False,  # noqa: FBT003 - the default of a setting
        "Whether to trust X-Forwarded-Prefix; only behind a proxy that strips the prefix and sets the header.",
    )
    recent_dispatches: int = _setting(
        10_000, "Recent dispatches that callers can look up without `at`.", "dispatches", ge=0, le=1_000_000
    )
    api_keys_file: FilePath | None = _setting(
        None, "File of API keys (`pause-notifications api-keys add`). If set, every caller needs one."
    )

    @property
    def max_waiting_of_one_caller(self) -> int:
        """Return how many calls of one caller may wait at the same time: at least one."""
        return max(int(self.max_waiting_callers * self.max_waiting_share), 1)


class NoticeSettings(Settings):
    """The settings of the e-mails' text: for the replica and for the preview."""

    pause_reasons_shown: Codes = _setting(
        ",".join(PAUSE_REASONS_SHOWN),
        "Reason codes of a pause that its coordinator sees; free text and other codes become `Not stated`.",
        allowed="codes of a-z, 0-9 and '_', separated by commas; `none` shows none",
    )

    reply_to_coordinator: bool = _setting(
        False,  # noqa: FBT003 - the default of a setting
        "Whether a mentor can write to their coordinator: the mentor's e-mail shows the address, and replies go there.",
    )
    ses_reply_to: Sender | None = _setting(
        None, "Reply-To address of every e-mail, unless it is a coordinator's.", allowed=_ADDRESS_ALLOWED
    )
    organisation: Line | None = _setting(None, "Who writes: the name in every e-mail.", allowed=_LINE_ALLOWED)
    organisation_postal_line: Line | None = _setting(
        None, "Postal address of the organisation, at the foot of every e-mail.", allowed=_LINE_ALLOWED
    )
    organisation_colour: Colour = _setting(
        "#24527a",
        "Background of the organisation's name at the head of every e-mail. The text on it is black or white, as can "
        "be read better.",
        allowed="# and six hexadecimal digits",
    )
    organisation_logo_text: Line | None = _setting(
        None, "Text at the head of every e-mail; if unset, the organisation's name.", allowed=_LINE_ALLOWED
    )
    templates_dir: DirectoryPath | None = _setting(
        None,
        "Folder of e-mail templates that replace ours, file by file. They are checked at the start.",
        allowed="a folder that can be read",
    )

    @property
    def reasons_shown(self) -> tuple[str, ...]:
        """Return the codes one by one."""
        return tuple(self.pause_reasons_shown.split(","))


class ReplicaSettings(ProgramSettings, NoticeSettings):
    """The settings of a replica (the program `consumers`)."""

    management_port: int = _setting(8002, "Port of probes and metrics; 0 is any free one.", ge=0, le=_MAX_PORT)

    ses_from_address: Sender = _setting(
        "Pause Notifications <no-reply@example.org>",
        "Sender of every e-mail: an identity verified in SES.",
        allowed=_ADDRESS_ALLOWED,
    )
    unsubscribe_address: Address | None = _setting(
        None,
        "Address that takes requests for no more e-mail. If unset, e-mails have no List-Unsubscribe header.",
        allowed="an ASCII e-mail address",
    )
    ses_configuration_set: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}\z")] | None = _setting(
        None, "SES configuration set of every e-mail.", allowed="1 to 64 letters, digits, '_' and '-'"
    )
    ses_timeout_seconds: float = _setting(10.0, "Deadline of one call to SES.", "s", ge=0.1, le=120)
    ses_headroom: float = _setting(
        0.0, "Share of the account's send rate that is left to other programs.", ge=0, le=0.9
    )
    ses_fallback_rate: float = _setting(
        1.0, "Send rate of all replicas together while the account's rate is unknown.", "sends/s", ge=0.01, le=10_000
    )
    account_interval_seconds: float = _setting(
        60.0,
        "Interval between requests for the account's rate and state.",
        "s",
        ge=1,
        le=3600,
    )
    max_sends_in_flight: int = _setting(64, "Concurrent calls to SES, per replica.", "sends", ge=1, le=1000)
    slow_sources: Sources | None = _setting(
        None,
        "Sources whose events let all others go first, except for their share of the rate: bulk publishes that may "
        "take their time. If unset, there are none.",
        allowed=SOURCES_ALLOWED,
    )
    slow_share: float = _setting(
        0.1, "Share of the rate that the slow sources have together while others wait.", ge=0.01, le=0.9
    )
    max_attempts: int = _setting(5, "Attempts that count for a recipient before it fails.", "attempts", ge=1, le=100)
    backoff_base_seconds: float = _setting(
        0.5, "Longest wait before the second attempt; it doubles each time.", "s", ge=0.01, le=60
    )
    backoff_max_seconds: float = _setting(30.0, "Longest wait before any attempt.", "s", ge=0.01, le=3600)
    ses_events_account: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}\z")] | None = _setting(
        None, "AWS account whose events are taken; if unset, of any account.", allowed="12 digits"
    )
    ses_events_topic_arn: Annotated[str, StringConstraints(pattern=r"^arn:[A-Za-z0-9:._-]{1,250}\z")] | None = _setting(
        None,
        "SNS topic whose events are taken, in its envelope; if unset, of any topic, and in any form.",
        allowed="the ARN of a topic",
    )
    recipients_allowed: Recipients | None = _setting(
        None,
        "Addresses and domains that may get e-mail; all others end as `suppressed(not_allowed_here)`. For staging. If "
        "unset, all may.",
        allowed=ALLOWED,
    )
    max_age_hours: float | None = _setting(
        None,
        "The age, since Kafka appended the event, from which its e-mail is not sent but ends as `expired(too_late)`. "
        "A replay by a person is exempt. If unset, there is no limit.",
        unit="h",
        ge=0.1,
        le=24 * 365,
    )
    lost_answer_policy: LostAnswerPolicy | None = _setting(
        None,
        "What becomes of a send whose answer was lost: repeated once, held for an operator, or repeated only if no "
        "feedback shows that SES has it. If unset: `reconcile` if feedback is on, else `resend`.",
    )
    reconcile_seconds: float = _setting(
        30.0,
        "How long `reconcile` waits for feedback before it sends again; under 17 s an e-mail may be sent twice if a "
        "replica is killed.",
        "s",
        ge=1,
        le=900,
    )
    escalate: bool = _setting(
        True,  # noqa: FBT003 - the default of a setting
        "Whether a coordinator is told when a mentor's e-mail bounced, was refused or is suppressed.",
    )
    unknown_mentor_grace_seconds: float = _setting(
        2.0, "How long an event waits for the contact of an unknown mentor.", "s", ge=0, le=60
    )
    recipient_emails_per_hour: int = _setting(
        200,
        "E-mails to one recipient in an hour, per replica; above it a warning and a metric name their source. "
        "Nothing is held back.",
        "e-mails",
        ge=1,
        le=1_000_000,
    )
    retry_window_seconds: float = _setting(
        60.0, "How long a repeated call without a key counts as a retry; 0 turns it off.", "s", ge=0, le=86_400
    )
    remember_hours: float = _setting(168.0, "How far back a repeated event is recognized.", "h", ge=1, le=672)

    max_records_held: int = _setting(2000, "Unfinished records held, per replica.", "records", ge=1, le=1_000_000)
    max_bytes_held: int = _setting(67_108_864, "Bytes of unfinished records held, per replica.", "bytes", ge=1_048_576)
    max_span: int = _setting(
        1_000_000, "Offsets between the oldest unfinished record of a partition and its newest record.", "records", ge=1
    )
    max_ledger_entries: int = _setting(
        1_000_000, "Dispatch ids remembered, per replica: about 180 bytes each.", "ids", ge=1000
    )

    session_timeout_seconds: float = _setting(
        10.0, "How long the group waits for a heartbeat before it removes the replica.", "s", ge=6, le=1800
    )
    heartbeat_seconds: float = _setting(1.0, "Interval between heartbeats.", "s", ge=0.1, le=600)
    rebalance_timeout_seconds: float = _setting(
        45.0, "How long the group waits for a replica to hand over its partitions.", "s", ge=2, le=1800
    )
    request_timeout_seconds: float = _setting(60.0, "Deadline of one request to a broker.", "s", ge=3, le=3600)
    commit_deadline_seconds: float = _setting(3.0, "Deadline of a commit of offsets.", "s", ge=0.1, le=60)
    group_instance_id: Name | None = _setting(
        None, "Id of a static group member, unique per replica; if unset, membership is dynamic.", allowed=_NAME_ALLOWED
    )
    watchdog_seconds: float = _setting(
        120.0,
        "How long polling or membership may stand still before the replica exits, for its supervisor to restart it.",
        "s",
        ge=10,
    )

    @property
    def lost_answers(self) -> LostAnswerPolicy:
        """Return what becomes of a send whose answer was lost."""
        if self.lost_answer_policy is not None:
            return self.lost_answer_policy
        return LostAnswerPolicy.RESEND if self.ses_events_queue_url is None else LostAnswerPolicy.RECONCILE

    @property
    def sender_domain(self) -> str:
        """Return the domain of the sender's address."""
        return parse_named_address(self.ses_from_address).address.rpartition("@")[2]

    @property
    def slow(self) -> Container[str]:
        """Return the slow sources."""
        return frozenset() if self.slow_sources is None else SourceNames(self.slow_sources)

    @property
    def allowed_recipients(self) -> AllowedRecipients | None:
        """Return who may get e-mail here; None if all may."""
        return None if self.recipients_allowed is None else AllowedRecipients(self.recipients_allowed)

    @model_validator(mode="after")
    def _complete_feedback(self) -> Self:
        """Check that feedback can be attributed: tags come back only through a configuration set."""
        queue, policy = env_name("ses_events_queue_url"), env_name("lost_answer_policy")
        if self.ses_events_queue_url is not None and self.ses_configuration_set is None:
            raise ValueError(f"{env_name('ses_configuration_set')} must be set if {queue} is.")
        if self.ses_events_queue_url is None and self.lost_answer_policy is LostAnswerPolicy.RECONCILE:
            raise ValueError(f"{queue} must be set if {policy} is reconcile.")
        return self

    @model_validator(mode="after")
    def _ordered_deadlines(self) -> Self:
        """Check that a stop has the time it needs, and that the group waits longer than that."""
        needed = self.ses_timeout_seconds + 3 * self.record_deadline_seconds + self.commit_deadline_seconds
        if needed <= self.drain_seconds < self.rebalance_timeout_seconds < self.request_timeout_seconds:
            return self
        ses, record, commit, drain, rebalance, request = map(
            env_name,
            (
                "ses_timeout_seconds",
                "record_deadline_seconds",
                "commit_deadline_seconds",
                "drain_seconds",
                "rebalance_timeout_seconds",
                "request_timeout_seconds",
            ),
        )
        raise ValueError(
            f"{ses} + 3 x {record} + {commit} <= {drain} < {rebalance} < {request} is required, "
            f"but they are {needed:g} <= {self.drain_seconds:g} < {self.rebalance_timeout_seconds:g} < "
            f"{self.request_timeout_seconds:g} seconds."
        )

    @model_validator(mode="after")
    def _ordered_pairs(self) -> Self:
        if 3 * self.heartbeat_seconds > self.session_timeout_seconds:
            names = f"3 x {env_name('heartbeat_seconds')} <= {env_name('session_timeout_seconds')}"
            raise ValueError(f"{names} is required: one lost heartbeat must not cost the membership.")
        if self.backoff_base_seconds > self.backoff_max_seconds:
            raise ValueError(f"{env_name('backoff_base_seconds')} <= {env_name('backoff_max_seconds')} is required.")
        return self


class CommandSettings(NoticeSettings):
    """The settings of the operator's command."""


PROGRAMS: dict[str, type[Settings]] = {
    "service": ServiceSettings,
    "consumers": ReplicaSettings,
    "command": CommandSettings,
}
"""The settings of each program, by its name."""
