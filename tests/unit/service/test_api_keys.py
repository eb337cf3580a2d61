"""API keys and the text of their file."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api_keys import (
    MAX_FILE_BYTES,
    ApiKey,
    InvalidKeysFile,
    decode_keys,
    digest_of,
    new_key,
    parse_keys,
    valid_name,
    without,
)
from tests.api_keys import api_key, key_of, keys_text

PLAIN = "0123456789abcdef"
KEYS = st.builds(
    ApiKey,
    name=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64).filter(valid_name),
    digest=st.binary(min_size=32, max_size=32),
    operator=st.booleans(),
)


def test_a_new_key_is_long_and_random() -> None:
    """A key has 32 random bytes, and no two keys are equal."""
    key = new_key(lambda count: bytes(range(count)))

    assert bytes(range(32)) == urlsafe_b64decode(key.removeprefix("pn_") + "=")
    assert re.fullmatch(r"pn_[A-Za-z0-9_-]{43}", key)
    assert 100 == len({new_key() for _ in range(100)})


def test_the_digest_is_that_of_the_key() -> None:
    """The digest of a key is its plain SHA-256, which anybody can compute for a file of their own."""
    assert hashlib.sha256(key_of("billing").encode()).digest() == digest_of(key_of("billing"))


@pytest.mark.parametrize("text", ["", PLAIN, "pn_", "pn_" + "a" * 42, "pn_" + "a" * 44, "pn_" + "ä" * 43, "\udcff"])
def test_a_text_that_is_not_a_key_has_no_digest(text: str) -> None:
    """A text without the form of a key has no digest, so a key that a person chose is never let in."""
    assert digest_of(text) is None


@given(st.lists(KEYS, min_size=1, max_size=5, unique_by=lambda key: key.digest))
def test_the_file_is_read_as_it_is_written(keys: list[ApiKey]) -> None:
    """The lines of keys, with comments and empty lines between them, are read as the same keys."""
    text = "# ours\r\n\n".join(f"{key.line}\n" for key in keys)

    assert tuple(keys) == parse_keys(text)


@given(st.lists(KEYS, min_size=2, max_size=5, unique_by=lambda key: key.digest), st.data())
def test_only_the_lines_of_removed_keys_are_removed(keys: list[ApiKey], data: st.DataObject) -> None:
    """Removing keys leaves the other keys and the comments as they are."""
    gone = data.draw(st.sets(st.sampled_from(keys), min_size=1, max_size=len(keys) - 1))
    text = "# ours\n" + "".join(f"{key.line}\n" for key in keys)

    left = without(text, list(gone))

    assert "# ours\n" + "".join(f"{key.line}\n" for key in keys if key not in gone) == left


def test_a_caller_may_have_several_keys() -> None:
    """Two keys with one name belong to one caller, so a new key can be in use before the old one is removed."""
    text = f"billing sha256:{'a' * 64}\nbilling sha256:{'b' * 64} operator\n"

    assert [("billing", False), ("billing", True)] == [(key.name, key.operator) for key in parse_keys(text)]


@pytest.mark.parametrize(
    "text",
    [
        f"billing:{PLAIN}",
        f"# keys\nbilling:{PLAIN}\n",
        f'{{"billing":"{PLAIN}"}}',
        f'{{\n  "billing": "{PLAIN}"\n}}',
        f"billing {PLAIN}",
        f"billing sha256:{PLAIN}",
        f"billing sha256:{'A' * 64}",
        f"billing sha256:{'a' * 64} admin",
        f"sha256:{'a' * 64}",
        f"billing sha256:{'a' * 64}\0",
    ],
)
def test_wrong_lines_say_how_keys_are_made(text: str) -> None:
    """A wrong line, such as a key itself, is refused with advice and without its content."""
    with pytest.raises(InvalidKeysFile, match=r"line \d: must be NAME sha256:DIGEST") as caught:
        parse_keys(text)

    assert "pause-notifications api-keys add" in str(caught.value)
    assert PLAIN not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no key"),
        ("# nobody\n\n", "no key"),
        (f"anonymous sha256:{'a' * 64}", "line 1: a name must be"),
        (f"{'n' * 65} sha256:{'a' * 64}", "line 1: a name must be"),
        (f"näme sha256:{'a' * 64}", "line 1: a name must be"),
        (f"a sha256:{'a' * 64}\nb sha256:{'a' * 64}", "line 2: this key is listed twice"),
    ],
)
def test_unusable_keys(text: str, says: str) -> None:
    """A file that lets nobody in, or that lists a key twice, is refused."""
    with pytest.raises(InvalidKeysFile, match=says):
        parse_keys(text)


@pytest.mark.parametrize(("content", "says"), [(b"\xff", "UTF-8"), (b"#" * (MAX_FILE_BYTES + 1), "larger")])
def test_unusable_content(content: bytes, says: str) -> None:
    """A content that is not text, or too large, is refused before it is parsed."""
    with pytest.raises(InvalidKeysFile, match=says):
        decode_keys(content)


def test_the_line_does_not_have_the_key() -> None:
    """The content of the file is not enough to make a call."""
    assert key_of("billing") not in keys_text("billing")
    assert digest_of(api_key("billing").digest.hex()) is None
