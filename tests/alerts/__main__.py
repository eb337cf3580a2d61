"""Provoke every alert, with all files of the suite side by side: ``python -m tests.alerts``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.local.kafka.cluster import BrokerError
from tests.alerts import services
from tests.monitoring import promtool

_FOLDER = Path(__file__).parent


def main() -> int:
    """Run the suite on one Kafka and one Prometheus, and return pytest's exit code; pass arguments on to it."""
    files = sorted(_FOLDER.glob("test_*.py"))
    suite = [sys.executable, "-m", "pytest", "-n", str(len(files)), "-m", "alerts", str(_FOLDER)]
    with tempfile.TemporaryDirectory() as folder, services.running(Path(folder)) as shared:
        environ = {**os.environ, services.VARIABLE: shared.as_json()}
        return subprocess.run([*suite, *sys.argv[1:]], env=environ, check=False).returncode


if __name__ == "__main__":
    try:
        promtool.required()
        sys.exit(main())
    except (BrokerError, pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(str(missing))
