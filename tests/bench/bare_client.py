"""Measure SES alone: a client that only writes a signed request, reads the answer, and repeats.

It shows whether SES, one Python process here, was the limit. ``python -m tests.bench.bare_client``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from consumers.contacts import Contacts
from schemas.contacts import contact_json
from tests.bench.cluster import BenchFailed, Environment
from tests.chaos.peers.mail_builder import Mailing
from tests.load import Load
from tests.processes import ROOT

_PATH = "/v2/email/outbound-emails"
CONNECTIONS = 512


async def bare_rate(env: Environment, seconds: float) -> float:
    """Return how many sends per second SES answers to a client in its own process."""
    await env.ses_as_at_start()
    arguments = ["-m", "tests.bench.bare_client", env.ses_address, str(seconds)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(30 + seconds):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchFailed(f"the bare client ended with exit code {process.returncode}")
    return float(json.loads(told)["sends_per_second"])


async def alone_ms(env: Environment, seconds: float) -> float:
    """Return the milliseconds of a call to SES, one after another on one connection."""
    await env.ses_as_at_start()
    request, began = signed_request(env.ses_address), time.monotonic()
    sends = await _send(env.ses_address, request, began + seconds)
    return (time.monotonic() - began) / sends * 1000


def signed_request(address: str) -> bytes:
    """Return one whole HTTP request, as large as a notice makes it."""
    load = Load(1, mentors=1, coordinators=1)
    contacts = Contacts()
    for contact in load.contacts():
        contacts.take(contact.id.encode(), contact_json(contact))
    mail = Mailing(contacts, "no-reply@example.org").requests_of(load.event(0), partition=0, timestamp_ms=0)[0]
    body = json.dumps(mail).encode()
    request = AWSRequest("POST", f"{address}{_PATH}", {"Content-Type": "application/json"}, body)
    SigV4Auth(Credentials("local", "local"), "ses", "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = [f"POST {_PATH} HTTP/1.1", f"Host: {urlsplit(address).netloc}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _send(address: str, request: bytes, until: float) -> int:
    """Send on one connection until the time is over, and return the count."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    sends = 0
    try:
        while time.monotonic() < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            if not head.startswith(b"HTTP/1.1 200"):
                raise BenchFailed(f"SES answers {head[:40]!r}")
            sends += 1
    finally:
        writer.close()
    return sends


async def _sends_per_second(address: str, seconds: float) -> float:
    request = signed_request(address)
    began = time.monotonic()
    sends = await asyncio.gather(*(_send(address, request, began + seconds) for _ in range(CONNECTIONS)))
    return sum(sends) / (time.monotonic() - began)


def main() -> None:
    """Measure, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("seconds", type=float)
    wanted = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(_sends_per_second(wanted.address, wanted.seconds))
    print(json.dumps({"sends_per_second": rate}))  # noqa: T201 - what the bench reads


if __name__ == "__main__":
    main()
