"""From addresses: whatever the name, SES gets it unchanged with its address, in ASCII."""

from __future__ import annotations

from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumers.ses.request import SenderIdentity
from runtime.from_address import MAX_NAME, NamedAddress, parse_named_address
from runtime.settings import ReplicaSettings

ADDRESS = "notices@example.com"
NAMES = [
    "Pause Notifications",
    "Acme, Inc.",
    "R&D; Team",
    "Team@Home",
    "Mentoring: Team",
    "Mentoring (Büro) [Süd]",
    'The "Team"',
    "back\\slash",
    "Büro",
    "Отдел поддержки менторов и координации программы наставничества, СПб",
    "😀" * MAX_NAME,
    "ü" + "a" * 100,
    "می‌خواهم",
    "=?x",
]


def read_back(header: str) -> tuple[str, str]:
    """Return name and address as a mail program reads them in a From header."""
    ((name, address),) = getaddresses([header])
    return str(make_header(decode_header(name))), address


@pytest.mark.parametrize("name", NAMES)
def test_a_name_arrives_as_it_was_given(name: str) -> None:
    """A mail program shows the whole name, whatever characters it holds, and the address that was given."""
    header = parse_named_address(f"{name} <{ADDRESS}>").header

    assert (name, ADDRESS) == read_back(header)


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=MAX_NAME))
def test_any_name_that_can_be_printed_arrives(name: str) -> None:
    """Encoded words are at most 75 characters long each, and the header is one line of ASCII."""
    assume(name == " ".join(name.split()))
    assume("=?" not in name)
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')

    header = parse_named_address(f'"{quoted}" <{ADDRESS}>').header

    assert (name, ADDRESS) == read_back(header)
    assert header.isascii()
    assert header.isprintable()
    if not name.isascii():
        assert max(map(len, header.split()[:-1])) <= 75


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        (ADDRESS, NamedAddress("", ADDRESS)),
        (f" <{ADDRESS}> ", NamedAddress("", ADDRESS)),
        (f'"Acme, Inc." <{ADDRESS}>', NamedAddress("Acme, Inc.", ADDRESS)),
        (f'"A \\"B\\" <C>" <{ADDRESS}>', NamedAddress('A "B" <C>', ADDRESS)),
        (f"=?utf-8?q?B=C3=BCro?= <{ADDRESS}>", NamedAddress("Büro", ADDRESS)),
        (f"=?no-such-charset?q?B?= <{ADDRESS}>", NamedAddress("=?no-such-charset?q?B?=", ADDRESS)),
        ("Büro <no-reply@bücher.example>", NamedAddress("Büro", "no-reply@xn--bcher-kva.example")),
    ],
)
def test_every_form_is_read(given_text: str, expected: NamedAddress) -> None:
    """Bare, in brackets, with a name quoted or not, and with one that was encoded by hand."""
    assert expected == parse_named_address(given_text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "Büro <büro@example.com>",
        "A <a@example.com>, B <b@example.com>",
        "a@example.com, b@example.com",
        "A\nBcc: <b@example.com>",
        "A <a@example.com\nBcc: b@example.com>",
        "A\u2028B <a@example.com>",
        "=?utf-8?q?A=0ABcc:?= <a@example.com>",
        "a" * (MAX_NAME + 1) + " <a@example.com>",
        "<>",
        "A <a@example.com> B",
    ],
)
def test_invalid_addresses_are_refused(text: str) -> None:
    """Nothing gets through that would be another header or another address."""
    with pytest.raises(ValueError, match=r"^must be "):
        parse_named_address(text)


NAMED = st.builds("{} <{}>".format, st.text(max_size=20), st.sampled_from([ADDRESS, "a", "ü@b.c"]))


@given(st.text(max_size=40) | NAMED)
def test_what_the_settings_take_the_program_can_use(text: str) -> None:
    """There is one parser: no value passes the settings and fails at the start."""
    try:
        settings = ReplicaSettings(ses_from_address=text, ses_reply_to=text)
    except ValueError:
        return
    arguments = SenderIdentity(settings.ses_from_address, (text,)).arguments()

    assert arguments["FromEmailAddress"].isascii()
    assert [arguments["FromEmailAddress"]] == arguments["ReplyToAddresses"]
