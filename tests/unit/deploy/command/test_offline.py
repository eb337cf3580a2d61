"""Commands that need no broker: preview, settings, and the findings of doctor."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from consumers.notices.notices import Notices
from consumers.ses.account import Account
from deploy.command.doctor.account import account_findings, identity_finding
from deploy.command.doctor.check import contacts_finding, examine, limiting_findings
from deploy.command.findings import Finding, State
from deploy.command.gallery import CASES
from deploy.support.output import age
from runtime.environment import describe_settings
from runtime.settings import ReplicaSettings
from tests.signing import KEY, KEYS

Command = Callable[..., Result]

HEALTHY = Account(
    max_send_rate=14,
    max_24_hour_send=50_000,
    sent_last_24_hours=3,
    sending_enabled=True,
    enforcement="HEALTHY",
    production_access=True,
)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, []),
        (
            {"recipients_allowed": "acme.eu,me@other.eu"},
            [(State.WARN, "only these get e-mail here: acme.eu, 1 addresses")],
        ),
        ({"max_age_hours": 48}, [(State.OK, "nothing is sent for an event older than 48 hours")]),
    ],
)
def test_doctor_names_what_limits_the_recipients(settings: dict[str, Any], found: list[tuple[State, str]]) -> None:
    """A list of allowed recipients is a warning, without an address; an age limit is named."""
    assert found == [(one.state, one.detail) for one in limiting_findings(ReplicaSettings(**settings))]


def test_preview_prints_subject_and_text(command: Command) -> None:
    """A preview prints subject and text of the notice, rendered for the sample contact."""
    result = command("preview", "pause-activated", "--role", "coordinator", "--language", "en")

    assert 0 == result.exit_code
    assert result.stdout.startswith("Subject: ")
    assert "Amara Diallo" in result.stdout


def test_preview_uses_the_language(command: Command) -> None:
    """A German preview differs from the English one."""
    german, english = (command("preview", "cert-expiry", "--language", tag).stdout for tag in ("de", "en"))

    assert ("Guten Tag", "Hello") == (
        german.split("\n")[2].removesuffix(" Amara Diallo,"),
        english.split("\n")[2].removesuffix(" Amara Diallo,"),
    )


def test_preview_uses_the_tense_of_its_time(command: Command) -> None:
    """With --sent-at before the expiry the certification expires, after it it has expired."""
    ahead, after = (
        command("preview", "cert-expiry", "--sent-at", f"2026-{day}T08:30:00Z").stdout for day in ("01-31", "04-01")
    )

    assert "expires on 31 March 2026" in ahead
    assert "expired on 31 March 2026" in after


def test_preview_says_that_replies_are_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so in the replica's words if SES_REPLY_TO is set, as the e-mail does."""
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_SES_REPLY_TO", "mentoring@example.org")

    assert "reply to this e-mail" in command("preview", "pause-activated", "--role", "coordinator").stdout


def test_preview_names_whom_to_ask_and_who_writes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mentor's preview names the coordinator, their address if shown, and the organisation if set."""
    usual = command("preview", "pause-lifted").stdout
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_REPLY_TO_COORDINATOR", "true")
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_ORGANISATION", "Example Mentoring")
    named = command("preview", "pause-lifted").stdout

    assert "please contact your mentoring coordinator, Mei-Ling Chen.\n" in usual
    assert "your mentoring coordinator, Mei-Ling Chen (coordinator-007@example.com).\n" in named
    assert "\nKind regards\nExample Mentoring\n" in named


def test_preview_hides_reasons_that_are_not_shown(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator's preview shows the reason of a pause only if the setting has its code."""
    arguments = ("preview", "pause-activated", "--role", "coordinator")
    shown = command(*arguments).stdout
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_PAUSE_REASONS_SHOWN", "none")
    kept_back = command(*arguments).stdout

    assert "Reason: Personal leave\n" in shown
    assert "Reason: Not stated\n" in kept_back


def test_preview_writes_a_gallery(command: Command, tmp_path: Path) -> None:
    """With --gallery one page has every notice in every language, for each of our names, and loads nothing."""
    file = tmp_path / "gallery.html"
    result = command("preview", "--gallery", str(file))

    page = file.read_text(encoding="utf-8")
    notices = sum(case.has(name, role) for name, role, _ in Notices.names() for case in CASES)
    assert (0, f"{notices} notices written; open {file}\n") == (result.exit_code, result.stdout)
    assert notices == page.count("<iframe ")
    assert [] == re.findall(r"<(?:link|img)\b|url\(", page)


@pytest.mark.parametrize(
    "text",
    [
        "was expected back on 1 May 2026",
        "was recorded after the expected return",
        "since an earlier e-mail",
        "expired on",
    ],
)
def test_the_gallery_shows_what_is_rare(command: Command, tmp_path: Path, text: str) -> None:
    """A reviewer also sees notices that are late, that contradict themselves, and that did not reach the mentor."""
    file = tmp_path / "gallery.html"
    command("preview", "--gallery", str(file))

    assert text in file.read_text(encoding="utf-8")


def test_a_gallery_of_own_names(command: Command, tmp_path: Path) -> None:
    """With --name and --reason each name is shown with each reason, as text."""
    file = tmp_path / "gallery.html"
    command("preview", "--gallery", str(file), "--name", "<b>Li", "--name", "Chloé", "--reason", "sabbatical")

    page = file.read_text(encoding="utf-8")
    assert 2 * len([*Notices.names()]) == page.count("<iframe ")
    assert "Hello Chloé," in page
    assert "Hello &lt;b&gt;Li," in page  # the text
    assert "Hello &amp;lt;b&amp;gt;Li," in page  # the frame, which is HTML within HTML
    assert "Amara" not in page


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "Li", "--all", "x"),
        ("pause-lifted", "--gallery", "x"),
        ("--gallery", "x", "--text"),
        ("--all", "x", "--role", "mentor"),
        ("--all", "x", "--language", "de"),
        ("--gallery", "x", "--html", "y"),
    ],
)
def test_no_option_of_a_preview_is_ignored(command: Command, arguments: tuple[str, ...]) -> None:
    """Names go with a gallery; role, language and file of one notice do not go with a page or folder of all."""
    result = command("preview", *arguments)

    assert (2, True) == (result.exit_code, "Usage: pause-notifications preview" in result.stderr)


def test_preview_checks_own_templates(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Templates in a folder replace ours; if one has a mistake, the preview names it, and ends."""
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_TEMPLATES_DIR", str(tmp_path))
    (tmp_path / "layout.txt.j2").write_text("Dear {{ contact_name }}\n{% block text %}{% endblock %}")
    good = command("preview", "pause-lifted")
    (tmp_path / "layout.txt.j2").write_text("Dear\n{{ nobody }}")
    bad = command("preview", "pause-lifted")

    assert "Dear Amara Diallo\n" in good.stdout
    assert (1, f"Error: {tmp_path}/layout.txt.j2:2: unknown variable nobody\n") == (bad.exit_code, bad.stderr)


@pytest.mark.parametrize(
    ("encoding", "code", "says"),
    [("utf-8-sig", 0, ""), ("utf-16", 1, "Error: {file}: is not UTF-8\n")],
)
def test_preview_reads_own_templates_of_any_editor(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str, code: int, says: str
) -> None:
    """A byte order mark is no part of a template; a template in another encoding is refused by its name."""
    file = tmp_path / "layout.txt.j2"
    file.write_text("Dear {{ contact_name }}\n{% block text %}{% endblock %}", encoding=encoding)
    monkeypatch.setenv("PAUSE_NOTIFICATIONS_TEMPLATES_DIR", str(tmp_path))

    result = command("preview", "pause-lifted")

    assert (code, says.format(file=file)) == (result.exit_code, result.stderr)
    assert (not code) == ("\nDear Amara Diallo\n" in result.stdout)


def test_preview_writes_html(command: Command, tmp_path: Path) -> None:
    """With --html the notice's HTML is written to the file."""
    file = tmp_path / "notice.html"

    result = command("preview", "pause-lifted", "--html", str(file))

    assert (0, f"{file} written\n") == (result.exit_code, result.stdout)
    assert "<html" in file.read_text(encoding="utf-8")


def test_preview_writes_all(command: Command, tmp_path: Path) -> None:
    """With --all every notice is written in every language, as HTML and text, with an index."""
    result = command("preview", "--all", str(tmp_path / "all"))

    expected = {f"{language}.{name}.{role.value}" for name, role, language in Notices.names()}
    assert 0 == result.exit_code
    assert expected | {"index"} == {file.stem for file in (tmp_path / "all").glob("*.html")}
    assert expected == {file.stem for file in (tmp_path / "all").glob("*.txt")}


def test_settings_prints_all(command: Command) -> None:
    """Every setting is one line of JSON, in the order of the module."""
    result = command("settings", "--json")

    assert [row.variable for row in describe_settings()] == [
        json.loads(line)["variable"] for line in result.stdout.splitlines()
    ]


def test_settings_of_one_program(command: Command) -> None:
    """With --program only its settings are printed; in a pipe they are tab-separated after a header."""
    result = command("settings", "--program", "command")

    assert ["variable", *(row.variable for row in describe_settings("command"))] == [
        line.split("\t")[0] for line in result.stdout.splitlines()
    ]


def test_doctor_fails_without_broker_and_region(command: Command) -> None:
    """Without a broker and a region the doctor reports both, warns that feedback is off, and exits with 1."""
    result = command("doctor", "--json")

    findings = [Finding(**json.loads(line)) for line in result.stdout.splitlines()]
    assert 1 == result.exit_code
    expected = [("settings", "ok"), ("signing keys", "warn"), ("replies", "warn"), ("broker", "fail")]
    expected += [("replicas", "warn"), ("SES", "fail"), ("feedback", "warn")]
    assert expected == [(f.check, f.state) for f in findings]


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        (KEY.hex(), State.OK, f"{KEYS.ids[0]} signs"),
        ("hunter2", State.FAIL, "Line 1 is no signing key"),
        (None, State.WARN, "pn_ headers are ignored"),
    ],
)
async def test_doctor_checks_the_signing_keys(tmp_path: Path, text: str | None, state: State, says: str) -> None:
    """Without keys the doctor prints the effects; of keys it prints only the ids."""
    file = tmp_path / "signing-keys"
    file.write_text(text or "")
    environ = {"PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    environ |= {"PAUSE_NOTIFICATIONS_SIGNING_KEYS_FILE": str(file)} if text else {}

    (found,) = [one for one in await examine(environ, lambda _: None) if one.check == "signing keys"]

    assert (state, True) == (found.state, says in found.detail)
    assert not text or text not in found.detail


def test_doctor_stops_at_wrong_settings(command: Command) -> None:
    """With invalid settings the doctor runs no further checks."""
    result = command("doctor", PAUSE_NOTIFICATIONS_HTTP_PORT="0x50")

    assert (1, True) == (result.exit_code, result.stdout.startswith("fail  settings: PAUSE_NOTIFICATIONS_HTTP_PORT"))


async def test_doctor_warns_of_an_unknown_setting() -> None:
    """A misspelt setting is a warning with the nearest known name."""
    environ = {"PAUSE_NOTIFICATIONS_HTTP_PROT": "80", "PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    findings = await examine(environ, lambda _: None)

    assert (State.WARN, "did you mean PAUSE_NOTIFICATIONS_HTTP_PORT?") == (findings[0].state, findings[0].advice)


@pytest.mark.parametrize(
    ("account", "states"),
    [
        (HEALTHY, [State.OK]),
        (replace(HEALTHY, production_access=False), [State.OK, State.WARN]),
        (replace(HEALTHY, sending_enabled=False), [State.FAIL]),
        (replace(HEALTHY, enforcement="SHUTDOWN"), [State.FAIL]),
        (replace(HEALTHY, sent_last_24_hours=50_000), [State.FAIL]),
        (replace(HEALTHY, max_24_hour_send=None, sent_last_24_hours=50_000), [State.OK]),
    ],
)
def test_doctor_checks_the_account(account: Account, states: list[State]) -> None:
    """An account that cannot send now is a failure, and the sandbox is a warning."""
    assert states == [finding.state for finding in account_findings(account)]


@pytest.mark.parametrize(("verified", "state"), [(True, State.OK), (False, State.FAIL), (None, State.WARN)])
def test_doctor_checks_the_sender(*, verified: bool | None, state: State) -> None:
    """An unverified sender is a failure; one that cannot be checked is a warning."""
    assert state == identity_finding(verified).state


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(days=2, hours=3), "2 d"),
    ],
)
def test_age_uses_its_largest_unit(span: timedelta, text: str) -> None:
    """An age is shown in its largest unit, and is never negative."""
    now = datetime(2026, 3, 26, tzinfo=UTC)

    assert text == age(now - span, now)


@pytest.mark.parametrize(
    ("known", "state", "detail"),
    [
        ({}, State.FAIL, "there are none, so nothing is sent"),
        ({b"a": False, b"b": False}, State.FAIL, "all 2 are invalid, so nothing is sent"),
        ({b"a": True, b"b": False}, State.WARN, "1 known, and 1 invalid: these get no e-mail"),
        ({b"a": True}, State.OK, "1 known"),
    ],
)
def test_doctor_checks_the_contacts(known: dict[bytes, bool], state: State, detail: str) -> None:
    """Invalid contacts do not count: without a valid one nothing is sent."""
    finding = contacts_finding(known)

    assert (state, detail) == (finding.state, finding.detail)
