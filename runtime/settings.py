"""
Every setting: default, unit, bounds, and (by its class) which program reads it.

A field is set by the environment variable `PAUSE_NOTIFICATIONS_<FIELD>`; `runtime.environment` reads them, once.
AWS's own settings (credentials, region, endpoint) keep AWS's own names and are not here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from runtime.from_address import MAX_NAME, parse_named_address

PREFIX = "PAUSE_NOTIFICATIONS_"

_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_MAX_PORT = 65535


def env_name(field: str) -> str:
    """Return the environment variable that sets *field*."""
    return PREFIX + field.upper()


class LostAnswerPolicy(StrEnum):
    """What becomes of a send whose answer was lost for the first time."""

    RESEND = "resend"
    HOLD = "hold"


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _servers(text: str) -> str:
    for server in text.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 1 <= int(found[2]) <= _MAX_PORT:
            raise ValueError("must be host:port, or several parted by commas")
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
    """Declare one setting; *allowed* says in words what type and bounds do not."""
    return Field(default, description=description, ge=ge, le=le, json_schema_extra={"unit": unit, "allowed": allowed})


_ADDRESS_ALLOWED = f"an ASCII e-mail address, bare or as Name <address>, the name of at most {MAX_NAME} characters"
_NAMESPACE_ALLOWED = "empty, or up to 63 lower-case letters, digits and '-', without a dot at the end"
_NAME_ALLOWED = "1 to 180 letters, digits, '.', '_' and '-'"

Servers = Annotated[str, AfterValidator(_servers)]
Sender = Annotated[str, AfterValidator(_sender)]
Codes = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}(,[a-z0-9_]{1,64})*\z")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,180}\z")]
SecurityProtocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)]
SaslMechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)]
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
"""The codes of a pause's reason that a coordinator sees by default: those that say nothing of anybody's health."""


class Settings(BaseSettings):
    """What every program reads: Kafka, names, logs."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    kafka_bootstrap_servers: Servers = _setting(
        "127.0.0.1:9092", "Kafka brokers to start from.", allowed="host:port, or several parted by commas"
    )
    kafka_security_protocol: SecurityProtocol = _setting("PLAINTEXT", "How the brokers are spoken to.")
    kafka_sasl_mechanism: SaslMechanism = _setting("PLAIN", "How one signs in under SASL_PLAINTEXT and SASL_SSL.")
    kafka_sasl_username: str | None = _setting(None, "User name for SASL.")
    kafka_sasl_password: SecretStr | None = _setting(None, "Password for SASL.")
    kafka_ssl_cafile: FilePath | None = _setting(None, "Certificates (PEM) to trust; unset, the system's own.")
    kafka_ssl_certfile: FilePath | None = _setting(None, "Client certificate (PEM), together with its key.")
    kafka_ssl_keyfile: FilePath | None = _setting(None, "Key (PEM) of the client certificate.")
    kafka_ssl_password: SecretStr | None = _setting(None, "Password of that key, where it has one.")
    namespace: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?\z")] = _setting(
        "",
        "Prefixes topics and group as `<namespace>.`: several environments on one cluster.",
        allowed=_NAMESPACE_ALLOWED,
    )
    group_id: Name = _setting("pause-notifications", "Consumer group of the replicas.", allowed=_NAME_ALLOWED)
    signing_keys_file: FilePath | None = _setting(
        None, "File of keys that prove `pn_` headers: the first signs, all verify; unset, no such header is believed."
    )
    record_deadline_seconds: float = _setting(
        3.0, "How long a dispatch or dead letter may take to become durable.", "s", ge=0.1, le=60
    )
    max_batch_bytes: int = _setting(
        16_777_216,
        "Bytes of one batch when decompressed; a larger one is passed over as unreadable.",
        "bytes",
        ge=1_048_576,
        le=1_073_741_824,
    )
    log_format: LogFormat = _setting("auto", "Form of log lines; auto is console on a terminal, else json.")
    log_level: LogLevel = _setting("info", "Least level that is logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is handed in and nothing else: only `read_settings` looks at an environment."""
        return (init_settings,)

    @property
    def consumer_group(self) -> str:
        """Return the group id with the namespace, as Kafka knows it."""
        return f"{self.namespace}.{self.group_id}" if self.namespace else self.group_id

    @model_validator(mode="after")
    def _complete_sasl(self) -> Self:
        signs_in = self.kafka_security_protocol.startswith("SASL_")
        given = (self.kafka_sasl_username is not None, self.kafka_sasl_password is not None)
        if given != (signs_in, signs_in):
            names = f"{env_name('kafka_sasl_username')} and {env_name('kafka_sasl_password')}"
            protocol = env_name("kafka_security_protocol")
            raise ValueError(f"{names} are both set with {protocol} SASL_PLAINTEXT or SASL_SSL, and neither without.")
        return self

    @model_validator(mode="after")
    def _complete_certificate(self) -> Self:
        if (self.kafka_ssl_certfile is None) != (self.kafka_ssl_keyfile is None):
            names = f"{env_name('kafka_ssl_certfile')} and {env_name('kafka_ssl_keyfile')}"
            raise ValueError(f"{names} are both set, or neither.")
        return self


class ProgramSettings(Settings):
    """What both long-running programs read beside that: their management port, and how they stop."""

    management_host: str = _setting("0.0.0.0", "Where probes and metrics are served.", allowed="a host name or address")
    management_port: int = _setting(8001, "Port of probes and metrics; 0 is any free one.", ge=0, le=_MAX_PORT)
    drain_seconds: float = _setting(25.0, "How long a stop may take to finish what was begun.", "s", ge=1, le=600)


class ServiceSettings(ProgramSettings):
    """What the facade reads."""

    http_host: str = _setting("0.0.0.0", "Where the REST endpoints are served.", allowed="a host name or address")
    http_port: int = _setting(8000, "Port of the REST endpoints; 0 is any free one.", ge=0, le=_MAX_PORT)
    reply_timeout_seconds: float = _setting(
        4.0, "How long a caller who does not say waits for the outcome.", "s", ge=0.1, le=30
    )
    publish_deadline_seconds: float = _setting(
        2.5, "How long an event may take to become durable before the caller is told 503.", "s", ge=0.1, le=30
    )
    max_waiting_callers: int = _setting(
        1000, "Callers who may wait at once; more get a 503.", "callers", ge=1, le=100_000
    )
    max_waiting_share: float = _setting(
        0.5,
        "Share of these places that one caller may take: an API key's name or, without keys, a client address.",
        ge=0.001,
        le=1,
    )
    max_connections: int = _setting(
        1500,
        "Connections to the REST port at once; one more closes the one that has waited longest for a request.",
        "connections",
        ge=16,
        le=100_000,
    )
    trust_forwarded_prefix: bool = _setting(
        False,  # noqa: FBT003 - the default of a setting
        "Whether X-Forwarded-Prefix is believed; only behind a proxy that strips this prefix and sets the header.",
    )
    recent_dispatches: int = _setting(
        10_000, "Dispatches lately seen that can be asked for without `at`.", "dispatches", ge=0, le=1_000_000
    )
    api_keys_file: FilePath | None = _setting(
        None, "File of API keys (`pause-notifications api-keys add`); set, only callers with one are let in."
    )

    @property
    def max_waiting_of_one_caller(self) -> int:
        """Return how many calls of one caller may wait at once: at least one."""
        return max(int(self.max_waiting_callers * self.max_waiting_share), 1)


class NoticeSettings(Settings):
    """What the e-mails say: read by who sends them and by who previews them."""

    pause_reasons_shown: Codes = _setting(
        ",".join(PAUSE_REASONS_SHOWN),
        "Reasons of a pause that its coordinator sees; free text and other codes read `not stated`.",
        allowed="codes of a-z, 0-9 and '_', parted by commas; `none` shows none",
    )

    @property
    def reasons_shown(self) -> tuple[str, ...]:
        """Return the codes one by one."""
        return tuple(self.pause_reasons_shown.split(","))


class ReplicaSettings(ProgramSettings, NoticeSettings):
    """What a replica (the program `consumers`) reads."""

    management_port: int = _setting(8002, "Port of probes and metrics; 0 is any free one.", ge=0, le=_MAX_PORT)

    ses_from_address: Sender = _setting(
        "Pause Notifications <no-reply@example.org>",
        "Sender of every e-mail: an identity verified in SES.",
        allowed=_ADDRESS_ALLOWED,
    )
    ses_reply_to: Sender | None = _setting(None, "Where answers to the e-mails go.", allowed=_ADDRESS_ALLOWED)
    ses_configuration_set: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}\z")] | None = _setting(
        None, "SES configuration set of every e-mail.", allowed="1 to 64 letters, digits, '_' and '-'"
    )
    ses_timeout_seconds: float = _setting(10.0, "How long one call to SES may take.", "s", ge=0.1, le=120)
    ses_headroom: float = _setting(0.0, "Share of the account's send rate that is left to others.", ge=0, le=0.9)
    ses_fallback_rate: float = _setting(
        1.0, "Rate of all replicas together while the account's is not to be had.", "sends/s", ge=0.01, le=10_000
    )
    account_interval_seconds: float = _setting(
        60.0,
        "How often the account's rate and state are asked for: at most once a minute by default.",
        "s",
        ge=1,
        le=3600,
    )
    max_sends_in_flight: int = _setting(64, "Calls to SES at once, per replica.", "sends", ge=1, le=1000)
    max_attempts: int = _setting(5, "Attempts charged to a recipient before it has failed.", "attempts", ge=1, le=100)
    backoff_base_seconds: float = _setting(
        0.5, "Longest wait before the second attempt; it doubles.", "s", ge=0.01, le=60
    )
    backoff_max_seconds: float = _setting(30.0, "Longest wait before any attempt.", "s", ge=0.01, le=3600)
    lost_answer_policy: LostAnswerPolicy = _setting(
        LostAnswerPolicy.RESEND, "Whether a send whose answer was lost is made once more, or held for a person."
    )
    unknown_mentor_grace_seconds: float = _setting(
        2.0, "How long an event waits for the contact of a mentor not known yet.", "s", ge=0, le=60
    )
    recipient_emails_per_hour: int = _setting(
        200,
        "E-mails to one recipient in an hour, per replica, beyond which a warning and a metric name their source; "
        "nothing is held back.",
        "e-mails",
        ge=1,
        le=1_000_000,
    )
    retry_window_seconds: float = _setting(
        60.0, "How long a repeated keyless call is taken for a retry; 0 is off.", "s", ge=0, le=86_400
    )
    remember_hours: float = _setting(168.0, "How far back a repeated event is known again.", "h", ge=1, le=672)

    max_records_held: int = _setting(2000, "Unfinished records held, per replica.", "records", ge=1, le=1_000_000)
    max_bytes_held: int = _setting(67_108_864, "Bytes of unfinished records held, per replica.", "bytes", ge=1_048_576)
    max_span: int = _setting(
        1_000_000, "Offsets between a partition's oldest unfinished record and its newest.", "records", ge=1
    )
    max_ledger_entries: int = _setting(
        1_000_000, "Dispatch ids remembered, per replica: about 130 bytes each.", "ids", ge=1000
    )

    session_timeout_seconds: float = _setting(
        10.0, "How long the group waits for a heartbeat before the replica is out.", "s", ge=6, le=1800
    )
    heartbeat_seconds: float = _setting(1.0, "How often a replica says that it is there.", "s", ge=0.1, le=600)
    rebalance_timeout_seconds: float = _setting(
        45.0, "How long the group waits for a replica to hand its partitions over.", "s", ge=2, le=1800
    )
    request_timeout_seconds: float = _setting(60.0, "How long one request to a broker may take.", "s", ge=3, le=3600)
    commit_deadline_seconds: float = _setting(3.0, "How long a commit of offsets may take.", "s", ge=0.1, le=60)
    group_instance_id: Name | None = _setting(
        None, "Static membership under this id, one per replica; unset, membership is dynamic.", allowed=_NAME_ALLOWED
    )
    watchdog_seconds: float = _setting(
        120.0, "How long polling or membership may stand still before the replica exits for its supervisor.", "s", ge=10
    )

    @model_validator(mode="after")
    def _ordered_deadlines(self) -> Self:
        """Hold what a stop needs within what it is given, and that within what the group waits for."""
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
            f"{ses} + 3 x {record} + {commit} <= {drain} < {rebalance} < {request} is needed, "
            f"but they are {needed:g} <= {self.drain_seconds:g} < {self.rebalance_timeout_seconds:g} < "
            f"{self.request_timeout_seconds:g} seconds."
        )

    @model_validator(mode="after")
    def _ordered_pairs(self) -> Self:
        if 3 * self.heartbeat_seconds > self.session_timeout_seconds:
            names = f"3 x {env_name('heartbeat_seconds')} <= {env_name('session_timeout_seconds')}"
            raise ValueError(f"{names} is needed: one lost heartbeat must not cost the membership.")
        if self.backoff_base_seconds > self.backoff_max_seconds:
            raise ValueError(f"{env_name('backoff_base_seconds')} <= {env_name('backoff_max_seconds')} is needed.")
        return self


class CommandSettings(NoticeSettings):
    """What the operator's command reads."""


PROGRAMS: dict[str, type[Settings]] = {
    "service": ServiceSettings,
    "consumers": ReplicaSettings,
    "command": CommandSettings,
}
"""Each program's settings, by its name."""
