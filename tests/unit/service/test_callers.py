"""Who calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.callers import Caller, InvalidKeysFile, read_callers
from service.problems import UNKNOWN_API_KEY, Problem

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"


def _file(folder: Path, text: str) -> Path:
    file = folder / "keys"
    file.write_text(text)
    return file


def test_open_door() -> None:
    """Without a file everybody is let in as anonymous, whatever key they show."""
    assert Caller("anonymous", share="192.0.2.7") == read_callers(None).identify({"x-api-key": "whatever"}, "192.0.2.7")


@pytest.mark.parametrize("text", [f"# ours\n\nbilling:{KEY}\ncrm: {OTHER}\n", f'{{"billing":"{KEY}","crm":"{OTHER}"}}'])
@pytest.mark.parametrize(
    ("headers", "name"),
    [({"authorization": f"Bearer {KEY}"}, "billing"), ({"x-api-key": OTHER}, "crm")],
)
def test_known_key(tmp_path: Path, text: str, headers: dict[str, str], name: str) -> None:
    """A key, in either header and from either form of file, gives its name."""
    assert Caller(name, share=name) == read_callers(_file(tmp_path, text)).identify(headers, "192.0.2.7")


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": KEY[:-1]}, {"authorization": f"Basic {KEY}"}, {"x-api-key": "\xff"}]
)
def test_wrong_key(tmp_path: Path, headers: dict[str, str]) -> None:
    """No key, a wrong one or another scheme is 401 with what is asked for."""
    callers = read_callers(_file(tmp_path, f"billing:{KEY}"))

    with pytest.raises(Problem) as caught:
        callers.identify(headers, "192.0.2.7")

    assert UNKNOWN_API_KEY is caught.value.kind
    assert "WWW-Authenticate" in caught.value.headers


@pytest.mark.parametrize(
    "text",
    ["", "billing", "billing:short", f"a b:{KEY}", f"a:{KEY}\na:{OTHER}", f"a:{KEY}\nb:{KEY}", '{"a":1}', '{"a"'],
)
def test_unusable_file(tmp_path: Path, text: str) -> None:
    """A file that lets nobody in, or the wrong ones, is refused, and no key stands in the message."""
    with pytest.raises(InvalidKeysFile) as caught:
        read_callers(_file(tmp_path, text))

    assert KEY not in str(caught.value)
