"""Who may read a dispatch."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import Dispatch, Origin, Request
from service.callers import Caller
from service.ownership import may_read, owner_by_dispatch, owner_by_event

NAMES = st.sampled_from([None, "", "billing", "crm", "anonymous"])


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (("billing",), True),
        (("billing", "billing"), True),
        (("crm",), False),
        (("billing", "crm"), False),
        (("crm", "billing"), False),
        (("billing", None), False),
        ((None,), False),
        ((None, None), False),
        ((), False),
    ],
)
def test_own_alone(owners: tuple[str | None, ...], *, expected: bool) -> None:
    """A caller reads a dispatch if every source says that it is its own, and nothing else."""
    assert expected is may_read(Caller("billing", share="billing"), *owners)


@given(st.lists(NAMES, max_size=3))
def test_operators_read_all(owners: list[str | None]) -> None:
    """An operator reads everything, whoever the owner is."""
    assert may_read(Caller("duty", share="duty", reads_all=True), *owners)


@given(st.lists(NAMES, max_size=3), st.text(max_size=3))
def test_nobody_reads_what_has_no_owner(owners: list[str | None], name: str) -> None:
    """If any source does not name a caller, that caller does not read the dispatch."""
    assert may_read(Caller(name, share=name), *owners) is (bool(owners) and set(owners) == {name})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("pn_caller", b"billing")], "billing"),
        ([("ce_id", b"1")], None),
        ([("pn_caller", b"\xff")], None),
        ([("pn_caller", None)], None),
    ],
)
def test_owner_by_event(headers: list[tuple[str, bytes | None]], expected: str | None) -> None:
    """An event's record names its caller in a header; without a readable header it names nobody."""
    assert expected == owner_by_event(headers)


@pytest.mark.parametrize(("request_", "expected"), [(Request(id="r", caller="billing"), "billing"), (None, None)])
def test_owner_by_dispatch(request_: Request | None, expected: str | None) -> None:
    """A dispatch names the caller of its first event; that of another service names nobody."""
    origin = Origin(topic="mentor.pauses.v1", partition=0, offset=0, appended_at=datetime(2026, 3, 26, tzinfo=UTC))
    dispatch = Dispatch(
        dispatch_id="0" * 32, event_type="t", mentor_id="m", digest="d", origin=origin, request=request_
    )

    assert expected == owner_by_dispatch(dispatch)
