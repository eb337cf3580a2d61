"""What every peer needs to start: its settings, the current contacts, and a probe."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from consumers.contacts import Contacts
from runtime.environment import read_settings
from runtime.kafka.connection import client_arguments
from runtime.kafka.reader import Reader
from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from tests.chaos.peers.mail_builder import Mailing

IN_FLIGHT = "PEER_IN_FLIGHT"
"""The variable with the number of events in flight; unset, it is each peer's own default."""

GROUP = "peers"


def settings_of(environ: Mapping[str, str]) -> tuple[ReplicaSettings, int | None]:
    """Return a replica's settings, and how many events may be in flight; raise InvalidSettings or ValueError."""
    in_flight = environ.get(IN_FLIGHT)
    return read_settings(ReplicaSettings, environ), int(in_flight) if in_flight else None


async def mailing_for(settings: ReplicaSettings) -> Mailing:
    """Read the contacts once, to their end, and return what builds e-mails; raise KafkaError if that fails."""
    contacts = Contacts()
    async with Reader(client_arguments(settings)) as reader:
        places = await reader.partitions(Topics(settings.namespace).contacts)
        ends = await reader.end_offsets(places)
        reader.follow(dict.fromkeys(places, 0))
        while any((reader.position(place) or 0) < end for place, end in ends.items()):
            for records in (await reader.poll(timeout_ms=100)).records.values():
                for record in records:
                    contacts.take(record.key, record.value)
    return Mailing(contacts, settings.ses_from_address)


@contextmanager
def probe(settings: ReplicaSettings) -> Iterator[threading.Event]:
    """Serve `/readyz` from a thread: 503, and 200 once the given event is set."""
    ready = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ok = ready.is_set()
            self.send_response(HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"ok": true}' if ok else b'{"ok": false}')

        def log_message(self, *_: object) -> None:
            """Do not log probes."""

    with ThreadingHTTPServer((settings.management_host, settings.management_port), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, name="probe", daemon=True)
        serving.start()
        try:
            yield ready
        finally:
            server.shutdown()
