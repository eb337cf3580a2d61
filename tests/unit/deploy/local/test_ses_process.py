"""The local SES as a process: its log, its end, and a taken port."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.unit.deploy.local.ses_client import email
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "deploy.local.ses"]
SEND_EMAIL = "/v2/email/outbound-emails"


class Program:
    """A running local SES."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        assert process.stdout
        self.line = process.stdout.readline()
        self.address = self.line.split()[-1]

    def logged(self) -> list[dict[str, Any]]:
        """Read the log."""
        return [json.loads(line) for line in self.log.read_text(encoding="ascii").splitlines()]


@contextmanager
def running(option: str, file: Path) -> Iterator[Program]:
    """Run a local SES with a file on a free port, and kill it at the end."""
    command = [*COMMAND, "--port", "0", option, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Program(process, file)
        finally:
            process.kill()


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Iterator[Program]:
    """Run a local SES with a log."""
    with running("--log", tmp_path / "new folder" / "mails.jsonl") as program:
        yield program


def test_logs_every_accepted_mail(program: Program) -> None:
    """Each accepted mail, answered or not, is one line as soon as the call has ended, even after SIGKILL."""
    with httpx.Client(base_url=program.address, timeout=5) as http:
        sent = http.post(SEND_EMAIL, json=email()).json()["MessageId"]
        http.patch("/admin/faults", json={"accept_then_drop_share": 1}).raise_for_status()
        with pytest.raises(httpx.RemoteProtocolError):
            http.post(SEND_EMAIL, json=email())
        http.put("/admin/faults", json={"error_share": 1}).raise_for_status()
        refused = http.post(SEND_EMAIL, json=email()).status_code
    program.process.kill()

    lines = program.logged()

    assert 500 == refused
    assert ["normal", "dropped"] == [line["answer"] for line in lines]
    assert sent == lines[0]["message_id"]
    assert ["message_id", "time", "to", "tags", "answer"] == list(lines[0])


def test_mails_survive_sigkill(tmp_path: Path) -> None:
    """With a file, mails and their read marks are there again after a process was killed and started anew."""
    file = tmp_path / "mails.sqlite3"
    with running("--mails", file) as killed, httpx.Client(base_url=killed.address, timeout=5) as http:
        for _ in range(2):
            sent = http.post(SEND_EMAIL, json=email()).json()["MessageId"]
        http.patch(f"/admin/mails/{sent}", json={"read": True}).raise_for_status()
        before = http.get("/admin/mails").json()
        killed.process.kill()

    with running("--mails", file) as program:
        after = httpx.get(f"{program.address}/admin/mails").json()

    assert (2, 1) == (after["kept"], after["unread"])
    assert before == after


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """If the file cannot grow, mails are taken and kept in memory; stderr says so once, and the page shows it."""
    file = tmp_path / "mails.sqlite3"
    with running("--mails", file) as program, httpx.Client(base_url=program.address, timeout=5) as http:
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        statuses = [http.post(SEND_EMAIL, json=email()).status_code for _ in range(2)]
        stats = http.get("/admin/stats").json()
        program.process.send_signal(signal.SIGTERM)
        _, said = program.process.communicate(timeout=5)

    expected = f"Changes of the mailbox will be missing after a restart: {file}: disk I/O error."
    assert [200, 200] == statuses
    assert (2, expected) == (stats["kept"], stats["mail_file_fault"])
    assert f"{expected}\n" == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_ends_within_two_seconds_even_with_hung_requests(program: Program, number: signal.Signals) -> None:
    """A signal ends it cleanly, also with hung and slow requests, and without output on stderr."""
    async with httpx.AsyncClient(base_url=program.address, timeout=5) as http:
        (await http.patch("/admin/faults", json={"accept_then_hang_share": 1})).raise_for_status()

        async def is_in_flight() -> bool:
            return bool((await http.get("/admin/stats")).json()["calls_in_flight"])

        address = httpx.URL(program.address)
        with socket.create_connection((address.host, address.port or 0), timeout=5) as hung:
            hung.sendall(_raw_send())
            await until(is_in_flight, what="the hung call")
            begun = time.monotonic()
            program.process.send_signal(number)
            answer = hung.recv(100)
            code = program.process.wait(5)

    assert (b"", 0) == (answer, code)
    assert time.monotonic() - begun < 2
    assert program.process.stderr
    assert "" == program.process.stderr.read()


def test_a_taken_port_is_reported(program: Program) -> None:
    """A second process on the same port exits with 1 and prints what to do."""
    port = program.address.rpartition(":")[2]

    second = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=20, check=False)

    expected = f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with --port.\n"
    assert (1, expected, "") == (second.returncode, second.stderr, second.stdout)


def _raw_send() -> bytes:
    """Return a SendEmail request as bytes."""
    body = json.dumps(email()).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (SEND_EMAIL.encode(), len(body), body)
