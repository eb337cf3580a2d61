"""Find the programs that the producers' examples need beside Python; install them in CI."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_APT_SECONDS = 180.0
_ASK_SECONDS = 30.0


def present(program: str) -> bool:
    """Return whether a program is installed."""
    return shutil.which(program) is not None


def compiles_java() -> bool:
    """Return whether `java` runs a source file: a bare runtime has no compiler."""
    if not present("java"):
        return False
    modules = subprocess.run(["java", "--list-modules"], capture_output=True, timeout=_ASK_SECONDS, check=False)
    return b"jdk.compiler" in modules.stdout


def need(usable: Callable[[], bool], package: str) -> None:
    """Return if a program is usable; otherwise install its Debian package in CI, or skip and say what to do."""
    if usable():
        return
    if not os.environ.get("CI"):
        pytest.skip(f"NOT RUN, install the package first: apt-get install {package}")
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        pytest.fail(f"CI has no {package}, and it can be installed here only by root on Debian", pytrace=False)
    with _one_at_a_time():
        if not usable():
            _apt_get("update")
            _apt_get("install", "--yes", "--no-install-recommends", package)
    if not usable():
        pytest.fail(f"{package} is installed, but does not work", pytrace=False)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait for other processes of the test run: apt does not wait for the lock of its lists."""
    with (Path(tempfile.gettempdir()) / "pause-notifications-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require(usable: Callable[[], bool], what: str) -> None:
    """Return if a tool chain is usable; otherwise fail in CI, which must bring it, or skip and say what is missing."""
    if usable():
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI has no {what}", pytrace=False)
    pytest.skip(f"NOT RUN, there is no {what}")


def runs(*command: str) -> bool:
    """Return whether a command is there and succeeds."""
    return (
        present(command[0])
        and subprocess.run(command, capture_output=True, timeout=_ASK_SECONDS, check=False).returncode == 0
    )


def _apt_get(*arguments: str) -> None:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=60", *arguments]
    try:
        subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_APT_SECONDS, check=True)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(command)} did not end within {_APT_SECONDS:g} s", pytrace=False)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{' '.join(command)} failed: {error.stderr[-2000:]}", pytrace=False)
