"""What the e-mails look like: contrast, widths, sizes, and what stands where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.notices.letterhead import Letterhead, luminance
from consumers.notices.notices import Notice, Notices
from schemas.contacts import Contact
from schemas.dispatch import Reason
from schemas.events import ALL_EVENTS, Event, Role

HAPPENED = datetime(2026, 9, 12, 8, 30, tzinfo=UTC)
LETTERHEAD = Letterhead("Example Mentoring", "Example Street 1, 10115 Berlin", "#24527a", "EXAMPLE")
NOTICES = Notices(letterhead=LETTERHEAD, coordinator_address_shown=True)
UNNAMED = Notices()
AA = 4.5
VOID = {"meta", "br"}
EVERY_NOTICE = pytest.mark.parametrize(("name", "role", "language"), list(Notices.names()))
IN_ENGLISH = pytest.mark.parametrize(
    ("name", "role"), [(*rest,) for *rest, language in Notices.names() if language == "en"]
)


def render(
    name: str,
    role: Role,
    language: str = "en",
    *,
    mentor_name: str = "Amara Diallo",
    reader: str = "Jonas Weber",
    ahead: int = 18,
    notices: Notices = NOTICES,
    unreached: Reason | None = None,
    reason: str = "personal_leave",
) -> Notice:
    """Render a notice whose date lies so many days *ahead*, or behind."""
    kind = next(kind for kind in ALL_EVENTS if kind.name == name)
    day = HAPPENED.replace(hour=0, minute=0) + timedelta(days=ahead)
    changed = {"expected_return_date": day, "expiry_date": day, "days_remaining": max(ahead, 0), "pause_reason": reason}
    data = kind.model.model_validate({key: changed.get(key, value) for key, value in kind.example.items()})
    mentor = Contact(id="mentor-1", role=Role.MENTOR, name=mentor_name, locale=language)
    coordinator = Contact(id="c-1", role=role, name=reader, locale=language, email="jonas@example.org")
    return notices.render(
        Event(kind, "1", "/tests", data),
        role,
        contact=mentor if role is Role.MENTOR else coordinator,
        mentor=mentor,
        coordinator=coordinator,
        happened_at=HAPPENED,
        now=HAPPENED + timedelta(days=min(ahead, 0) and 1),
        unreached=unreached,
    )


class Painted(HTMLParser):
    """The texts of a page, each with its colour and the one behind it."""

    def __init__(self, page: str, *, dark: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._rules = dict(_dark_rules(page)) if dark else {}
        self._open = [{"color": "#000000", "background": "#ffffff"}]
        self.texts: list[tuple[str, str, str]] = []
        self.feed(page[page.index("<body") : page.index("</html>")])
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add an element to those that are open; what it does not set it takes over."""
        given = {name: value or "" for name, value in attrs}
        own = _declarations(given.get("style", ""))
        for name in given.get("class", "").split():
            own |= self._rules.get(name, {})
        if tag not in VOID:
            self._open.append(self._open[-1] | own)

    def handle_endtag(self, _tag: str) -> None:
        """Close an element."""
        self._open.pop()

    def handle_data(self, data: str) -> None:
        """Keep a text that is shown."""
        style = self._open[-1]
        if data.strip() and style.get("display") != "none":
            self.texts.append((data.strip(), style["color"], style["background"]))


def _declarations(style: str) -> dict[str, str]:
    pairs = (one.partition(":") for one in style.split(";") if one.strip())
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs}


def _dark_rules(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    block = re.search(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", page, re.DOTALL)
    assert block
    for name, declarations in re.findall(r"\.(\w+) \{ (.*?) \}", block[1]):
        yield name, _declarations(declarations)


def contrast(ink: str, paper: str) -> float:
    """Return the contrast of two colours, as WCAG defines it."""
    darker, lighter = sorted((luminance(ink), luminance(paper)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("ink", "paper", "expected"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.0),
        ("#0a0a0a", "#0a0a0a", 1),
    ],
)
def test_contrast_is_computed_as_wcag_does(ink: str, paper: str, expected: float) -> None:
    """Known pairs of colours have their known contrast."""
    assert expected == pytest.approx(contrast(ink, paper), abs=0.01)


@IN_ENGLISH
@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(name: str, role: Role, *, dark: bool) -> None:
    """Every text has at least the contrast that WCAG asks for (AA), in light and dark."""
    texts = Painted(render(name, role).html, dark=dark).texts

    assert len(texts) >= 8
    assert [] == [text for text, ink, paper in texts if contrast(ink, paper) < AA]


def test_dark_is_dark() -> None:
    """The sheet is light in light mode and dark in dark mode, with the organisation's colour in both."""
    light, dark = (Painted(render("pause-lifted", Role.MENTOR).html, dark=dark).texts for dark in (False, True))

    assert ("EXAMPLE", "#ffffff", "#24527a") == light[0] == dark[0]
    assert "#ffffff" == light[1][2]
    assert luminance(dark[1][2]) < 0.05


@given(st.from_regex(r"#[0-9a-f]{6}", fullmatch=True))
def test_any_colour_of_an_organisation_can_be_read_on(colour: str) -> None:
    """The text on the organisation's colour is black or white, whichever can be read."""
    assert contrast(Letterhead(colour=colour).ink, colour) >= AA


@IN_ENGLISH
def test_widths_are_attributes(name: str, role: Role) -> None:
    """Each table has its width as an attribute, and Outlook gets one of 600 pixels around the sheet."""
    html = render(name, role).html

    assert [] == [table for table in re.findall(r"<table[^>]*>", html) if ' width="' not in table]
    assert [] == re.findall(r'style="[^"]*(?<!-)width:', html)
    assert 1 == html.count('<!--[if mso]><table role="presentation" width="600"')
    assert html.count("<!--[if mso]>") == html.count("<![endif]-->")


@EVERY_NOTICE
def test_no_notice_is_large(name: str, role: Role, language: str) -> None:
    """With the longest names and reasons a notice has less than 30 KB of HTML."""
    for longest in (character * 500 for character in "&'😀ש9"):
        notice = render(
            name,
            role,
            language,
            mentor_name=longest,
            reader=longest,
            reason=longest,
            unreached=Reason.COMPLAINED,
        )

        assert len(notice.html.encode()) < 30_000


def _part(html: str, begin: str, end: str) -> str:
    found = re.search(f"{begin}(.*?){end}", html, re.DOTALL)
    assert found
    return " ".join(re.sub(r"&#847;|&nbsp;", "", found[1]).split())


def _heading(notice: Notice) -> str:
    return _part(notice.html, "<h1[^>]*>", "</h1>")


def _preheader(notice: Notice) -> str:
    return _part(notice.html, r'<div style="display: none[^>]*>', "</div>")


@EVERY_NOTICE
@pytest.mark.parametrize("ahead", [18, 0, -1])
def test_subject_preheader_and_heading_differ(name: str, role: Role, language: str, ahead: int) -> None:
    """In every tense the three say different things, and each is short enough for a list of e-mails."""
    notice = render(name, role, language, ahead=ahead)
    heading, preheader = _heading(notice), _preheader(notice)

    assert heading.casefold() not in notice.subject.casefold()
    assert notice.subject.casefold() not in heading.casefold()
    assert preheader.casefold() not in notice.subject.casefold()
    assert (True, True, True) == (len(notice.subject) <= 90, len(preheader) <= 110, len(heading) <= 80)


@EVERY_NOTICE
def test_a_notice_says_what_to_do(name: str, role: Role, language: str) -> None:
    """Every e-mail says that there is nothing to do, or asks for something; a mentor's names whom to ask."""
    text = render(name, role, language).text
    asks = {
        "en": "You do not need to do anything|[Pp]lease",
        "de": "Sie müssen nichts tun|[Bb]itte",
        "fr": "Vous n’avez rien à faire|Merci de|veuillez",
        "es": "No tiene que hacer nada|[Pp]or favor|póngase en contacto",
    }

    assert re.search(asks[language], text)
    assert (role is Role.MENTOR) == ("Jonas Weber (jonas@example.org)." in text)


def test_a_reader_reads_that_replies_are_read() -> None:
    """If somebody reads replies, each e-mail says so in every language: a coordinator knows nobody else to ask."""
    notices = Notices(replies_read=True)
    sentences = {
        "en": ("You can also reply to this e-mail.\n", "not right, you can reply to this e-mail.\n"),
        "de": ("Sie können auch auf diese E-Mail antworten.\n", "antworten Sie einfach auf diese E-Mail.\n"),
        "fr": ("Vous pouvez aussi répondre à cet e-mail.\n", "En cas d’erreur, vous pouvez répondre à cet e-mail.\n"),
        "es": (
            "También puede responder a este correo electrónico.\n",
            "no es correcto, puede responder a este correo electrónico.\n",
        ),
    }

    for language, by_role in sentences.items():
        for role, sentence in zip(Role, by_role, strict=True):
            assert sentence in render("pause-lifted", role, language, notices=notices).text
            assert sentence not in render("pause-lifted", role, language, notices=UNNAMED).text


def test_a_coordinator_is_not_asked_to_reply_to_themselves() -> None:
    """If only mentors' replies go to somebody, their coordinator, a coordinator's e-mail asks for none."""
    assert "reply" in render("pause-lifted", Role.MENTOR).text
    assert "reply" not in render("pause-lifted", Role.COORDINATOR).text


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
@pytest.mark.parametrize("role", list(Role))
def test_the_organisation_is_named(role: Role, language: str) -> None:
    """Its name, its postal line and the text of its logo stand in the HTML, the first two in the text as well."""
    notice, unnamed = (render("pause-lifted", role, language, notices=notices) for notices in (NOTICES, UNNAMED))

    assert "\nExample Mentoring\n" in notice.text
    assert notice.text.endswith("\nExample Street 1, 10115 Berlin\n")
    assert ["EXAMPLE", "Example Street 1, 10115 Berlin"] == [
        text for text, _, _ in Painted(notice.html, dark=False).texts if text.startswith(("EXAMPLE", "Example S"))
    ]
    assert "<br>Example Mentoring</p>" in notice.html
    assert "bgcolor" not in unnamed.html
    assert "Example" not in unnamed.text + unnamed.html
    assert "\n\n\n" not in unnamed.text


def test_the_logo_is_the_organisations_name_if_it_has_no_text() -> None:
    """Without a text for the logo the name stands at the head, escaped."""
    notices = Notices(letterhead=Letterhead("Help & <Learn>"))

    assert (
        "Help & <Learn>" == Painted(render("pause-lifted", Role.MENTOR, notices=notices).html, dark=False).texts[0][0]
    )


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_right_to_left_names_are_isolated_everywhere(language: str) -> None:
    """In subject, greeting, heading, text, facts and footer a right-to-left name stands between isolates."""
    mentor, reader = "شريف العامري", "מרים לוי"
    notice = render("pause-activated", Role.COORDINATOR, language, mentor_name=mentor, reader=reader)

    for text in (notice.subject, notice.text, notice.html):
        assert text.count(mentor) == text.count(f"\u2068{mentor}\u2069") >= 1
        assert text.count(reader) == text.count(f"\u2068{reader}\u2069")
    assert reader in notice.text.splitlines()[0]
    assert mentor in _heading(notice)
    assert mentor in notice.text.splitlines()[-3]
