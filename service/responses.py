"""Turn answers and problems into HTTP responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from service.answers import Answer
from service.problems import PROBLEM_JSON, Problem, problem_body
from service.trace import Trace


def answer_response(
    answer: Answer | Problem, trace: Trace, *, prefix: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response of an answer or a problem; our own addresses begin with *prefix*."""
    if isinstance(answer, Problem):
        return problem_response(answer, trace, prefix=prefix, headers=headers)
    all_headers = {**answer.headers, **(headers or {})}
    if "Location" in all_headers:
        all_headers["Location"] = prefix + all_headers["Location"]
    return _json(answer.status, answer.body, all_headers, "application/json")


def problem_response(
    problem: Problem, trace: Trace, *, prefix: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response of a problem, as RFC 9457 defines it."""
    body = problem_body(problem, trace_id=trace.trace_id, prefix=prefix)
    return _json(problem.kind.status, body, {**problem.headers, **(headers or {})}, PROBLEM_JSON)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str], media_type: str) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type)
