"""The paths: a POST for each event, a GET for a dispatch, and a page for each problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.events import EVENTS, FACADE_SOURCE, Event, EventType, unknown_fields
from service import html_pages, openapi
from service.answers import BASE_PATH, Answer
from service.callers import Caller, Callers
from service.client_address import client_of
from service.idempotency_key import event_id, parse_key
from service.lookup import Lookup
from service.prefer_header import Wait, parse_prefer
from service.problems import (
    METHOD_NOT_ALLOWED,
    NO_SUCH_ENDPOINT,
    PROBLEM_TYPES_BY_SLUG,
    PROBLEMS_PATH,
    Problem,
)
from service.publish_and_wait import Call, PublishAndWait
from service.request_body import check_not_from_a_page, check_stated_type, parse_json, read_body, validate
from service.responses import answer_response, problem_response
from service.unknown_fields import UnknownFields

log = structlog.get_logger(__name__)

PREFIXES = (BASE_PATH, BASE_PATH + BASE_PATH)
"""The short path, and the doubled one that the contract has."""

_PAGE_METHODS = ["GET", "HEAD"]
_CACHED = {"Cache-Control": "public, max-age=3600"}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Dependencies:
    """What the handlers of the paths need."""

    calls: PublishAndWait
    lookup: Lookup
    callers: Callers
    unknown_fields: UnknownFields
    new_id: Callable[[], UUID]
    reply_timeout_seconds: float


def add_routes(app: FastAPI, parts: Dependencies) -> None:
    """Add every path, with and without a trailing slash; only the short ones are documented."""
    for kind in EVENTS:
        _add(app, f"/{kind.name}", _post(kind, parts), "POST", openapi.post_operation(kind))
    _add(app, "/dispatches/{dispatch_id}", _get(parts), "GET", openapi.get_operation())
    app.add_api_route("/", _to_docs, methods=_PAGE_METHODS, include_in_schema=False)
    app.add_api_route(PROBLEMS_PATH + "/{slug}", _problem_page, methods=_PAGE_METHODS, include_in_schema=False)
    app.add_api_route("/docs", _docs(app), methods=_PAGE_METHODS, include_in_schema=False)
    app.add_api_route("/docs/events", _events_page, methods=_PAGE_METHODS, include_in_schema=False)
    app.add_api_route("/docs/assets/{name}", _asset, methods=_PAGE_METHODS, include_in_schema=False)
    app.add_api_route("/schemas/{name}", _schema, methods=_PAGE_METHODS, include_in_schema=False)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _add(app: FastAPI, path: str, handler: Handler, method: str, operation: openapi.Operation) -> None:
    for prefix in PREFIXES:
        for slash in ("", "/"):
            where: dict[str, Any] = {"path": prefix + path + slash, "endpoint": handler, "response_model": None}
            methods = _PAGE_METHODS if method == "GET" else [method]
            app.add_api_route(**where, methods=methods, include_in_schema=False)
            if prefix == BASE_PATH and not slash:  # FastAPI would document both methods of one route
                app.add_api_route(**where, methods=[method], **operation)


def _post(kind: EventType, parts: Dependencies) -> Handler:
    async def post(request: Request) -> Response:
        request.state.endpoint = kind.name
        wait = parse_prefer(request.headers.getlist("prefer"), default_seconds=parts.reply_timeout_seconds)
        request.state.asked = "outcome" if wait.seconds else "no_wait"
        parts.calls.check_open()
        call = await _read_call(kind, parts, request, wait)
        answer = await parts.calls.answer(call, request.receive)
        status = answer.kind.status if isinstance(answer, Problem) else answer.status
        log.info("call.answered", endpoint=kind.name, dispatch_id=call.event.dispatch_id, status=status)
        return answer_response(answer, request.state.trace, prefix=_prefix(request), headers=call.wait.headers)

    return post


async def _read_call(kind: EventType, parts: Dependencies, request: Request, wait: Wait) -> Call:
    headers = request.headers
    caller = _caller(parts, request)
    check_stated_type(headers.get("content-type"), headers.get("content-encoding"))
    if not parts.callers.require_keys:
        check_not_from_a_page(headers)
    key = parse_key(headers.getlist("idempotency-key"))
    parsed = parse_json(await read_body(request.stream(), content_length=headers.get("content-length")))
    data = validate(kind.model, parsed)
    unknown = unknown_fields(kind.model, parsed)
    parts.unknown_fields.note(kind.name, unknown)
    chosen = key or str(parts.new_id())
    identity = event_id(kind.name, caller.name, data.mentor_id, chosen)
    return Call(
        event=Event(kind, identity, FACADE_SOURCE, data, unknown_fields=unknown),
        key=chosen,
        keyless=key is None,
        caller=caller,
        wait=wait,
        trace=request.state.trace,
    )


def _caller(parts: Dependencies, request: Request) -> Caller:
    return parts.callers.identify(request.headers, client_of(request.client.host if request.client else None))


def _get(parts: Dependencies) -> Handler:
    async def get(request: Request) -> Response:
        request.state.endpoint = "dispatches"
        reader = _caller(parts, request)
        dispatch_id, at = request.path_params["dispatch_id"], request.query_params.get("at")
        answer: Answer = await parts.lookup.answer(dispatch_id, at, reader)
        return answer_response(answer, request.state.trace, prefix=_prefix(request))

    return get


async def _problem_page(request: Request) -> Response:
    kind = PROBLEM_TYPES_BY_SLUG.get(request.path_params["slug"])
    if kind is None:
        raise _no_such_endpoint(request)
    return HTMLResponse(html_pages.problem_page(kind, _prefix(request)), headers=html_pages.PAGE_HEADERS)


def _docs(app: FastAPI) -> Handler:
    async def docs(request: Request) -> Response:
        return HTMLResponse(html_pages.docs_page(app.openapi(), _prefix(request)), headers=html_pages.VIEWER_HEADERS)

    return docs


async def _events_page(request: Request) -> Response:
    return HTMLResponse(html_pages.events_page(_prefix(request)), headers=html_pages.PAGE_HEADERS)


async def _asset(request: Request) -> Response:
    found = await asyncio.to_thread(html_pages.asset, request.path_params["name"])
    if found is None:
        raise _no_such_endpoint(request)
    content, media_type = found
    return Response(content, media_type=media_type, headers={**html_pages.PAGE_HEADERS, **_CACHED})


async def _schema(request: Request) -> Response:
    found = await asyncio.to_thread(html_pages.schema, request.path_params["name"])
    if found is None:
        raise _no_such_endpoint(request)
    return Response(found, media_type="application/schema+json", headers=html_pages.PAGE_HEADERS)


async def _to_docs(request: Request) -> Response:
    return RedirectResponse(f"{_prefix(request)}/docs")


async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return problem_response(error, request.state.trace, prefix=_prefix(request))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    if error.status_code == METHOD_NOT_ALLOWED.status and allowed:
        detail = f"{request.method} is not allowed here; allowed: {allowed}."
        problem = Problem(METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
    else:
        problem = _no_such_endpoint(request)
    return problem_response(problem, request.state.trace, prefix=_prefix(request))


def _no_such_endpoint(request: Request) -> Problem:
    """Return a problem that names every documented path."""
    prefix = _prefix(request)
    documented = [route for route in request.app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    paths = ", ".join(f"{method} {prefix}{route.path}" for route in documented for method in route.methods or ())
    return Problem(NO_SUCH_ENDPOINT, f"The endpoints are: {paths}. {prefix}/docs describes them.")


def _prefix(request: Request) -> str:
    """Return the prefix of our own addresses: the path that a trusted proxy has removed."""
    prefix: str = request.scope["root_path"]
    return prefix
