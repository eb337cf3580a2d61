"""Find free ports of this machine, and the process that uses a taken one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import ExitStack
from functools import cache
from itertools import cycle, islice
from pathlib import Path

from deploy.local.kafka.errors import PortTaken

HOST = "127.0.0.1"

# Below the range of outgoing connections (32768 on Linux, 49152 elsewhere). A client that retries a closed port of that
# range can be given this same port as its own, connect to itself, and so keep a broker from starting again.
_CANDIDATES = range(20_000, 32_000)
_PROMISED = range(18_000, 20_000)  # likewise, for ports that a program listens on only later
# Each process uses its own random order, and gives no port twice before it gave all: a program may take a moment to
# listen. SystemRandom is not affected by a test that seeds `random`.
_RANDOM = random.SystemRandom()
_ORDERS = {ports: cycle(_RANDOM.sample(ports, len(ports))) for ports in (_CANDIDATES, _PROMISED)}
_LISTENING = "0A"  # the state's number in /proc/net/tcp


def check_free(port: int) -> None:
    """Raise `PortTaken` if *port* cannot be listened on; the message has the process, if it is found."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            process = process_on(port)
            by = f" by {process}" if process else ""
            raise PortTaken(f"port {port} is taken{by}: stop it, or choose another port ({error.strerror})") from error


def free_ports(count: int, *, promised: bool = False) -> list[int]:
    """Return *count* different ports that nothing listens on; *promised* ports are never given for immediate use.

    A port belongs to this process until it ends: no other process of this user is given the same one, although the
    program that is to listen on it may need a moment, or may stop and start again.
    """
    candidates = _PROMISED if promised else _CANDIDATES
    ports: list[int] = []
    with ExitStack() as held:
        for port in islice(_ORDERS[candidates], len(candidates)):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
                fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except OSError:
                continue
            ports.append(port)
    return ports


@cache
def _claims() -> int:
    """Return the file whose byte N a process locks to own port N; the lock ends with the process."""
    path = Path(tempfile.gettempdir()) / f"pause-notifications-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def process_on(port: int) -> str | None:
    """Return the process that listens on *port*, if /proc shows it (Linux, own processes)."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if str(link.readlink()) in sockets:
                process = link.parents[1]
                name = (process / "comm").read_text().strip()
                return f"process {process.name} ({name})"
        except OSError:
            continue  # it has ended, or is not ours to read
    return None


def _listening_inodes(port: int) -> list[str]:
    tables = [table for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if table.exists()]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == _LISTENING]
