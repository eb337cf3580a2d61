"""The problem types."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from service import problems
from service.problems import PROBLEM_TYPES, PROBLEM_TYPES_BY_SLUG, Problem, ProblemType, problem_body


def test_every_type_is_listed() -> None:
    """Every problem type of the module is listed, and its slug is unique."""
    defined = [value for value in vars(problems).values() if isinstance(value, ProblemType)]

    assert defined == list(PROBLEM_TYPES)
    assert len(defined) == len(PROBLEM_TYPES_BY_SLUG)


@pytest.mark.parametrize("kind", PROBLEM_TYPES, ids=lambda kind: kind.slug)
def test_type_is_complete(kind: ProblemType) -> None:
    """A problem type has a stable slug, an error status, a title and a text."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
    assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
    assert kind.title
    assert kind.text.endswith(".")


def test_body() -> None:
    """The body has the members of RFC 9457 in their order, the trace and further members."""
    problem = Problem(problems.KEY_REUSED, "Used.", dispatch_id="d")

    expected = {
        "type": "/problems/key-reused",
        "title": problems.KEY_REUSED.title,
        "status": 422,
        "detail": "Used.",
        "trace_id": "t",
        "dispatch_id": "d",
    }
    assert list(expected.items()) == list(problem_body(problem, trace_id="t").items())
