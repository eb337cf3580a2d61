"""Ports of this machine: free ones, and who holds one that is not."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

from deploy.local.kafka.errors import PortTaken

HOST = "127.0.0.1"

# Below the range that outgoing connections draw from (32768 on Linux, 49152 elsewhere): a client that retries a dead
# port of that range can be given the very port as its own, connect to itself, and keep the broker from coming back.
_CANDIDATES = range(20_000, 32_000)
_PROMISED = range(18_000, 20_000)  # likewise, and handed to nobody else: it may be long before these are listened on
# In an order of this process's own: no port is given twice before all were, since it may take a moment until it is
# listened on, and whoever seeds Python's own randomness does not make two processes take the same.
_CHANCE = random.SystemRandom()
_TURNS = {ports: cycle(_CHANCE.sample(ports, len(ports))) for ports in (_CANDIDATES, _PROMISED)}
_LISTENING = "0A"  # the state's number in /proc/net/tcp


def check_free(port: int) -> None:
    """Raise `PortTaken`, naming the process where it is found, unless *port* can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            owner = holder(port)
            by = f" by {owner}" if owner else ""
            raise PortTaken(f"port {port} is taken{by}: stop it, or name another port ({error.strerror})") from error


def free_ports(count: int, *, promised: bool = False) -> list[int]:
    """Return *count* different ports that nothing listens on at the moment, nor is given if they are *promised*."""
    candidates = _PROMISED if promised else _CANDIDATES
    ports: list[int] = []
    with ExitStack() as held:
        for port in islice(_TURNS[candidates], len(candidates)):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    return ports


def holder(port: int) -> str | None:
    """Name the process that listens on *port*, where /proc tells (Linux, own processes)."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if str(link.readlink()) in sockets:
                process = link.parents[1]
                name = (process / "comm").read_text().strip()
                return f"process {process.name} ({name})"
        except OSError:
            continue  # it ended while we looked, or is not ours to look at
    return None


def _listening_inodes(port: int) -> list[str]:
    tables = [table for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if table.exists()]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == _LISTENING]
