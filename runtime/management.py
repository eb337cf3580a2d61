"""The management port: probes and metrics, apart from what callers reach."""

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
    """What a probe answers: whether all is well, and details for people."""

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
    Serve `/livez` (and `/healthz`), `/readyz` and `/metrics` as long as the context lasts; yield the port.

    Raises:
        StartRefused: where the port cannot be had.
    """
    app = management_app(live=live, ready=ready, registry=registry)
    async with serve(app, "management", host=host, port=port, drain_seconds=_DRAIN_SECONDS, refusals=refusals) as bound:
        yield bound


def management_app(
    *, live: Callable[[], Health], ready: Callable[[], Health], registry: CollectorRegistry
) -> Starlette:
    """Make the app that answers probes by asking *live* and *ready*, and scrapes from *registry*."""

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


def _probe(ask: Callable[[], Health]) -> Callable[[Request], Any]:
    async def answer(_request: Request) -> Response:
        health = ask()
        return JSONResponse({"ok": health.ok, **health.detail}, status_code=200 if health.ok else 503)

    return answer
