"""What the e-mails say, that they say it in every language, and that nobody else can make them say more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import BaseLoader, ChoiceLoader, DictLoader, PackageLoader, StrictUndefined, TemplateSyntaxError
from jinja2.exceptions import UndefinedError

from consumers.notices import MAX_SUBJECT, Notice, Notices, NoticesIncomplete, NotRenderable, _said
from consumers.readers import LANGUAGES, reader_of
from schemas.contacts import Contact
from schemas.events import EVENTS, EVENTS_BY_NAME, Event, Role

NOTICES = Notices()
TEMPLATES = PackageLoader("consumers")
HAPPENED = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Tags(HTMLParser):
    """The tags and attributes of a page, in order, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.open: list[str] = []
        self.seen = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag, and that it is open."""
        self.found.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that a tag closes the one opened last."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.seen += data


def event_of(name: str, **data: Any) -> Event:
    """Give the contract's own example of an event, but for what is stated."""
    kind = EVENTS_BY_NAME[name]
    return Event(kind=kind, id="1", source="/tests", data=kind.model.model_validate({**kind.example, **data}))


def person(role: Role, **fields: Any) -> Contact:
    """Give a mentor or a coordinator."""
    known = {"id": f"{role}-1", "name": "Amara Diallo" if role is Role.MENTOR else "Jonas Weber"}
    return Contact.model_validate({"role": role, **known, **fields})


def render(
    name: str,
    role: Role = Role.MENTOR,
    *,
    happened_at: datetime = HAPPENED,
    contact: Mapping[str, Any] | None = None,
    mentor: Mapping[str, Any] | None = None,
    notices: Notices = NOTICES,
    **data: Any,
) -> Notice:
    """Render a notice of the contract's own example, but for what the test says."""
    about = person(Role.MENTOR, **{**(mentor or {}), **((contact or {}) if role is Role.MENTOR else {})})
    told = about if role is Role.MENTOR else person(role, **(contact or {}))
    return notices.render(event_of(name, **data), role, contact=told, mentor=about, happened_at=happened_at)


def changed(**templates: str) -> BaseLoader:
    """Give our templates, but for those stated."""
    return ChoiceLoader([DictLoader(templates), TEMPLATES])


def without(name: str) -> BaseLoader:
    """Give our templates but one."""
    kept = {other: TEMPLATES.get_source(NOTICES._text._environment, other)[0] for other in TEMPLATES.list_templates()}
    del kept[name]
    return DictLoader(kept)


EVERY_NOTICE = pytest.mark.parametrize(("name", "role", "language"), list(Notices.names()))


@EVERY_NOTICE
def test_every_notice_renders(name: str, role: Role, language: str) -> None:
    """Every notice has a subject, a text and well-formed HTML in its language, for a contact named or not."""
    for named in ("Jonas Weber", None):
        notice = render(name, role, contact={"locale": language, "name": named}, mentor={"locale": language})
        tags = Tags(notice.html)

        assert notice.subject
        assert ("html", (("lang", language), ("dir", "ltr"))) in tags.found
        assert [] == tags.open
        assert "None" not in notice.text
        assert (named or "") in notice.text
        assert (named or "") in tags.seen


@EVERY_NOTICE
def test_says_when_it_happened(name: str, role: Role, language: str) -> None:
    """Every mail says when the event happened, in text and HTML."""
    notice = render(name, role, contact={"locale": language, "timezone": "Europe/Berlin"})
    expected = {"en": "26 March 2026, 09:30 CET", "de": "26. März 2026, 09:30 MEZ"}[language]

    assert expected in notice.text
    assert expected in notice.html


@EVERY_NOTICE
def test_text_and_html_say_the_same(name: str, role: Role, language: str) -> None:
    """Whoever reads the text alone misses nothing of the HTML."""
    notice = render(name, role, contact={"locale": language})
    in_html = unescape(re.sub(r"<[^>]+>", "", notice.html.split("</h1>")[1]))

    for line in filter(None, notice.text.splitlines()):
        for part in line.split(": ", 1) if line.count(": ") == 1 else [line]:
            assert part in in_html


@EVERY_NOTICE
def test_nothing_is_fetched(name: str, role: Role, language: str) -> None:
    """No mail loads anything, links anywhere or runs anything."""
    tags = Tags(render(name, role, contact={"locale": language}).html)

    assert set() == {tag for tag, _ in tags.found} & {"a", "img", "link", "script", "iframe", "form"}
    assert [] == [
        attribute for _, attributes in tags.found for attribute, _ in attributes if attribute in {"src", "href"}
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [event.name for event in EVENTS if Role.COORDINATOR in event.roles])
def test_coordinators_subject_names_the_mentor(name: str, language: str) -> None:
    """A coordinator sees in the subject whom it is about: by name, else by id."""
    named = render(name, Role.COORDINATOR, contact={"locale": language})
    unnamed = render(name, Role.COORDINATOR, contact={"locale": language}, mentor={"name": None})

    assert "Amara Diallo" in named.subject
    assert "Amara Diallo (mentor-1)" in named.text
    assert "mentor-1" in unnamed.subject


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "Expected return: 1 May 2026\n"),
        ("en-US", "Expected return: May 1, 2026\n"),
        ("de", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("de-AT", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("de_DE", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("DE", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("de-XX", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("de-x-dialect", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("fr-FR", "Expected return: 1 May 2026\n"),
        ("", "Expected return: 1 May 2026\n"),
        ("../../etc", "Expected return: 1 May 2026\n"),
    ],
)
def test_language_and_dates_follow_the_locale(locale: str, expected: str) -> None:
    """A contact reads their language and its dates, and English where we have none of theirs."""
    assert expected in render("pause-activated", contact={"locale": locale}).text


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
def test_midnight_utc_is_a_calendar_date(zone: str) -> None:
    """A time at exactly midnight UTC is one date in every zone, without a time."""
    notice = render("cert-expiry", contact={"timezone": zone}, expiry_date="2026-05-01T02:00:00+02:00")

    assert "Expiry date: 1 May 2026\n" in notice.text


@pytest.mark.parametrize(
    ("locale", "zone", "expected"),
    [
        ("en", "UTC", "1 May 2026, 00:00 UTC"),
        ("en", "Europe/Berlin", "1 May 2026, 02:00 CEST"),
        ("en-US", "America/New_York", "April 30, 2026, 8:00\u202fPM EDT"),
        ("en", "Asia/Tokyo", "1 May 2026, 09:00 Japan Standard Time"),
        ("de", "Asia/Tokyo", "1. Mai 2026, 09:00 Japanische Normalzeit"),
    ],
)
def test_other_times_are_shown_in_the_contacts_zone(locale: str, zone: str, expected: str) -> None:
    """A time a second past midnight UTC is an instant: shown in the contact's zone, with time and zone."""
    told = {"locale": locale, "timezone": zone}

    assert expected in render("cert-expiry", contact=told, expiry_date="2026-05-01T00:00:01Z").text


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["Asia/Tokyo", "America/New_York", "UTC", "Pacific/Kiritimati"]),
    st.sampled_from(["en", "de", "en-US", "fr"]),
)
@example(datetime.min.replace(second=1, tzinfo=UTC), "America/New_York", "en")
@example(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", "de")
def test_any_instant_can_be_said(instant: datetime, zone: str, locale: str) -> None:
    """From year 1 to 9999 every instant of the contract can be written in every zone."""
    notice = render(
        "cert-expiry", contact={"timezone": zone, "locale": locale}, expiry_date=instant, happened_at=instant
    )

    assert notice.text


@pytest.mark.parametrize(
    ("language", "days", "date", "phrase"),
    [
        ("en", 0, "26 March 2026", "Expires: today"),
        ("en", 1, "27 March 2026", "Expires: tomorrow"),
        ("en", 2, "28 March 2026", "Expires: in 2 days"),
        ("en", 14, "9 April 2026", "Expires: in 14 days"),
        ("en", 3650, "23 March 2036", "Expires: in 3650 days"),
        ("de", 0, "26. März 2026", "Läuft ab: heute"),
        ("de", 1, "27. März 2026", "Läuft ab: morgen"),
        ("de", 2, "28. März 2026", "Läuft ab: in 2 Tagen"),
        ("de", 14, "9. April 2026", "Läuft ab: in 14 Tagen"),
    ],
)
def test_reminder_says_the_date_and_the_days(language: str, days: int, date: str, phrase: str) -> None:
    """A reminder says the date of the expiry, in its subject too, and how far off it is."""
    notice = render("cert-expiry-reminder", contact={"locale": language}, days_remaining=days)

    assert date in notice.subject
    assert date in notice.text
    assert f"{phrase}\n" in notice.text


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("hour", [0, 2, 12, 20, 23])
def test_reminders_date_is_one_in_every_zone(zone: str, hour: int) -> None:
    """All mentors are told one date, and the date from which its days are counted is the one they are told."""
    happened_at = datetime(2026, 4, 30, hour, 15, tzinfo=UTC)
    notice = render("cert-expiry-reminder", contact={"timezone": zone}, happened_at=happened_at, days_remaining=0)

    assert "Expiry date: 30 April 2026\nExpires: today\nAs of: 30 April 2026, " in notice.text


@pytest.mark.parametrize(
    ("locale", "code", "expected"),
    [
        ("en", "personal_leave", "Reason: personal leave\n"),
        ("en", "on tour", "Reason: on tour\n"),
        ("de", "personal_leave", "Grund: persönliche Auszeit\n"),
        ("de", "Personal_Leave", "Grund: persönliche Auszeit\n"),
        ("de", "moon_landing", "Grund: moon landing\n"),
    ],
)
def test_reason_is_said_in_words(locale: str, code: str, expected: str) -> None:
    """A pause's reason reads as words, in German where it is a code that we know."""
    assert expected in render("pause-activated", contact={"locale": locale}, pause_reason=code).text


@pytest.mark.parametrize(("language", "greeting"), [("en", "Hello,\n"), ("de", "Guten Tag,\n")])
def test_unnamed_contact_is_greeted_without_name(language: str, greeting: str) -> None:
    """A contact without a name, or with none that can be shown, is greeted all the same."""
    for name in (None, "\u202e"):
        assert render("pause-lifted", contact={"locale": language, "name": name}).text.startswith(greeting)


HOSTILE = st.text(min_size=1, max_size=120) | st.lists(
    st.sampled_from(
        [
            "<script>alert(1)</script>", "<b>", "</td></table>", "'\"", "&lt;", "<!--", "{{ mentor }}", "{% raw %}",
            "\r\nBcc: eve@evil.example", "\u202e", "\u2028", "\x85", "\x00", "\ud800", "http://evil.example", "Amara",
        ]
    ),
    min_size=1,
).map("".join)  # fmt: skip


@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from(LANGUAGES), st.sampled_from(list(Role)))
def test_nothing_said_becomes_markup_or_a_header(name: str, code: str, id_: str, language: str, role: Role) -> None:
    """Whatever names, ids and reasons hold, the page's tags stay as they are and the subject one harmless line."""
    # Past the contract's own validation, which refuses some of this: two locks.
    kind = EVENTS_BY_NAME["pause-activated"]
    back = datetime(2026, 5, 1, tzinfo=UTC)
    data = kind.model.model_construct(mentor_id=id_, expected_return_date=back, pause_reason=code)
    mentor = person(Role.MENTOR, locale=language).model_copy(update={"id": id_, "name": name})
    told = mentor if role is Role.MENTOR else person(role, locale=language).model_copy(update={"name": name})
    notice = NOTICES.render(Event(kind, "1", "/tests", data), role, contact=told, mentor=mentor, happened_at=HAPPENED)
    harmless = render("pause-activated", role, contact={"locale": language})
    tags = Tags(notice.html)

    assert Tags(harmless.html).found == tags.found
    assert [] == tags.open
    assert [] == HIDDEN.findall(notice.subject)
    assert len(notice.subject) <= MAX_SUBJECT
    assert len(harmless.text.splitlines()) == len(notice.text.splitlines())


def test_template_syntax_in_values_is_text() -> None:
    """A name that looks like a template is shown, not run."""
    notice = render("pause-lifted", Role.COORDINATOR, mentor={"name": "{{ 7 * 7 }}{% if %}"})

    assert "Mentor pause lifted: {{ 7 * 7 }}{% if %}" == notice.subject


def test_subject_and_text_are_not_escaped() -> None:
    """An ampersand is an ampersand where there is no HTML, and escaped where there is."""
    notice = render("pause-activated", Role.COORDINATOR, mentor={"name": "O'Neil & Søn"}, pause_reason="a < b & c")

    assert "Mentor pause activated: O'Neil & Søn" == notice.subject
    assert "Reason: a < b & c\n" in notice.text
    assert "a &lt; b &amp; c" in notice.html


@pytest.mark.parametrize("reason", ["see http://evil.example/x", "www.evil.example", "evil.com", "a@evil.example"])
def test_no_mail_program_makes_a_link(reason: str) -> None:
    """What looks like an address of the web reads the same, but is broken for a program that would link it."""
    notice = render("pause-activated", pause_reason=reason)

    for said in (notice.text, unescape(notice.html)):
        assert reason not in said
        assert reason in said.replace("\u200b", "")


@pytest.mark.parametrize("name", ["J. R. Müller", "Dr. O'Neil-Søn", "3.5", "a: b"])
def test_names_stay_as_they_are(name: str) -> None:
    """Ordinary full stops and colons are left alone."""
    assert f"Mentor pause lifted: {name}" == render("pause-lifted", Role.COORDINATOR, mentor={"name": name}).subject


def test_long_subject_is_cut() -> None:
    """A name of the greatest length leaves a subject of the greatest length, visibly cut."""
    notice = render("pause-lifted", Role.COORDINATOR, mentor={"name": "x" * 500})

    assert MAX_SUBJECT == len(notice.subject)
    assert notice.subject.endswith("x…")


def test_undefined_name_is_not_renderable() -> None:
    """A template that says what it was not given fails by name, and the failure names no person."""
    template = (
        "{% extends layout %}{% block subject %}{{ nobody }}{% endblock %}"
        "{% block text %}{% endblock %}{% block html %}{% endblock %}"
    )
    notices = Notices(changed(**{"en/pause-lifted.mentor.j2": template}))

    with pytest.raises(NotRenderable) as failure:
        render("pause-lifted", notices=notices)
    assert "en/pause-lifted.mentor.j2: UndefinedError" == str(failure.value)
    assert isinstance(failure.value.__cause__, UndefinedError)


@pytest.mark.parametrize("edition", [NOTICES._text, NOTICES._html])
def test_undefined_is_strict(edition: Any) -> None:
    """Both editions refuse an undefined name."""
    assert StrictUndefined is edition._environment.undefined


@pytest.mark.parametrize("name", TEMPLATES.list_templates())
def test_any_missing_template_stops_the_start(name: str) -> None:
    """A notice, a layout or a language's words that are missing stop the construction, which names them."""
    with pytest.raises(NoticesIncomplete, match=re.escape(f"{name}: no such template")):
        Notices(without(name))


def test_missing_blocks_stop_the_start() -> None:
    """All missing blocks are named at once."""
    template = "{% extends layout %}{% block text %}{% endblock %}"

    with pytest.raises(NoticesIncomplete) as failure:
        Notices(changed(**{"de/pause-lifted.mentor.j2": template}))
    assert "de/pause-lifted.mentor.j2: no block html\nde/pause-lifted.mentor.j2: no block subject" == str(failure.value)


def test_broken_template_stops_the_start() -> None:
    """A template with an error in its syntax never gets as far as a mail."""
    with pytest.raises(TemplateSyntaxError):
        Notices(changed(**{"de/pause-lifted.mentor.j2": "{% block"}))


def test_no_file_is_read_after_construction() -> None:
    """Rendering needs no loader: all was read at construction."""
    files = {name: TEMPLATES.get_source(NOTICES._text._environment, name)[0] for name in TEMPLATES.list_templates()}
    notices = Notices(DictLoader(files))
    files.clear()

    for name, role, language in Notices.names():
        assert render(name, role, contact={"locale": language}) == render(
            name, role, contact={"locale": language}, notices=notices
        )


def test_names_are_every_event_role_and_language() -> None:
    """Seven notices in each language, the reminder for mentors alone."""
    names = list(Notices.names())

    assert 7 * len(LANGUAGES) == len(set(names)) == len(names)
    assert [("cert-expiry-reminder", Role.MENTOR, "en")] == [
        n for n in names if n[0].endswith("reminder") and n[2] == "en"
    ]


def test_no_template_lies_unused() -> None:
    """Every template is a notice, a layout or a language's words."""
    notices = {f"{language}/{name}.{role}.j2" for name, role, language in Notices.names()}
    words = {f"{language}/words.j2" for language in LANGUAGES}

    assert notices | words | {"layout.html.j2", "layout.txt.j2"} == set(TEMPLATES.list_templates())


@pytest.mark.parametrize(("name", "role", "language"), list(Notices.names()))
@given(
    text=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30).map(str.strip),
    reason=st.sampled_from(["personal_leave", "<b>", "\ufdd0mentor\ufdd1 {{ mentor }}"]),
)
def test_a_page_with_gaps_filled_is_the_page(name: str, role: Role, language: str, text: str, reason: str) -> None:
    """However often a page was used before, it says what its template makes of this very e-mail."""
    event = event_of(name, **({"pause_reason": reason} if name == "pause-activated" else {}))
    contact, mentor = person(role, name=text or None, locale=language), person(Role.MENTOR, name=text or None)
    said = _said(event, role, reader_of(language, "UTC"), contact=contact, mentor=mentor, happened_at=HAPPENED)

    notice = NOTICES.render(event, role, contact=contact, mentor=mentor, happened_at=HAPPENED)

    template = f"{language}/{name}.{role}.j2"
    whole = [edition._notices[template].render(said) for edition in (NOTICES._text, NOTICES._html)]
    assert whole == [notice.text, notice.html]


@pytest.mark.parametrize("looks_into", ["mentor_name | upper", "mentor_name[1:]"])
def test_a_template_that_changes_what_it_may_only_show(looks_into: str) -> None:
    """It is refused: filled in later, the gap would show what it should not."""
    template = TEMPLATES.get_source(NOTICES._text._environment, "en/pause-lifted.coordinator.j2")[0]
    text = template.replace("{{ mentor_name }}", f"{{{{ {looks_into} }}}}")
    notices = Notices(changed(**{"en/pause-lifted.coordinator.j2": text}))

    with pytest.raises(NotRenderable):
        render("pause-lifted", Role.COORDINATOR, notices=notices)
