"""Settings: what is read, what is refused, and the messages."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.environment import (
    InvalidSettings,
    UnknownSetting,
    describe_settings,
    read_settings,
    settings_help,
    settings_table,
    unknown_settings,
)
from runtime.settings import (
    PROGRAMS,
    CommandSettings,
    LostAnswerPolicy,
    ReplicaSettings,
    ServiceSettings,
    Settings,
    env_name,
)

FROM_ALLOWED = "an ASCII e-mail address, bare or as Name <address>, the name of at most 128 characters"
LINE_ALLOWED = "1 to 128 characters on one line, not blank"
P = "PAUSE_NOTIFICATIONS_"


def problems(settings_class: type[Settings], **environ: str) -> tuple[str, ...]:
    """Return the problems of an invalid environment; names are without the prefix."""
    with pytest.raises(InvalidSettings) as refused:
        read_settings(settings_class, {P + name: value for name, value in environ.items()})
    return refused.value.problems


@pytest.mark.parametrize("settings_class", PROGRAMS.values())
def test_starts_from_nothing(settings_class: type[Settings]) -> None:
    """Every program has valid defaults for all its settings."""
    assert settings_class() == read_settings(settings_class, {})


@pytest.mark.parametrize(
    ("settings_class", "field", "text", "value"),
    [
        (ServiceSettings, "http_port", "9000", 9000),
        (ServiceSettings, "log_level", "INFO", "info"),
        (ServiceSettings, "kafka_bootstrap_servers", "a:9092, [::1]:9093", "a:9092, [::1]:9093"),
        (ReplicaSettings, "lost_answer_policy", "hold", LostAnswerPolicy.HOLD),
        (ReplicaSettings, "retry_window_seconds", "0", 0.0),
        (ReplicaSettings, "ses_from_address", "no-reply@example.org", "no-reply@example.org"),
        (ReplicaSettings, "ses_reply_to", "", None),
        (CommandSettings, "namespace", "staging-2", "staging-2"),
        (CommandSettings, "organisation", " Example Mentoring ", "Example Mentoring"),
        (ReplicaSettings, "organisation_colour", "#24527A", "#24527A"),
    ],
)
def test_reads_a_variable(settings_class: type[Settings], field: str, text: str, value: object) -> None:
    """A variable sets its field; an empty one counts as unset."""
    assert value == getattr(read_settings(settings_class, {env_name(field): text}), field)


def test_does_not_look_at_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the environment passed in counts."""
    monkeypatch.setenv(P + "HTTP_PORT", "9000")
    assert 8000 == ServiceSettings().http_port
    assert 8000 == read_settings(ServiceSettings, {}).http_port


def test_settings_are_frozen() -> None:
    """A setting cannot be changed later."""
    with pytest.raises(ValidationError):
        ServiceSettings().http_port = 1


@pytest.mark.parametrize(
    ("settings_class", "name", "text", "allowed"),
    [
        (ServiceSettings, "HTTP_PORT", "abc", "a whole number from 0 to 65535"),
        (ServiceSettings, "HTTP_PORT", "65536", "a whole number from 0 to 65535"),
        (ServiceSettings, "REPLY_TIMEOUT_SECONDS", "31", "a number from 0.1 to 30"),
        (ServiceSettings, "REPLY_TIMEOUT_SECONDS", "nan", "a number from 0.1 to 30"),
        (ServiceSettings, "KAFKA_BOOTSTRAP_SERVERS", "broker", "host:port, or several separated by commas"),
        (ServiceSettings, "KAFKA_BOOTSTRAP_SERVERS", "broker:0", "host:port, or several separated by commas"),
        (ServiceSettings, "KAFKA_SECURITY_PROTOCOL", "TLS", "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        (ServiceSettings, "API_KEYS_FILE", "/nowhere/keys", "a file that can be read"),
        (ReplicaSettings, "LOST_ANSWER_POLICY", "guess", "one of resend, hold, reconcile"),
        (ServiceSettings, "SES_EVENTS_QUEUE_URL", "sqs://queue", "an https or http URL of a queue"),
        (ReplicaSettings, "SES_EVENTS_ACCOUNT", "1111", "12 digits"),
        (ReplicaSettings, "SES_EVENTS_TOPIC_ARN", "events", "the ARN of a topic"),
        (ReplicaSettings, "WATCHDOG_SECONDS", "1", "a number from 10 upwards"),
        (ReplicaSettings, "SES_FROM_ADDRESS", "nobody", FROM_ALLOWED),
        (ReplicaSettings, "UNSUBSCRIBE_ADDRESS", "Leave <leave@example.org>", "an ASCII e-mail address"),
        (
            ReplicaSettings,
            "SES_FROM_ADDRESS",
            "A\nBcc: <a@example.org>",
            FROM_ALLOWED,
        ),
        (ReplicaSettings, "TEMPLATES_DIR", "/nowhere/templates", "a folder that can be read"),
        (
            ReplicaSettings,
            "PAUSE_REASONS_SHOWN",
            "holiday, illness",
            "codes of a-z, 0-9 and '_', separated by commas; `none` shows none",
        ),
        (ReplicaSettings, "ORGANISATION_COLOUR", "blue", "# and six hexadecimal digits"),
        (ReplicaSettings, "ORGANISATION_COLOUR", "#12345", "# and six hexadecimal digits"),
        (CommandSettings, "ORGANISATION_COLOUR", '#24527a;"', "# and six hexadecimal digits"),
        (ReplicaSettings, "ORGANISATION", "x" * 129, LINE_ALLOWED),
        (ReplicaSettings, "ORGANISATION", " ", LINE_ALLOWED),
        (ReplicaSettings, "ORGANISATION_POSTAL_LINE", "Street 1\nBerlin", LINE_ALLOWED),
        (CommandSettings, "ORGANISATION_LOGO_TEXT", "A\u202e", LINE_ALLOWED),
        (
            CommandSettings,
            "NAMESPACE",
            "Staging.",
            "empty, or up to 63 lower-case letters, digits and '-', without a dot at the end",
        ),
    ],
)
def test_refuses_a_wrong_value(settings_class: type[Settings], name: str, text: str, allowed: str) -> None:
    """The message names the variable, its invalid value and what is allowed."""
    expected = (f"{P}{name} is {text!r}, which is not allowed: it must be {allowed}.",)
    assert expected == problems(settings_class, **{name: text})


def test_names_every_wrong_variable() -> None:
    """All invalid variables are named together."""
    said = problems(ServiceSettings, HTTP_PORT="x", LOG_LEVEL="loud")
    assert {f"{P}HTTP_PORT", f"{P}LOG_LEVEL"} == {problem.split()[0] for problem in said}


def test_explains_a_service_link() -> None:
    """A port that Kubernetes overwrote with a Service's address is explained."""
    (said,) = problems(ServiceSettings, HTTP_PORT="tcp://10.0.0.1:80")
    assert said.endswith("set enableServiceLinks: false in the pod.")


def test_never_tells_a_secret() -> None:
    """No message quotes a password, neither in its text nor in its causes."""
    with pytest.raises(InvalidSettings) as refused:
        read_settings(ServiceSettings, {P + "KAFKA_SASL_PASSWORD": "hunter2", P + "HTTP_PORT": "x"})
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    credentials = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hunter2"}
    settings = read_settings(ServiceSettings, {P + name: value for name, value in credentials.items()})
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "environ",
    [
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "u"},
        {"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hunter2"},
    ],
)
def test_credentials_go_with_their_protocol(environ: dict[str, str]) -> None:
    """SASL without credentials is refused, and so are credentials without SASL."""
    (said,) = problems(CommandSettings, **environ)
    assert said.startswith(f"{P}KAFKA_SASL_USERNAME and {P}KAFKA_SASL_PASSWORD must both be set")


def test_a_certificate_goes_with_its_key(tmp_path: Path) -> None:
    """A client certificate without its key is refused."""
    certificate = tmp_path / "client.pem"
    certificate.touch()
    assert (f"{P}KAFKA_SSL_CERTFILE and {P}KAFKA_SSL_KEYFILE must both be set, or neither.",) == problems(
        CommandSettings, KAFKA_SSL_CERTFILE=str(certificate)
    )


@pytest.mark.parametrize(
    ("environ", "numbers"),
    [
        ({"SES_TIMEOUT_SECONDS": "13.5"}, "25.5 <= 25 < 45 < 60"),
        ({"RECORD_DEADLINE_SECONDS": "4.5"}, "26.5 <= 25 < 45 < 60"),
        ({"COMMIT_DEADLINE_SECONDS": "7"}, "26 <= 25 < 45 < 60"),
        ({"DRAIN_SECONDS": "45"}, "22 <= 45 < 45 < 60"),
        ({"REBALANCE_TIMEOUT_SECONDS": "60"}, "22 <= 25 < 60 < 60"),
    ],
)
def test_deadlines_are_ordered(environ: dict[str, str], numbers: str) -> None:
    """A stop fits into its deadline, and that into the group's; otherwise the message states rule and numbers."""
    (said,) = problems(ReplicaSettings, **environ)
    rule = (
        f"{P}SES_TIMEOUT_SECONDS + 3 x {P}RECORD_DEADLINE_SECONDS + {P}COMMIT_DEADLINE_SECONDS <= {P}DRAIN_SECONDS < "
        f"{P}REBALANCE_TIMEOUT_SECONDS < {P}REQUEST_TIMEOUT_SECONDS is required"
    )
    assert f"{rule}, but they are {numbers} seconds." == said


@pytest.mark.parametrize(
    ("environ", "rule"),
    [
        ({"HEARTBEAT_SECONDS": "11"}, f"3 x {P}HEARTBEAT_SECONDS <= {P}SESSION_TIMEOUT_SECONDS is required"),
        ({"BACKOFF_BASE_SECONDS": "31"}, f"{P}BACKOFF_BASE_SECONDS <= {P}BACKOFF_MAX_SECONDS is required"),
    ],
)
def test_pairs_are_ordered(environ: dict[str, str], rule: str) -> None:
    """Heartbeats fit into the session, and the base of the backoff is not above its ceiling."""
    (said,) = problems(ReplicaSettings, **environ)
    assert said.startswith(rule)


QUEUE = {"SES_EVENTS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/111122223333/events"}
WITH_SET = {**QUEUE, "SES_CONFIGURATION_SET": "notices"}


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        (QUEUE, "PAUSE_NOTIFICATIONS_SES_CONFIGURATION_SET must be set"),
        ({"LOST_ANSWER_POLICY": "reconcile"}, "PAUSE_NOTIFICATIONS_SES_EVENTS_QUEUE_URL must be set"),
    ],
    ids=["no configuration set", "no queue"],
)
def test_feedback_is_complete(environ: dict[str, str], missing: str) -> None:
    """Tags come back only through a configuration set, and without a queue there is nothing to reconcile with."""
    (problem,) = problems(ReplicaSettings, **environ)

    assert missing in problem


@pytest.mark.parametrize(
    ("environ", "policy"),
    [
        ({}, LostAnswerPolicy.RESEND),
        (WITH_SET, LostAnswerPolicy.RECONCILE),
        ({**WITH_SET, "LOST_ANSWER_POLICY": "hold"}, LostAnswerPolicy.HOLD),
    ],
    ids=["off", "on", "chosen"],
)
def test_lost_answers_are_reconciled_as_soon_as_feedback_is_on(
    environ: dict[str, str], policy: LostAnswerPolicy
) -> None:
    """Unless the operator chooses otherwise."""
    settings = read_settings(ReplicaSettings, {P + name: value for name, value in environ.items()})

    assert policy is settings.lost_answers


@pytest.mark.parametrize("settings_class", [ServiceSettings, CommandSettings])
def test_readers_know_when_feedback_is_overdue(settings_class: type[Settings]) -> None:
    """Facade and command need only the queue's URL to expect feedback; without one they expect none."""
    on = read_settings(settings_class, {P + name: value for name, value in QUEUE.items()})

    assert [None, timedelta(hours=24)] == [settings_class().feedback_overdue, on.feedback_overdue]


def test_the_bounds_of_a_drain_are_inclusive() -> None:
    """A drain of exactly the time needed is allowed."""
    assert 22.0 == read_settings(ReplicaSettings, {P + "DRAIN_SECONDS": "22"}).drain_seconds


@pytest.mark.parametrize(("namespace", "group"), [("", "pause-notifications"), ("qa", "qa.pause-notifications")])
def test_namespace_prefixes_the_group(namespace: str, group: str) -> None:
    """The group id gets the namespace and a dot as its prefix, if there is a namespace."""
    assert group == Settings(namespace=namespace).consumer_group


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("HTP_PORT", "HTTP_PORT"),
        ("MAX_SEND_IN_FLIGHT", "MAX_SENDS_IN_FLIGHT"),
        ("http_port", "HTTP_PORT"),
        ("XYZZY", None),
    ],
)
def test_finds_unknown_names(name: str, nearest: str | None) -> None:
    """An unknown name with the prefix is found, with the most similar known one if there is one."""
    expected = (UnknownSetting(P + name, nearest and P + nearest),)
    assert expected == unknown_settings({P + name: "9"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "1"),
        ("SES_TIMEOUT_SECONDS", "1"),
        ("TEST_KAFKA", "embedded"),
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP_ADDR", "10.0.0.1"),
        ("FACADE_SERVICE_HOST", "10.0.0.1"),
        ("FACADE_PORT", "tcp://10.0.0.1:80"),
        ("FACADE_PORT_80_TCP_PROTO", "tcp"),
    ],
)
def test_lets_known_names_pass(name: str, value: str) -> None:
    """Settings of any program, Kubernetes' service links and the tests' own variables raise no warning."""
    assert () == unknown_settings({P + name: value, "PATH": "/bin"})


def test_every_setting_is_described() -> None:
    """Every setting has its row, with text, readers and what is allowed."""
    rows = describe_settings()
    fields = {env_name(field) for settings_class in PROGRAMS.values() for field in settings_class.model_fields}
    assert fields == {row.variable for row in rows}
    assert [] == [row.variable for row in rows if not (row.description and row.read_by and row.allowed)]
    assert [] == [row.variable for row in rows if row.variable.endswith("_SECONDS") and row.unit != "s"]


def test_a_default_of_each_program_is_told_apart() -> None:
    """If programs have different defaults, the row names each."""
    (row,) = (row for row in describe_settings() if row.variable == P + "MANAGEMENT_PORT")
    assert "8001 (service), 8002 (consumers)" == row.default
    assert ("service", "consumers") == row.read_by


def test_documents_render() -> None:
    """The Markdown table has six cells in every line; a program's help has its own settings only."""
    lines = settings_table().splitlines()
    assert {7} == {line.replace("\\|", "").count("|") for line in lines}
    assert P + "HTTP_PORT" in settings_help("service")
    assert P + "SES_FROM_ADDRESS" not in settings_help("service")
