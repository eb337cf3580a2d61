"""A mail as a file for mail programs."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.mailbox.mime import mime_message
from tests.unit.deploy.local.mails import mail


def parsed(**changes: Any) -> EmailMessage:
    """Return the message of a mail as a mail program reads it."""
    message = message_from_bytes(mime_message(mail(1, **changes)), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_has_the_headers_that_ses_sends() -> None:
    """The message has the headers of SES, those of the request, and the tags and configuration set of raw mails."""
    message = parsed(
        sender="=?utf-8?q?B=C3=BCro?= <notices@example.com>",
        reply_to=["Coordination <c@example.org>"],
        cc=["cc@example.org"],
        bcc=["hidden@example.org"],
        subject="Grüße, und ein Betreff, der so lang ist, dass er nicht in eine einzige Zeile passt",
        headers=[("References", "<pause-1@example.org>")],
        tags={"dispatch_id": "1", "recipient": "mentor-001"},
        configuration_set="set",
    )

    assert {
        "From": "Büro <notices@example.com>",
        "Reply-To": "Coordination <c@example.org>",
        "To": "mentor-001@example.org",
        "Cc": "cc@example.org",
        "Subject": "Grüße, und ein Betreff, der so lang ist, dass er nicht in eine einzige Zeile passt",
        "Date": "Mon, 30 Nov 2026 00:53:21 -0000",
        "Message-ID": "<0100-1@email.amazonses.com>",
        "References": "<pause-1@example.org>",
        "X-SES-CONFIGURATION-SET": "set",
        "X-SES-MESSAGE-TAGS": "dispatch_id=1, recipient=mentor-001",
        "MIME-Version": "1.0",
    } == {name: value for name, value in message.items() if name != "Content-Type"}


def test_has_text_and_html_side_by_side() -> None:
    """A program shows the HTML, or the text; in a file of lines with at most 998 bytes."""
    raw = mime_message(mail(1, text="Grüße\nAda", html=f"<p>Größe</p>{'x' * 2000}"))
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    text, html = message.get_body(("plain",)), message.get_body(("html",))

    assert "multipart/alternative" == message.get_content_type()
    assert text is not None
    assert ["Grüße", "Ada"] == text.get_content().splitlines()
    assert html is not None
    assert html.get_content().startswith("<p>Größe</p>xxx")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_has_only_the_part_that_is_there() -> None:
    """A mail without HTML is its text."""
    message = parsed(html=None)

    assert ("text/plain", "Hello Ada") == (message.get_content_type(), message.get_content().strip())


@given(st.text(st.characters(codec=None), max_size=200), st.text(st.characters(min_codepoint=32, codec=None)))
def test_no_content_breaks_it(text: str, subject: str) -> None:
    """Whatever text and subject hold, they are read as they were, and add neither header nor part."""
    message = parsed(text=text, html=text, subject=subject)
    parts = [part.get_payload(decode=True) for part in message.iter_parts()]

    sound = text.encode(errors="replace")
    lines = [part.splitlines() for part in parts if isinstance(part, bytes)]
    assert [sound.splitlines()] * 2 == lines
    assert 2 == len(parts)
    assert 9 == len(message.keys())
    assert subject.encode(errors="replace").decode().split() == message["Subject"].split()
