"""The management port: probes and metrics, separate from the port for callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.http import serve

_DRAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Health:
    """The answer of a probe: whether all is well, and details for people."""

    ok: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def management_server(
    host: str,
    port: int,
    *,
    live: Callable[[], Health],
    ready: Callable[[], Health],
    registry: CollectorRegistry,
    refusals: Counter,
) -> AsyncIterator[int]:
    """
    Serve `/livez` (and `/healthz`), `/readyz` and `/metrics` while the context lasts; yield the port.

    Raises:
        StartRefused: The port cannot be listened on.
    """
    app = management_app(live=live, ready=ready, registry=registry)
    async with serve(app, "management", host=host, port=port, drain_seconds=_DRAIN_SECONDS, refusals=refusals) as bound:
        yield bound


def management_app(
    *, live: Callable[[], Health], ready: Callable[[], Health], registry: CollectorRegistry
) -> Starlette:
    """Return the app that answers probes by calling *live* and *ready*, and scrapes from *registry*."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/livez", _probe(live)),
            Route("/healthz", _probe(live)),
            Route("/readyz", _probe(ready)),
            Route("/metrics", metrics),
        ]
    )


def _probe(check: Callable[[], Health]) -> Callable[[Request], Any]:
    async def answer(_request: Request) -> Response:
        health = check()
        return JSONResponse({"ok": health.ok, **health.detail}, status_code=200 if health.ok else 503)

    return answer
