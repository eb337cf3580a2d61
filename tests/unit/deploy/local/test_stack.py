"""Parts of the local stack without a broker: environments, programs, ports, reports, sample contacts."""

from __future__ import annotations

import http.server
import io
import re
import shlex
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import stack
from deploy.local.addresses import Ports, addresses, own_command
from deploy.local.child import Child
from deploy.local.environments import programs_environ
from deploy.local.ports import free_ports
from deploy.local.programs import Program, StackFailed, start_program
from deploy.local.reporting import Report
from deploy.local.stack import SAMPLE_CONTACTS, Stack, run_stack
from runtime.environment import read_settings, unknown_settings
from runtime.settings import CommandSettings, ReplicaSettings, ServiceSettings, env_name
from schemas.contacts import read_contacts
from schemas.events import Role
from tests.signing import keys_file

ENVIRON = programs_environ({}, servers="127.0.0.1:9092", ses_port=8025, sqs_port=9324, own_kafka=True)


@contextmanager
def running(tmp_path: Path, code: str, *, port: int = 1) -> Iterator[Program]:
    """Run a line of Python as a program of the stack, and kill it at the end."""
    (tmp_path / "program_of_this_test.py").write_text(code, encoding="utf-8")
    program = start_program(
        "facade",
        ["program_of_this_test"],
        logs=tmp_path,
        cwd=tmp_path,
        environ={"PYTHONUNBUFFERED": "1"},
        probe=f"http://127.0.0.1:{port}/readyz",
    )
    try:
        yield program
    finally:
        program.child.kill()


@contextmanager
def answering(statuses: Sequence[int]) -> Iterator[int]:
    """Answer GETs with these statuses, repeating the last one; yield the port."""
    left = list(statuses)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"a reason")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_environment_is_valid_for_every_program() -> None:
    """Every program accepts the environment, and it has no unknown setting."""
    for settings_class in (ServiceSettings, ReplicaSettings, CommandSettings):
        assert "127.0.0.1:9092" == read_settings(settings_class, ENVIRON).kafka_bootstrap_servers
    assert () == unknown_settings(ENVIRON)


def test_environment_hides_the_aws_account() -> None:
    """The programs of the stack see no AWS account of the environment."""
    theirs = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "x", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_REGION": "eu-west-1"}

    ours = programs_environ(theirs, servers="127.0.0.1:9092", ses_port=8025, sqs_port=9324, own_kafka=True)

    assert {name: value for name, value in ENVIRON.items() if name.startswith("AWS_")} == {
        name: value for name, value in ours.items() if name.startswith("AWS_")
    }


@pytest.mark.parametrize(("own_kafka", "protocol"), [(True, None), (False, "SSL")])
def test_environment_keeps_connection_settings_for_a_given_broker(*, own_kafka: bool, protocol: str | None) -> None:
    """Settings for TLS and SASL are kept for a given broker, and removed for the one started here."""
    theirs = {"PAUSE_NOTIFICATIONS_KAFKA_SECURITY_PROTOCOL": "SSL"}

    ours = programs_environ(theirs, servers="kafka:9093", ses_port=8025, own_kafka=own_kafka)

    assert protocol == ours.get("PAUSE_NOTIFICATIONS_KAFKA_SECURITY_PROTOCOL")


def test_environment_leads_to_the_local_queue() -> None:
    """Feedback comes from the local queue, never from one in the environment; the configuration set may be another."""
    theirs = {
        "PAUSE_NOTIFICATIONS_SES_EVENTS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/theirs",
        "PAUSE_NOTIFICATIONS_SES_CONFIGURATION_SET": "theirs",
    }

    ours = programs_environ(theirs, servers="127.0.0.1:9092", ses_port=8025, sqs_port=9324, own_kafka=True)
    settings = read_settings(ReplicaSettings, ours)

    assert "http://127.0.0.1:9324/123456789012/pause-notifications-ses-events" == settings.ses_events_queue_url
    assert "http://127.0.0.1:9324" == ours["AWS_ENDPOINT_URL_SQS"]
    assert "theirs" == settings.ses_configuration_set
    assert "pause-notifications" == read_settings(ReplicaSettings, ENVIRON).ses_configuration_set


def test_environment_without_a_local_queue_has_no_feedback() -> None:
    """A caller without a local SQS gets an environment without feedback."""
    ours = programs_environ({}, servers="127.0.0.1:9092", ses_port=8025, own_kafka=True)

    assert read_settings(ReplicaSettings, ours).ses_events_queue_url is None


async def test_program_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    """If a program ends before it is ready, the error has its name and the end of its log."""
    with running(tmp_path, "print('the reason')") as program, pytest.raises(StackFailed) as caught:
        await program.ready(within=10)

    assert f"facade has ended (exit code 0). The end of {tmp_path / 'facade.log'}:\n  the reason" == str(caught.value)


async def test_program_that_ended_is_restarted(tmp_path: Path) -> None:
    """A program that ends is restarted with the same log, at most three times in half a minute."""
    with running(tmp_path, "print('here')") as program:
        for _ in range(2):
            await program.child.wait(within=10)
            assert "exit code 0" == program.restart_if_ended()
        await program.child.wait(within=10)

        with pytest.raises(StackFailed) as caught:
            program.restart_if_ended()

    said = "facade has ended (exit code 0): third start within 30 s, giving up."
    assert said == str(caught.value)[: len(said)]
    assert "CONTRIBUTING.md, Try a fault by hand" in str(caught.value)
    assert ["here"] * 3 == (tmp_path / "facade.log").read_text(encoding="utf-8").split()


async def test_program_that_was_killed_is_reported_with_the_signal(tmp_path: Path) -> None:
    """A killed program is restarted with a new pid, and the signal is returned; a running one is not restarted."""
    with running(tmp_path, "import time; time.sleep(60)") as program:
        first = program.child.pid
        assert program.restart_if_ended() is None

        program.child.kill()

        assert "SIGKILL" == program.restart_if_ended()
        assert program.child.running
        assert first != program.child.pid


async def test_program_that_is_never_ready_is_reported_with_its_probe(tmp_path: Path) -> None:
    """If a program does not become ready, the error has its name, the answer of its probe and its log."""
    code = "import time; print('still trying'); time.sleep(60)"
    with (
        answering([503]) as port,
        running(tmp_path, code, port=port) as program,
        pytest.raises(StackFailed) as caught,
    ):
        await program.ready(within=1)

    said = str(caught.value)
    assert said.startswith("facade is not ready after 1 s")
    assert "503 a reason" in said
    assert "  still trying" in said


async def test_program_is_ready_when_its_probe_answers_200(tmp_path: Path) -> None:
    """The stack waits until the probe answers 200."""
    with (
        answering([503, 503, 200]) as port,
        running(tmp_path, "import time; time.sleep(60)", port=port) as program,
    ):
        await program.ready(within=10)

        assert program.child.running


def test_taken_ports_are_reported_with_their_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has every taken port and the option for another one, and nothing is started."""
    monkeypatch.setattr(stack, "STATE", tmp_path / "state")
    http, management, _, ses, kafka, sqs = free_ports(6)
    with socket.create_server(("127.0.0.1", http)), socket.create_server(("127.0.0.1", ses)):
        code = run_stack(Ports(http, management, ses, kafka, sqs), replicas=1, fresh=False, environ={})

    said = capsys.readouterr().out
    assert 1 == code
    assert f"port {http} is taken" in said
    assert f'make run ARGS="--http-port N", or {own_command()} local --http-port N' in said
    assert f"port {ses} is taken" in said
    assert not (tmp_path / "state").exists()


def test_equal_ports_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Equal ports are refused before anything is started."""
    code = run_stack(Ports(http=8001, management=8001), replicas=1, fresh=False, environ={})

    assert (1, True) == (code, "two of the ports are the same" in capsys.readouterr().out)


def test_wrong_settings_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that a program refuses exit with 2, each is reported once, and nothing is started."""
    monkeypatch.setattr(stack, "STATE", tmp_path / "state")
    names = [f"PAUSE_NOTIFICATIONS_{name}" for name in ("NAMESPACE", "REPLY_TIMEOUT_SECONDS", "MAX_ATTEMPTS")]

    code = run_stack(Ports(), replicas=1, fresh=False, environ=dict.fromkeys(names, "A B"))

    assert (2, names) == (code, [line.split()[0] for line in capsys.readouterr().out.splitlines()])
    assert not (tmp_path / "state").exists()


def test_facade_is_stopped_first_and_all_within_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facade starts last and stops first, and has time to drain; all stops and Kafka's 5 s take under 10 s."""
    started: list[tuple[str, str | None]] = []

    def note(name: str, *_: object, environ: Mapping[str, str], **__: object) -> Program:
        started.append((name, environ.get("PAUSE_NOTIFICATIONS_DRAIN_SECONDS")))
        return Program(name, lambda append: Child(["true"], log=tmp_path / "log", append=append), tmp_path / "log", "")

    monkeypatch.setattr(stack, "start_program", note)
    ours = Stack(Ports(), replicas=2, fresh=False, environ={}, report=Report())
    seconds = []
    for programs, stop_seconds in ours.launches(tmp_path):
        seconds.append(stop_seconds)
        for program in programs:
            program.child.kill()

    assert [("ses", None), ("replica-1", None), ("replica-2", None), ("facade", "1")] == started
    assert 1 < seconds[-1]
    assert sum(seconds) + 5 < 10


def test_mailbox_has_a_file_the_contacts_and_the_port_of_the_facade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local SES keeps its mails in the state's folder, knows the sample contacts, and leads to the real facade."""
    started: dict[str, list[str]] = {}

    def note(name: str, arguments: list[str], **_: object) -> Program:
        started[name] = arguments
        return Program(name, lambda append: Child(["true"], log=tmp_path / "log", append=append), tmp_path / "log", "")

    monkeypatch.setattr(stack, "start_program", note)
    ours = Stack(Ports.starting_at(9000), replicas=1, fresh=False, environ={}, report=Report(), state=tmp_path)
    for programs, _ in ours.launches(tmp_path):
        for program in programs:
            program.child.kill()

    ses = started["ses"]
    options = dict(zip(ses[1::2], ses[2::2], strict=True))
    assert str(tmp_path / "mails.sqlite3") == options["--mails"]
    assert str(SAMPLE_CONTACTS) == options["--contacts"]
    assert "http://127.0.0.1:9000" == options["--facade"]


def test_fresh_start_deletes_the_mails(tmp_path: Path) -> None:
    """A fresh start deletes the mails of earlier runs, with all files of SQLite, and nothing else."""
    for name in ("mails.jsonl", "mails.sqlite3", "mails.sqlite3-wal", "signing-keys"):
        (tmp_path / name).touch()

    stack._delete_mails(tmp_path)

    assert ["signing-keys"] == [file.name for file in tmp_path.iterdir()]


def test_report_in_a_pipe_is_plain_lines() -> None:
    """In a pipe each step is one unwrapped line when it starts, followed by its details."""
    out = io.StringIO()
    with Report(Console(file=out, soft_wrap=True, width=20)).step("Starting something rather long") as detail:
        detail("[half] way")

    assert "Starting something rather long ...\n  [half] way\n" == out.getvalue()


def test_addresses_have_the_broker_if_it_is_not_the_default() -> None:
    """If Kafka is not at its default address, the command to copy has its address."""
    settings = read_settings(CommandSettings, {"PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS": "kafka:9093"})

    said = addresses(Ports(), settings, replicas=2, own_kafka=False, environ=ENVIRON, pids={})

    assert "PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS=kafka:9093" in said
    assert "http://127.0.0.1:8003/metrics" in said


def test_addresses_have_the_pids() -> None:
    """Each program's pid is printed."""
    settings = read_settings(CommandSettings, ENVIRON)

    said = addresses(Ports(), settings, replicas=1, own_kafka=True, environ=ENVIRON, pids={"Kafka": 7, "replica": 11})

    assert "pids        Kafka 7, replica 11\n" in said


@pytest.mark.parametrize("theirs", [{}, {env_name("ses_configuration_set"): "theirs", env_name("ses_reply_to"): ""}])
def test_the_doctor_to_copy_has_the_settings_of_the_replicas(theirs: dict[str, str]) -> None:
    """What doctor looks at is as for the replicas: where e-mails go, who gets replies, feedback and keys."""
    environ = programs_environ(theirs, servers="127.0.0.1:9092", ses_port=8025, sqs_port=9324, own_kafka=True)
    environ[env_name("signing_keys_file")] = str(keys_file())
    said = addresses(
        Ports(), read_settings(CommandSettings, environ), replicas=1, own_kafka=True, environ=environ, pids={}
    )

    (written,) = re.findall(rf"^  (.*) \\\n    {re.escape(own_command())} doctor$", said, re.MULTILINE)
    copied = dict(part.split("=", 1) for part in shlex.split(written))

    of_a_process = {"http_host", "management_host", "session_timeout_seconds", "log_format"}
    ours, doctors = (read_settings(ReplicaSettings, one).model_dump(exclude=of_a_process) for one in (environ, copied))
    assert ours == doctors
    assert {*copied.items()} <= {*environ.items()}
    assert {"AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL_SQS", "AWS_REGION"} <= copied.keys()


def test_sample_contacts_match_their_readme() -> None:
    """The sample contacts are valid, mentor-042 has coordinator-007, and some show rare cases."""
    contacts = {c.id: c for c in read_contacts(SAMPLE_CONTACTS.read_text(encoding="utf-8").splitlines())}
    mentors = [contact for contact in contacts.values() if contact.role is Role.MENTOR]

    assert [f"mentor-{number:03}" for number in range(1, 57)] == [mentor.id for mentor in mentors]
    assert "coordinator-007" == contacts["mentor-042"].coordinator_id
    assert ["mentor-048"] == [mentor.id for mentor in mentors if mentor.coordinator_id is None]
    assert ["mentor-049"] == [contact.id for contact in contacts.values() if contact.email is None]
    addresses_of = {contact.id: contact.email or "" for contact in contacts.values()}
    simulated = {name: address.partition("+")[0] for name, address in addresses_of.items() if "+" in address}
    assert {
        "mentor-051": "bounce",
        "mentor-052": "complaint",
        "mentor-053": "ooto",
        "mentor-054": "suppressionlist",
        "mentor-055": "softbounce",
        "mentor-056": "bounce",
        "coordinator-008": "bounce",
    } == simulated
    assert ["mentor-050"] == [m.id for m in mentors if m.coordinator_id and m.coordinator_id not in contacts]
