"""Texts of unknown producers are printed without control characters, and otherwise unchanged."""

from __future__ import annotations

import ast
import io
import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deploy.command
from deploy.command.dead_letters.selection import stated_source
from deploy.support.output import print_error, print_json, print_line, print_table, print_text, readable
from runtime.terminal import escaped

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\x00\x7f\u202egnp.exe\u2066\u2028\ud800"
"""A window title, a cleared screen, a C1 colour code, a reversed name, a line break, half a surrogate pair."""


def control_characters(text: str) -> set[str]:
    """Return the characters that control a terminal, except line breaks."""
    turning = {*"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
    return {one for one in text if one != "\n" and (unicodedata.category(one) in {"Cc", "Cs", "Zl"} or one in turning)}


@pytest.mark.parametrize(
    "printing", [print_text, print_line, print_error, lambda text: print_table(("column",), [(text,)]), print_json]
)
def test_nothing_that_is_printed_steers_a_terminal(printing: object, capsys: pytest.CaptureFixture[str]) -> None:
    """However a text is printed, none of its control characters reaches the terminal."""
    assert callable(printing)
    printing(HOSTILE)
    out, err = capsys.readouterr()

    assert set() == control_characters((out + err).replace("\t", ""))
    assert "gnp.exe" in out + err


def test_a_text_cannot_add_lines() -> None:
    """A value stays within its line, so that it cannot imitate a line of ours."""
    assert "a\\x0d\\x0asignature    proven" == escaped("a\r\nsignature    proven")


_WORDS = st.text("abc世", min_size=1, max_size=30)


@given(
    st.lists(st.tuples(_WORDS, st.lists(_WORDS, max_size=6).map(" ".join)), min_size=1, max_size=4),
    st.integers(20, 120),
)
def test_no_word_is_broken_on_a_terminal(rows: list[tuple[str, str]], width: int) -> None:
    """However narrow the terminal is, each id and each word of a table is printed in one piece."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setattr("sys.stdout", out)
        patch.setattr(out, "isatty", lambda: True)
        print_table(("id", "text"), rows)

    printed = Counter(out.getvalue().split())
    assert Counter() == Counter(word for row in rows for cell in row for word in cell.split()) - printed


def test_a_narrow_terminal_gets_a_line_per_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ids of a row do not fit beside each other, each gets a line with its column's name."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    ids = "pause-notifications.dead-letters.v1-3-1042", "4c6a" * 8, "mentor-042"

    print_table(("dead letter", "dispatch", "mentor"), [ids, ids])

    one = f"dead letter  {ids[0]}\ndispatch     {ids[1]}\nmentor       {ids[2]}\n"
    assert f"{one}\n{one}" == capsys.readouterr().out


@pytest.mark.parametrize("text", ["Zoë", "محمد", "שרה", "👩\u200d👩\u200d👧", "a\\b", "日本語"])
def test_names_stay_as_they_are(text: str) -> None:
    """Letters of all scripts and combined emoji are printed unchanged."""
    assert text == escaped(text)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_json_reads_back_unchanged(text: str) -> None:
    """A line of JSON is safe for a terminal, and parses to the same value."""
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.echo", printed.append)
        print_json({"key": text})

    (only,) = printed
    assert (set(), {"key": text}) == (control_characters(only), json.loads(only))


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "(null)"), (b"", ""), ("Zoë".encode(), "Zoë"), (b"\x00\x00\x00\x00\x2a\xff", "hex 000000002aff")],
)
def test_bytes_are_shown_as_text_or_hexadecimal(content: bytes | None, says: str) -> None:
    """Bytes that are not UTF-8 are shown as hexadecimal digits."""
    assert says == readable(content)


def test_everything_is_printed_in_one_place() -> None:
    """No other module of the command prints directly."""
    folder = Path(deploy.command.__file__).parent
    printing = {
        f"{path.name}:{node.lineno}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "typer.echo", "click.echo"}
        if path.name not in {"output.py", "app.py"}  # app.py prints the version, and starts without output's imports
    }

    assert set() == printing


@pytest.mark.parametrize(
    ("headers", "value", "source"),
    [
        ([("ce_source", b"/academy")], b"{}", "/academy"),
        ([("CE_Source", b"/academy")], b"{}", "/academy"),
        ([("ce-source", b"/academy")], b"{}", "/academy"),
        ([], b'{"specversion":"1.0","source":"/academy","data":{"source":"/other"}}', "/academy"),
        ([], b'{"data":{"source":"/other"},"source":"/academy"}', "/academy"),
        ([("content-type", b"application/cloudevents+json")], b'{"source": "/academy", "data": {"cut', "/academy"),
        ([], b'{"source":7}', None),
        ([], b"[]", None),
        ([], b"\xff\x00", None),
        ([], None, None),
    ],
)
def test_the_source_of_an_invalid_record_is_found(
    headers: list[tuple[str, bytes | None]], value: bytes | None, source: str | None
) -> None:
    """Even a structured record that cannot be parsed is found by the source that it states."""
    assert source == stated_source(headers, value)
