"""A signature is valid for one record only, and keys that could be guessed are refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas import headers as names
from schemas.headers import Headers
from schemas.signatures import NO_KEYS, InvalidSigningKeys, Proof, SigningKeys, parse_signing_keys, without_ours
from tests.signing import KEY, KEYS

OTHER_KEY = bytes(range(101, 133))
TOPIC = "mentor.pauses.v1"
HEADERS: Headers = [("ce_id", b"1"), ("content-type", b"application/json"), (names.CALLER, b"a"), (names.KEYLESS, b"1")]

covered_names = st.sampled_from([names.CALLER, names.REQUEST_ID, names.REPLAY, "ce_id", "CE_Type", "content-type"])
values = st.none() | st.binary(max_size=4)
covered = st.lists(st.tuples(covered_names, values), max_size=4)
Parts = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
records: st.SearchStrategy[Parts] = st.tuples(st.text(max_size=3), values, values, covered)


@given(record=records)
def test_a_signed_record_is_proven(record: Parts) -> None:
    """The signature is the last header, and the other headers are unchanged."""
    topic, key, value, headers = record

    signed = KEYS.signed(topic, key, value, headers)

    assert headers == signed[:-1]
    assert KEYS.check(topic, key, value, signed) is Proof.PROVEN


@given(one=records, other=records)
def test_a_signature_is_invalid_for_any_other_record(one: Parts, other: Parts) -> None:
    """It covers topic, key, value and headers, their order and number, and where each part ends."""
    assume(one != other)
    signature = KEYS.signed(*one)[-1]
    topic, key, value, headers = other

    assert KEYS.check(topic, key, value, [*headers, signature]) is Proof.WRONG


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_changed_bit_is_detected(at: int, bit: int) -> None:
    """The bit may be in topic, key, value, a header's name or value, or the signature."""
    signed = KEYS.signed(TOPIC, b"mentor-042", b'{"a":1}', HEADERS)
    parts = [TOPIC.encode(), b"mentor-042", b'{"a":1}']
    parts += [part for name, text in signed for part in (name.encode(), text or b"")]
    place = at % sum(map(len, parts))
    for number, part in enumerate(parts):
        if place < len(part):
            parts[number] = part[:place] + bytes([part[place] ^ 1 << bit]) + part[place + 1 :]
            break
        place -= len(part)
    topic, key, value, *rest = parts
    assume(all(_is_text(part) for part in (topic, *rest[::2])))
    changed = [(name.decode(), text) for name, text in zip(rest[::2], rest[1::2], strict=True)]
    assume([name.lower() for name, _ in changed[:2]] == ["ce_id", "content-type"] or changed[2:] == signed[2:])

    proof = KEYS.check(topic.decode(), key, value, changed)

    assert proof is not Proof.PROVEN


def _is_text(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", b"c", b"", []), ("a", b"bc", b"", [])),
        (("a", b"b", b"c", []), ("a", b"bc", b"", [])),
        (("a", None, b"", []), ("a", b"", None, [])),
        (("a", b"", b"", [("pn_x", b"y")]), ("a", b"", b"", [("pn_xy", b"")])),
        (("a", b"", b"", [("pn_x", b"")]), ("a", b"", b"", [("pn_x", None)])),
        (("a", b"", b"", [("pn_x", b"1"), ("pn_x", b"2")]), ("a", b"", b"", [("pn_x", b"2"), ("pn_x", b"1")])),
        (("a", b"", b"", [("pn_x", b"1")]), ("a", b"", b"", [("pn_x", b"1"), ("pn_x", b"1")])),
        (("a", b"", b"", [("ce_id", b"1")]), ("a", b"", b"", [("CE_ID", b"1")])),
        (("a", b"", b"\0\0\0\4pn_x\0\0\0\1y", []), ("a", b"", b"", [("pn_x", b"y")])),
    ],
)
def test_similar_records_have_different_signatures(one: Parts, other: Parts) -> None:
    """They differ in where parts end, in nulls, or in the order or number of headers."""
    topic, key, value, headers = other

    assert KEYS.check(topic, key, value, [*headers, KEYS.signed(*one)[-1]]) is Proof.WRONG


def test_headers_of_others_may_be_added_on_the_way() -> None:
    """The signature covers only what the service reads, so a tracing client may add headers."""
    signed = KEYS.signed(TOPIC, b"k", b"v", HEADERS)

    assert KEYS.check(TOPIC, b"k", b"v", [("traceparent", b"00-1-2-01"), *signed, ("b3", b"0")]) is Proof.PROVEN


@pytest.mark.parametrize(
    ("signature", "proof"),
    [
        ([], Proof.MISSING),
        ([None], Proof.UNREADABLE),
        ([b""], Proof.UNREADABLE),
        ([b"v2:00000000:" + b"0" * 64], Proof.UNREADABLE),
        ([b"v1:00000000:" + b"0" * 63], Proof.UNREADABLE),
        ([b"v1:00000000:" + b"0" * 64 + b"\n"], Proof.UNREADABLE),
        ([b"v1:00000000:" + b"0" * 64], Proof.UNKNOWN_KEY),
        ([f"v1:{KEYS.ids[0]}:{'0' * 64}".encode()], Proof.WRONG),
    ],
)
def test_every_failed_proof_has_its_kind(signature: list[bytes | None], proof: Proof) -> None:
    """An operator sees whether the signature is missing, unreadable, of an unknown key or wrong."""
    headers = [*HEADERS, *((names.SIGNATURE, text) for text in signature)]

    assert KEYS.check(TOPIC, b"k", b"v", headers) is proof


def test_two_signatures_prove_nothing() -> None:
    """Readers must not differ about which one counts."""
    signed = KEYS.signed(TOPIC, b"k", b"v", HEADERS)

    assert KEYS.check(TOPIC, b"k", b"v", [*signed, signed[-1]]) is Proof.UNREADABLE


def test_signing_replaces_a_signature() -> None:
    """A record has at most one."""
    old = SigningKeys([OTHER_KEY]).signed(TOPIC, b"k", b"v", HEADERS)

    assert KEYS.signed(TOPIC, b"k", b"v", HEADERS) == KEYS.signed(TOPIC, b"k", b"v", old)


def test_the_first_key_signs_and_all_verify() -> None:
    """During a rotation each program may sign with the old or the new key, if all programs know both."""
    old, both, new = SigningKeys([OTHER_KEY]), SigningKeys([KEY, OTHER_KEY]), KEYS
    by_old, by_both = old.signed(TOPIC, b"k", b"v", HEADERS), both.signed(TOPIC, b"k", b"v", HEADERS)

    assert both.check(TOPIC, b"k", b"v", by_old) is Proof.PROVEN
    assert new.check(TOPIC, b"k", b"v", by_both) is Proof.PROVEN
    assert new.check(TOPIC, b"k", b"v", by_old) is Proof.UNKNOWN_KEY


def test_without_keys_nothing_is_signed_or_proven() -> None:
    """A signature made elsewhere proves nothing either."""
    assert [*HEADERS] == NO_KEYS.signed(TOPIC, b"k", b"v", HEADERS)
    assert NO_KEYS.check(TOPIC, b"k", b"v", KEYS.signed(TOPIC, b"k", b"v", HEADERS)) is Proof.NO_KEYS
    assert not NO_KEYS


def test_our_headers_can_be_removed() -> None:
    """The producer's headers stay."""
    assert HEADERS[:2] == without_ours(KEYS.signed(TOPIC, b"k", b"v", HEADERS))


class TestKeys:
    """A file of keys."""

    def test_keys_are_read_in_base64_and_hexadecimal(self) -> None:
        """Comments and blank lines are skipped; the same bytes are the same key in either form."""
        text = f"# the new one\n\n  {base64.urlsafe_b64encode(KEY).decode()}\n{OTHER_KEY.hex()}\r\n"

        assert SigningKeys([KEY, OTHER_KEY]).ids == parse_signing_keys(text).ids

    @given(key=st.binary(min_size=32, max_size=64))
    def test_every_form_means_the_same_key(self, key: bytes) -> None:
        """The forms are standard or URL-safe base64, padded or not, and hexadecimal."""
        assume(len({*key}) >= 16)
        forms = [key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")]

        assert [SigningKeys([key]).ids] * 3 == [parse_signing_keys(form).ids for form in forms]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("", "no key in it"),
            ("# only a comment", "no key in it"),
            ("correct horse battery staple correct horse", "Line 1 is no signing key"),
            (KEY[:31].hex(), "Line 1 is no signing key"),
            ("a" * 64, "Line 1 is no signing key"),
            ("passwordpasswordpasswordpasswordpasswordpass", "Line 1 is no signing key"),
            (f"{KEY.hex()}\n{KEY.hex()}", "Line 2 repeats a key"),
        ],
    )
    def test_an_invalid_key_is_refused(self, line: str, words: str) -> None:
        """The error names the line and what is allowed, but repeats nothing of the line."""
        with pytest.raises(InvalidSigningKeys, match=words) as refused:
            parse_signing_keys(line)

        assert not line or line not in str(refused.value)

    def test_an_id_identifies_a_key_without_revealing_it(self) -> None:
        """It is a short digest."""
        (one,), (other,) = KEYS.ids, SigningKeys([OTHER_KEY]).ids

        assert one != other
        assert 8 == len(one)
