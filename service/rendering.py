"""Answers and problems as HTTP responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from service.answers import Answer
from service.problems import PROBLEM_JSON, Problem, problem_body
from service.trace import Trace


def answer_response(answer: Answer | Problem, trace: Trace, *, headers: Mapping[str, str] | None = None) -> Response:
    """Write an answer, or the problem that came instead of it."""
    if isinstance(answer, Problem):
        return problem_response(answer, trace, headers=headers)
    return _json(answer.status, answer.body, {**answer.headers, **(headers or {})}, "application/json")


def problem_response(problem: Problem, trace: Trace, *, headers: Mapping[str, str] | None = None) -> Response:
    """Write a problem as RFC 9457 says."""
    body = problem_body(problem, trace_id=trace.trace_id)
    return _json(problem.kind.status, body, {**problem.headers, **(headers or {})}, PROBLEM_JSON)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str], media_type: str) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type)
