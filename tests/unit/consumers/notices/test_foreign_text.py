"""Text that others wrote reads the same, and is no link, no second line and no turn of direction."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.notices.foreign_text import MAX_NAME, id_line, line, name_line

_BREAK = "\u200b"


@pytest.mark.parametrize(
    "text",
    [
        *("see http://evil.example/x", "www.evil.example", "evil.com", "a@evil.example", "evil\u3002com"),
        *("mailto:eve", "tel:112", "\\\\server\\share", "javascript:alert(1)"),
        *("203.0.113.7", "http 10.0.0.1/x", "127.0.0.1:8080"),
        *("+49 30 1234567", "030/1234567", "(030) 123-456", "0301234567", "call 555 01 99", "+1-202-555-0199"),
    ],
)
def test_no_mail_program_makes_a_link(text: str) -> None:
    """An address of the web, of mail or of a host, and a telephone number, read the same and are none."""
    shown = line(text)

    assert text != shown
    assert text == shown.replace(_BREAK, "")


@pytest.mark.parametrize(
    "text",
    [
        *("Amara Diallo", "J. R. Müller", "Dr. O'Neil-Søn", "3.5", "a: b", "Zoë 3", "mentor-042", "10:30", "1 2 3"),
        *("李小龍", "O’Neil", "v1.2", "room 12345"),
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Names, full stops, colons and short numbers are not changed."""
    assert text == line(text)


@pytest.mark.parametrize("mentor_id", ["mentor-042", "20260501", "mentor-20260501", "a1b2"])
def test_an_id_can_be_copied(mentor_id: str) -> None:
    """A number that is an id, or ends one, has no break within it."""
    assert mentor_id == id_line(mentor_id)


@pytest.mark.parametrize("mentor_id", ["+49 30 1234567", "evil.com", "10.0.0.1"])
def test_an_id_is_no_link(mentor_id: str) -> None:
    """Any other id is treated like all text."""
    assert mentor_id != id_line(mentor_id)


@pytest.mark.parametrize("name", ["شريف العامري", "מרים", "Amara مرحبا", "٣", "\u202eAmara שלום"])
def test_a_right_to_left_text_is_isolated(name: str) -> None:
    """Text with letters that are written from right to left stands between isolates, alone."""
    shown = line(name)

    assert ("\u2068", "\u2069") == (shown[0], shown[-1])
    assert 2 == sum(shown.count(isolate) for isolate in "\u2066\u2067\u2068\u2069")
    assert "\u202e" not in shown


@given(st.text(max_size=300))
def test_any_text_is_one_line(text: str) -> None:
    """Whatever comes in, one line comes out, without characters that turn it; a second pass changes nothing more."""
    shown = line(text)

    assert len(shown.splitlines()) <= 1
    assert set(shown).isdisjoint("\u202a\u202b\u202d\u202e\u2066\u2067\ufdd0\x00")
    assert shown.count("\u2068") == shown.count("\u2069") <= 1


def test_a_long_name_is_cut() -> None:
    """A name of more than MAX_NAME characters is cut visibly, another is not."""
    assert "x" * MAX_NAME == name_line("x" * MAX_NAME)
    assert "x" * (MAX_NAME - 1) + "…" == name_line("x" * 500)


@pytest.mark.parametrize("text", ["1 " * 250, "1...." * 100, "a-" * 250, "a." * 250, "1.1." * 125, "((((1" * 100])
def test_no_text_takes_long(text: str) -> None:
    """No text of the greatest length makes the patterns try again and again."""
    began = time.thread_time()
    line(text)

    assert time.thread_time() - began < 0.1
