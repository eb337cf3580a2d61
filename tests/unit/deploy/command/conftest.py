"""Run the command line in an environment without settings and without a broker."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from deploy.command.app import app
from runtime.settings import PREFIX, env_name

NO_BROKER = "127.0.0.1:1"


@pytest.fixture(name="command")
def _command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs the command; no broker answers at its address."""
    for name in list(os.environ):
        if name.startswith((PREFIX, "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv(env_name("kafka_bootstrap_servers"), NO_BROKER)
    runner = CliRunner()

    def run(*arguments: str, **environ: str) -> Result:
        return runner.invoke(app, list(arguments), env=environ, prog_name="pause-notifications")

    return run
