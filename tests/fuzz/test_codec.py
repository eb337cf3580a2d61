"""The kept corpus of the codec, and a short run of `python -m tests.fuzz codec`."""

from __future__ import annotations

import pytest

from schemas.cloudevents import NotAnEventReason
from schemas.events import EVENTS
from tests.fuzz import codec
from tests.fuzz.codec import Found, Wire, corpus, fuzz, judge

SEED, SECONDS = 20_261_129, 2.0


def test_the_corpus_is_judged_as_when_it_was_kept() -> None:
    """Each record of the corpus has the outcome with which it was kept."""
    kept = corpus()

    assert [outcome for _, outcome in kept] == [judge(wire).outcome for wire, _ in kept]


def test_the_corpus_has_every_outcome() -> None:
    """There is a record for each type and each reason but one: what is too large is too large to keep."""
    outcomes = {outcome for _, outcome in corpus()}

    assert {*NotAnEventReason, *(kind.type for kind in EVENTS)} - {NotAnEventReason.TOO_LARGE} == outcomes


def test_changed_records_are_events_or_have_a_reason() -> None:
    """Whatever is changed in a record, no rule of the codec is broken."""
    assert "records" in fuzz(SEED, SECONDS)


def test_a_detail_that_repeats_the_record_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the codec put a text of the record into the detail, the fuzzer would say so."""
    monkeypatch.setattr(codec, "_NAME", "missing or empty")

    with pytest.raises(Found, match="repeats"):
        judge(Wire((), b"{}"))
