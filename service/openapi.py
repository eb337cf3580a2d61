"""Describe the REST contract for tools: the operations of openapi.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.dispatch import Status
from schemas.events import CERTIFICATIONS_TOPIC, EVENTS, PAUSES_TOPIC, EventType, Role
from schemas.positions import POSITION_FORM
from service import problems
from service.answer_schemas import answer_name, components, reference
from service.answers import entry
from service.idempotency_key import KEY_PATTERN
from service.prefer_header import MAX_WAIT_SECONDS
from service.problems import PROBLEM_JSON, ProblemType

DESCRIPTION = (
    "Notifies mentors and their coordinators of pauses and certifications, once, by e-mail. "
    "Each path below /api/v1 also answers with the doubled prefix "
    "/api/v1/pause-notifications/api/v1/pause-notifications, and with a trailing slash. A head of over 32 KiB is "
    "answered with 431, and what is not HTTP with 400, both as plain text.\n\n"
    "Send an `Idempotency-Key`. A call repeated with the same key, endpoint, mentor and content is the same event for "
    "as long as events are remembered (a week, unless the operators set another time); nobody is notified twice.\n\n"
    "A call without a key counts as a retry only if it follows a call, also without a key, of the same caller to the "
    "same endpoint, about the same mentor and with the same content, and if that call had not ended yet or had ended "
    "less than 60 seconds before (the operators may set another time, or none). A retry is answered from the first "
    "dispatch, marked `Idempotent-Replayed: true`, and no second e-mail is sent. "
    "The call is not a retry, and everybody is notified again, if in between another event of the same kind was about "
    "that mentor, from any caller or microservice, or if the earlier call ended in a 404 or a 502. `pause-activated` "
    "and `pause-lifted` are one kind, `cert-expiry` and `cert-expiry-reminder` the other. "
    "If no API keys are required, all callers count as one.\n\n"
    "A 202 lists the recipients that are known so far. Until it is the event's turn, that is the mentor alone, "
    "`pending`, even if the coordinator will be notified, too. Ask at its `Location` for the rest.\n\n"
    "A recipient is `suppressed` if no e-mail is sent to the contact's address. It counts as done: the call is not "
    "refused for it, and nothing is tried again. If it is the mentor, the coordinator's copy says so. The "
    "`reason` is `bounced` (an earlier e-mail to the address came back for good), `complained` (its owner reported one "
    "as unwanted), `unreachable` (several in a row came back) or `manual` (an operator put it on the list). A new "
    "address of the contact is free at once; the operators free the old one. With the `reason` `cancelled` the "
    "operators ended the event itself: nobody who was not sent to by then gets its e-mail. With `not_allowed_here` "
    "this environment, such as a staging one, sends to some addresses alone.\n\n"
    "A waiting call takes a place for as long as its caller stays. A caller who hangs up frees it; the event stays "
    "published. One caller may take a share of all places (half of them, unless the operators set another share), and "
    "gets 429 `too-many-of-one-caller` beyond it. A caller is the name of an API key; if no keys are required, it is "
    "the client's address, which behind a proxy is the proxy's.\n\n"
    "If the operators require API keys, send one with each call, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. "
    "A caller then reads only its own dispatches. Another caller's, and those of events that another service "
    "published, are answered like one that does not exist; an operator's key reads all. If the service has no "
    "signing keys, only the facade that took a call tells its caller the state of the dispatch, while it remembers it. "
    "After many calls without a known key, an address gets 429 `too-many-wrong-keys`; calls with a valid key are still "
    "answered. "
    "The same `Idempotency-Key` of two callers makes two events, and neither caller learns of the other's.\n\n"
    "Send `Content-Type: application/json`. A body without a content type is read as JSON, too, with one exception: "
    "if no API keys are required, a call from a web page (with `Origin`, or with a `Sec-Fetch-Site` other than `none` "
    "and `same-origin`) must have the type, and gets 415 without it. Otherwise any page could send the call.\n\n"
    "The probes (`/livez`, `/readyz`) and `/metrics` are for operators, on a port of their own. `deploy/README.md` "
    "says what each field of `/readyz` means, such as `limit`: what limits how many e-mails a replica sends."
)

_POST_PROBLEMS = (
    problems.NOT_JSON,
    problems.INVALID_PATH,
    problems.INVALID_KEY,
    problems.UNKNOWN_API_KEY,
    problems.TOO_MANY_WRONG_KEYS,
    problems.UNKNOWN_MENTOR,
    problems.TOO_SLOW,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_CONTENT_TYPE,
    problems.INVALID_REQUEST,
    problems.KEY_REUSED,
    problems.UNDELIVERABLE,
    problems.TOO_MANY_OF_ONE_CALLER,
    problems.INTERNAL_ERROR,
    problems.NOT_DELIVERED,
    problems.NOT_PUBLISHED,
    problems.PUBLISH_UNKNOWN,
    problems.TOO_MANY_CALLERS,
    problems.STOPPING,
)
_GET_PROBLEMS = (
    problems.INVALID_PATH,
    problems.UNKNOWN_API_KEY,
    problems.TOO_MANY_WRONG_KEYS,
    problems.NO_SUCH_DISPATCH,
    problems.NOT_LATELY_SEEN,
    problems.INTERNAL_ERROR,
    problems.TRY_AGAIN,
)
_HEADERS: Mapping[str, str] = {
    "Dispatch-Id": "The id of the dispatch: everything that the event leads to.",
    "Request-Id": "The id of this request in the logs.",
    "Idempotent-Replayed": "`true` if the answer is that of an earlier call.",
    "Preference-Applied": "The `wait` that was applied.",
    "Location": "The address to ask for the outcome.",
    "Retry-After": "Seconds after which to ask or try again.",
    "Idempotency-Key": "The key for repeating the call.",
}


Operation = dict[str, Any]
"""The arguments of FastAPI for one documented path."""


def post_operation(kind: EventType) -> Operation:
    """Describe the endpoint of an event."""
    answer = _answer_example(kind)
    pending = {**answer, "notifications_dispatched": [entry("mentor-042", Status.PENDING, None)]}
    return {
        "operation_id": kind.name,
        "tags": [_TAGS[kind.topic]],
        "summary": kind.summary,
        "description": f"Notifies {' and '.join(role.value for role in kind.roles)}, and waits for the outcome.",
        "status_code": 200,
        "responses": {
            200: _json_response("Every recipient has a final status, and not all failed.", kind, answer, _SEEN),
            202: _json_response(_accepted(kind), kind, pending, _ACCEPTED),
            **_problem_responses(_POST_PROBLEMS),
        },
        "openapi_extra": {
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _POST_PARAMETERS],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": reference(kind.model.__name__), "example": kind.example}},
            },
        },
    }


def _accepted(kind: EventType) -> str:
    lacking = ", and the coordinator may be missing from the list" if Role.COORDINATOR in kind.roles else ""
    return f"Accepted; the outcome is not known yet{lacking}."


def complete(document: dict[str, Any], base_path: str) -> None:
    """
    Add the components, to which the operations refer, and restore the examples of answers.

    FastAPI drops every null, so `message_id` would be missing in an example.
    """
    document["tags"] = [{"name": name, "description": text} for name, text in _TAG_TEXTS.items()]
    document["components"] = {
        "schemas": components(),
        "parameters": dict(_POST_PARAMETERS),
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
    }
    for kind in EVENTS:
        documented = document["paths"][f"{base_path}/{kind.name}"]["post"]["responses"]
        for status, response in post_operation(kind)["responses"].items():
            for media_type, media in response["content"].items():
                documented[str(status)]["content"][media_type].update(media)


def get_operation() -> Operation:
    """Describe the endpoint that returns the state of a dispatch."""
    return {
        "operation_id": "dispatch",
        "tags": ["Dispatches"],
        "summary": "The state of a dispatch",
        "description": "200 for every accepted event, whatever the outcome. Use the Location of the 202 unchanged. "
        "`feedback` is what became of an e-mail after SES took it. It changes for days, and only here: no other answer "
        "has it.",
        "status_code": 200,
        "responses": {
            200: _json_response("The state of the dispatch.", None, None, ("Dispatch-Id", "Retry-After")),
            **_problem_responses(_GET_PROBLEMS),
        },
        "openapi_extra": {
            "parameters": [
                _parameter("dispatch_id", "path", "The Dispatch-Id.", _DISPATCH_ID, required=True),
                _parameter("at", "query", "The position of the event: topic-partition-offset.", _POSITION),
            ]
        },
    }


_DISPATCH_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_POSITION = {"type": "string", "pattern": f"^{POSITION_FORM}$"}
_LINKS = {
    "dispatch": {
        "operationId": "dispatch",
        "parameters": {"dispatch_id": "$response.header.Dispatch-Id"},
        "description": "The state of the dispatch. The `Location` of a 202 also has `at`, the position of the event, "
        "so that any facade can answer. Follow it unchanged if there is one.",
    }
}
"""Where a caller asks after its call. An expression can name a header, but no part of its value."""
_SEEN = ("Dispatch-Id", "Idempotent-Replayed", "Preference-Applied", "Request-Id")
_ACCEPTED = (*_SEEN, "Location", "Retry-After")


def _parameter(
    name: str, where: str, text: str, schema: Mapping[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": where, "description": text, "required": required, "schema": dict(schema)}


_POST_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": _parameter(
        "Idempotency-Key",
        "header",
        "1 to 255 printable ASCII characters, bare or in double quotes: a repeated call is the same event. "
        "Without it, only a call repeated at once counts as a retry: see the description.",
        {"type": "string", "pattern": KEY_PATTERN},
    ),
    "Prefer": _parameter(
        "Prefer",
        "header",
        f"`wait=N`: wait up to N whole seconds for the outcome, at most {MAX_WAIT_SECONDS}. A value that is not a "
        "whole number, such as `wait=abc`, is ignored, as RFC 7240 requires, and so is any other preference. For an "
        "answer at once, send `wait=0` and not `respond-async`. If no `wait` applies, the service's own time does, and "
        "the answer has no `Preference-Applied`.",
        {"type": "string", "examples": ["wait=10"]},
    ),
    "traceparent": _parameter("traceparent", "header", "W3C trace context.", {"type": "string"}),
}

_TAG_TEXTS: Mapping[str, str] = {
    "Pauses": "A mentor pauses, or is back.",
    "Certifications": "A mentor's certification has expired, or will.",
    "Dispatches": "What an event led to.",
}
_TAGS: Mapping[str, str] = {PAUSES_TOPIC: "Pauses", CERTIFICATIONS_TOPIC: "Certifications"}


def _answer_example(kind: EventType) -> dict[str, Any]:
    sent = {Role.MENTOR: ("mentor-042", "msg-00940"), Role.COORDINATOR: ("coordinator-007", "msg-00941")}
    about: dict[str, Any] = {
        name: kind.example[name] for name in ("mentor_id", "days_remaining") if name in kind.example
    }
    return {
        **about,
        "notifications_dispatched": [entry(sent[role][0], Status.SENT, sent[role][1]) for role in kind.roles],
        "dispatched_at": "2026-03-26T08:30:00Z",
    }


def _json_response(
    text: str, kind: EventType | None, example: Mapping[str, Any] | None, headers: Sequence[str]
) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": reference(answer_name(kind))}
    if example is not None:
        media["example"] = example
    response = {"description": text, "headers": _headers(headers), "content": {"application/json": media}}
    return response if kind is None else {**response, "links": _LINKS}


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem_responses(kinds: Sequence[ProblemType]) -> dict[int | str, dict[str, Any]]:
    """Describe problems by status; several of one status are examples of one response."""
    by_status: dict[int, list[ProblemType]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _problem_response(same) for status, same in sorted(by_status.items())}


def _problem_response(kinds: Sequence[ProblemType]) -> dict[str, Any]:
    names = ["Request-Id"]
    if any(kind.status in _RETRY_AFTER_STATUSES for kind in kinds):
        names += ["Retry-After"]
    if problems.PUBLISH_UNKNOWN in kinds:
        names += ["Idempotency-Key", "Dispatch-Id"]
    examples = {kind.slug: {"summary": kind.title, "value": _problem_example(kind)} for kind in kinds}
    return {
        "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in kinds),
        "headers": _headers(names),
        "content": {PROBLEM_JSON: {"schema": reference("Problem"), "examples": examples}},
    }


_RETRY_AFTER_STATUSES = {problems.NOT_PUBLISHED.status, problems.TOO_MANY_OF_ONE_CALLER.status}


def _problem_example(kind: ProblemType) -> dict[str, Any]:
    problem = problems.Problem(kind, kind.text)
    return problems.problem_body(problem, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
