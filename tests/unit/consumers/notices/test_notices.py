"""What the e-mails say in every language, and that foreign text changes nothing but the text itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from jinja2 import (
    DictLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
)

from consumers.notices.letterhead import Letterhead
from consumers.notices.locales import LANGUAGES, locale_format_of
from consumers.notices.notices import MAX_SUBJECT, Notice, Notices, NotRenderable
from consumers.notices.pages import environment_of
from runtime.settings import PAUSE_REASONS_SHOWN
from schemas.contacts import Contact
from schemas.dispatch import Reason
from schemas.events import ALL_EVENTS, EVENTS_BY_NAME, Cause, Event, Role
from schemas.times import parse_with_offset

NOTICES = Notices()
LETTERED = Notices(
    letterhead=Letterhead("Example Mentoring", postal_line="Example Street 1, 10115 Berlin", logo_text="EXAMPLE"),
    coordinator_address_shown=True,
)
TEMPLATES = PackageLoader("consumers.notices")
ENVIRONMENT = Environment(autoescape=True)
HAPPENED = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066\u2067]")
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
        """Record a tag, and that it is open."""
        self.found.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that a tag closes the one opened last."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Record the text."""
        self.seen += data


def event_of(name: str, **data: Any) -> Event:
    """Return the contract's example of an event, with *data* changed."""
    kind = next(kind for kind in ALL_EVENTS if kind.name == name)
    return Event(kind=kind, id="1", source="/tests", data=kind.model.model_validate({**kind.example, **data}))


def person(role: Role, **fields: Any) -> Contact:
    """Return a mentor or a coordinator."""
    known = {"id": f"{role}-1", "name": "Amara Diallo" if role is Role.MENTOR else "Jonas Weber"}
    return Contact.model_validate({"role": role, **known, **fields})


def render(
    name: str,
    role: Role = Role.MENTOR,
    *,
    happened_at: datetime = HAPPENED,
    now: datetime | None = None,
    contact: Mapping[str, Any] | None = None,
    mentor: Mapping[str, Any] | None = None,
    notices: Notices = NOTICES,
    coordinator: Mapping[str, Any] | None = None,
    unreached: Reason | None = None,
    **data: Any,
) -> Notice:
    """Render a notice of the contract's example, with *data* changed; by default it is sent at once."""
    about = person(Role.MENTOR, **{**(mentor or {}), **((contact or {}) if role is Role.MENTOR else {})})
    reader = about if role is Role.MENTOR else person(role, **(contact or {}))
    return notices.render(
        event_of(name, **data),
        role,
        contact=reader,
        mentor=about,
        coordinator=None if coordinator is None else person(Role.COORDINATOR, **coordinator),
        happened_at=happened_at,
        now=now or happened_at,
        unreached=unreached,
    )


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
    expected = {
        "en": "26 March 2026, 09:30 GMT+01:00",
        "de": "26. März 2026, 09:30 GMT+01:00",
        "fr": "26 mars 2026, 09:30 GMT+01:00",
        "es": "26 de marzo de 2026, 9:30 GMT+01:00",
    }[language]

    assert expected in notice.text
    assert expected in notice.html


@EVERY_NOTICE
def test_text_and_html_say_the_same(name: str, role: Role, language: str) -> None:
    """What the text says the HTML says, too, in its order, below a heading of its own."""
    notice = render(name, role, contact={"locale": language}, notices=LETTERED, coordinator={})
    words = re.sub(r"<[^>]+>", " ", notice.html.split("</h1>")[1])
    in_html = " ".join(unescape(words).split())
    labels = re.compile(r"\u00a0?: (?!Jonas)")

    assert " ".join(labels.sub(" ", notice.text).split()) == in_html


@EVERY_NOTICE
def test_nothing_is_fetched(name: str, role: Role, language: str) -> None:
    """No e-mail loads, links or runs anything."""
    tags = Tags(render(name, role, contact={"locale": language}).html)

    assert set() == {tag for tag, _ in tags.found} & {"a", "img", "link", "script", "iframe", "form"}
    assert [] == [
        attribute for _, attributes in tags.found for attribute, _ in attributes if attribute in {"src", "href"}
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [event.name for event in ALL_EVENTS if Role.COORDINATOR in event.roles])
def test_coordinators_subject_names_the_mentor(name: str, language: str) -> None:
    """A coordinator sees in the subject whom the e-mail is about: the name, or the id if there is none."""
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
        ("deu", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("de-CH-1996", "Voraussichtliche Rückkehr: 1. Mai 2026\n"),
        ("fr", "Retour prévu\u00a0: 1er mai 2026\n"),
        ("fr-CA", "Retour prévu\u00a0: 1er mai 2026\n"),
        ("fre", "Retour prévu\u00a0: 1er mai 2026\n"),
        ("es-419", "Regreso previsto: 1 de mayo de 2026\n"),
        ("spa-MX", "Regreso previsto: 1 de mayo de 2026\n"),
        ("it-IT", "Expected return: 1 May 2026\n"),
        ("ar", "Expected return: 1 May 2026\n"),
        ("", "Expected return: 1 May 2026\n"),
        ("../../etc", "Expected return: 1 May 2026\n"),
    ],
)
def test_language_and_dates_follow_the_locale(locale: str, expected: str) -> None:
    """A contact gets their language and its dates, or English if there are no notices in their language."""
    assert expected in render("pause-activated", contact={"locale": locale}).text


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
@pytest.mark.parametrize(
    "written",
    [
        "2026-05-01T00:00:00Z",
        "2026-05-01T02:00:00+02:00",
        "2026-05-01T00:00:00+02:00",
        "2026-05-01T00:00:00-08:00",
        "2026-05-01T00:00:00+14:00",
        "2026-05-01T00:00:00.000+05:45",
    ],
)
def test_midnight_is_a_calendar_date(written: str, zone: str) -> None:
    """Exactly midnight, in the offset that was sent or in UTC, is the same date in every zone, without a time."""
    notice = render("cert-expiry", contact={"timezone": zone}, expiry_date=written)

    assert "Expiry date: 1 May 2026\n" in notice.text


def test_one_instant_in_two_offsets_is_written_in_both_ways() -> None:
    """A cached spelling of an instant is not used for the same instant in another offset."""
    berlin = render("cert-expiry", contact={"timezone": "UTC"}, expiry_date="2026-05-01T00:00:00+02:00")
    utc = render("cert-expiry", contact={"timezone": "UTC"}, expiry_date="2026-04-30T22:00:00Z")

    assert "Expiry date: 1 May 2026\n" in berlin.text
    assert "Expiry date: 30 April 2026, 22:00 GMT+00:00\n" in utc.text


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("since", "written"),
    [
        ("2026-03-01T00:00:00+01:00", "1 March 2026\n"),
        ("2026-03-01T00:30:00+01:00", "1 March 2026, "),
        ("2026-03-01T23:30:00-08:00", "1 March 2026, "),
    ],
)
def test_a_reminder_counts_from_its_producers_day(zone: str, since: str, written: str) -> None:
    """Every mentor reads the date that the producer counted to in its own offset, and the event's own date."""
    happened_at = parse_with_offset(since)
    notice = render("cert-expiry-reminder", contact={"timezone": zone}, happened_at=happened_at, days_remaining=14)

    assert "expires in 14 days, on 15 March 2026." in notice.text
    assert f"Expiry date: 15 March 2026\nRecorded: {written}" in notice.text


@pytest.mark.parametrize(
    ("locale", "zone", "expected"),
    [
        ("en", "UTC", "1 May 2026, 00:00 GMT+00:00"),
        ("en", "Europe/Berlin", "1 May 2026, 02:00 GMT+02:00"),
        ("en-US", "America/New_York", "April 30, 2026, 8:00\u202fPM GMT-04:00"),
        ("en", "Asia/Tokyo", "1 May 2026, 09:00 GMT+09:00"),
        ("de", "America/St_Johns", "30. April 2026, 21:30 GMT-02:30"),
        ("fr", "Australia/Lord_Howe", "1er mai 2026, 10:30 GMT+10:30"),
        ("es", "Asia/Kathmandu", "1 de mayo de 2026, 5:45 GMT+05:45"),
    ],
)
def test_other_times_are_shown_in_the_contacts_zone(locale: str, zone: str, expected: str) -> None:
    """One second past midnight UTC is an instant: it is shown in the contact's zone, with time and zone."""
    reader = {"locale": locale, "timezone": zone}

    assert expected in render("cert-expiry", contact=reader, expiry_date="2026-05-01T00:00:01Z").text


def test_every_zone_can_be_written_in() -> None:
    """Dates can be written in every zone that a contact may have."""
    for zone in sorted(available_timezones()):
        assert locale_format_of("en", zone).moment(HAPPENED).text


@given(st.text(max_size=35) | st.from_regex(r"(de|en|fr|es)[-_][A-Za-z0-9@._-]{0,12}", fullmatch=True))
def test_every_locale_can_be_written_in(locale: str) -> None:
    """Dates can be written for every locale that a contact may have, even an invalid one."""
    assert locale_format_of(locale, "UTC").moment(HAPPENED).text


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["Asia/Tokyo", "America/New_York", "UTC", "Pacific/Kiritimati"]),
    st.sampled_from(["en", "de", "en-US", "fr", "es"]),
)
@example(datetime.min.replace(second=1, tzinfo=UTC), "America/New_York", "en")
@example(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", "de")
def test_any_instant_can_be_written(instant: datetime, zone: str, locale: str) -> None:
    """Every instant from year 1 to 9999 can be written in every zone."""
    notice = render(
        "cert-expiry", contact={"timezone": zone, "locale": locale}, expiry_date=instant, happened_at=instant
    )

    assert notice.text


@pytest.mark.parametrize(
    ("language", "days", "date", "phrase"),
    [
        ("en", 0, "26 March 2026", "expires today, 26 March"),
        ("en", 1, "27 March 2026", "expires tomorrow, on 27 March"),
        ("en", 2, "28 March 2026", "expires in 2 days, on 28 March"),
        ("en", 14, "9 April 2026", "expires in 14 days, on 9 April"),
        ("en", 3650, "23 March 2036", "expires in 3650 days, on 23 March"),
        ("de", 0, "26. März 2026", "läuft heute ab, am 26. März"),
        ("de", 1, "27. März 2026", "läuft morgen ab, am 27. März"),
        ("de", 14, "9. April 2026", "läuft in 14 Tagen ab, am 9. April"),
        ("fr", 0, "26 mars 2026", "expire aujourd’hui, le 26 mars"),
        ("fr", 1, "27 mars 2026", "expire demain, le 27 mars"),
        ("fr", 14, "9 avril 2026", "expire dans 14 jours, le 9 avril"),
        ("es", 0, "26 de marzo de 2026", "caduca hoy, 26 de marzo"),
        ("es", 1, "27 de marzo de 2026", "caduca mañana, el 27 de marzo"),
        ("es", 14, "9 de abril de 2026", "caduca dentro de 14 días, el 9 de abril"),
    ],
)
def test_reminder_says_the_date_and_the_days(language: str, days: int, date: str, phrase: str) -> None:
    """A reminder says the date of the expiry, and in how many days it is."""
    notice = render("cert-expiry-reminder", contact={"locale": language}, days_remaining=days)

    assert (days > 0) == (date in notice.subject)
    assert date in notice.text
    assert phrase in notice.text


def test_a_late_reminder_counts_from_its_own_day() -> None:
    """A reminder that is sent three days late says how many days are left when it is sent."""
    notice = render("cert-expiry-reminder", now=HAPPENED + timedelta(days=3), days_remaining=14)

    assert "expires in 11 days, on 9 April 2026." in notice.text


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("hour", [0, 2, 12, 20, 23])
def test_a_reminders_date_is_the_same_in_every_zone(zone: str, hour: int) -> None:
    """Every mentor reads the same date, and the date from which its days are counted."""
    happened_at = datetime(2026, 4, 30, hour, 15, tzinfo=UTC)
    notice = render("cert-expiry-reminder", contact={"timezone": zone}, happened_at=happened_at, days_remaining=0)

    assert "expires today, 30 April 2026." in notice.text
    assert "Expiry date: 30 April 2026\nRecorded: 30 April 2026, " in notice.text


@pytest.mark.parametrize(
    ("locale", "code", "expected"),
    [
        ("en", "personal_leave", "Reason: Personal leave\n"),
        ("en", "on tour", "Reason: on tour\n"),
        ("en", "MOON_LANDING", "Reason: Moon landing\n"),
        ("en", "moonLanding", "Reason: Moon landing\n"),
        ("en", "COVID", "Reason: COVID\n"),
        ("de", "personal_leave", "Grund: Persönliche Auszeit\n"),
        ("de", "Personal_Leave", "Grund: Persönliche Auszeit\n"),
        ("de", "personalLeave", "Grund: Persönliche Auszeit\n"),
        ("de", "moon_landing", "Grund: Moon landing\n"),
        ("de", "personal-leave", "Grund: Persönliche Auszeit\n"),
        ("en", "part-time", "Reason: Part-time\n"),
        ("en", "病假", "Reason: 病假\n"),
        ("fr", "personal_leave", "Motif\u00a0: Congé pour convenance personnelle\n"),
        ("es", "personal_leave", "Motivo: Permiso personal\n"),
    ],
)
def test_a_reason_reads_as_words(locale: str, code: str, expected: str) -> None:
    """A pause's reason reads as words, translated if it is a code that we know."""
    assert expected in render("pause-activated", contact={"locale": locale}, pause_reason=code).text


@pytest.mark.parametrize("reason", ["x", "_", "?", "---", "17", "R17", "3.5", "x.", "\u202ex", "😀😀"])
@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Reason: Not stated\n"),
        ("de", "Grund: Keine Angabe\n"),
        ("fr", "Motif\u00a0: Non précisé\n"),
        ("es", "Motivo: No indicado\n"),
    ],
)
def test_a_reason_without_a_word_is_left_out(language: str, expected: str, reason: str) -> None:
    """A reason of fewer than two letters is nothing to read: the mentor reads "not stated"."""
    assert expected in render("pause-activated", contact={"locale": language}, pause_reason=reason).text


def test_own_templates_may_translate_any_code() -> None:
    """A code without a word still reaches the templates, which may know it."""
    words = TEMPLATES.get_source(ENVIRONMENT, "en/words.j2")[0].replace('"other":', '"r17": "Long leave", "other":')
    notices = Notices(DictLoader({"en/words.j2": words}))

    assert "Reason: Long leave\n" in render("pause-activated", notices=notices, pause_reason="R17").text


@pytest.mark.parametrize(
    ("language", "greeting"), [("en", "Hello,\n"), ("de", "Guten Tag,\n"), ("fr", "Bonjour,\n"), ("es", "Hola:\n")]
)
def test_unnamed_contact_is_greeted_without_name(language: str, greeting: str) -> None:
    """A contact without a name, or with a name that cannot be shown, is greeted without it."""
    for name in (None, "\u202e"):  # bypass the validation of contacts: rendering must be safe without it
        contact = person(Role.MENTOR, locale=language).model_copy(update={"name": name})
        notice = NOTICES.render(
            event_of("pause-lifted"), Role.MENTOR, contact=contact, mentor=contact, happened_at=HAPPENED, now=HAPPENED
        )
        assert notice.text.startswith(greeting)


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
def test_no_value_becomes_markup_or_a_header(name: str, code: str, id_: str, language: str, role: Role) -> None:
    """Whatever names, ids and reasons hold, the tags stay the same and the subject stays one printable line."""
    # Bypass the validation of events, which refuses some of this: rendering must be safe without it.
    kind = EVENTS_BY_NAME["pause-activated"]
    back = datetime(2026, 5, 1, tzinfo=UTC)
    data = kind.model.model_construct(mentor_id=id_, expected_return_date=back, pause_reason=code)
    mentor = person(Role.MENTOR, locale=language).model_copy(update={"id": id_, "name": name})
    reader = mentor if role is Role.MENTOR else person(role, locale=language).model_copy(update={"name": name})
    notice = NOTICES.render(
        Event(kind, "1", "/tests", data), role, contact=reader, mentor=mentor, happened_at=HAPPENED, now=HAPPENED
    )
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

    assert "Mentoring pause ended: {{ 7 * 7 }}{% if %}" == notice.subject


def test_subject_and_text_are_not_escaped() -> None:
    """An ampersand stays as it is in subject and text, and is escaped in HTML."""
    coordinator = render("pause-activated", Role.COORDINATOR, mentor={"name": "O'Neil & Søn"})
    notice = render("pause-activated", pause_reason="a < b & c")

    assert "Mentoring pause started: O'Neil & Søn" == coordinator.subject
    assert "Reason: a < b & c\n" in notice.text
    assert "a &lt; b &amp; c" in notice.html


def test_long_subject_is_cut() -> None:
    """A very long subject is cut visibly to the greatest length; a long name is cut before, so the kind stays."""
    template = TEMPLATES.get_source(ENVIRONMENT, "en/pause-lifted.coordinator.j2")[0]
    long = template.replace("{% block subject %}", "{% block subject %}" + "x" * MAX_SUBJECT)
    notices = Notices(DictLoader({"en/pause-lifted.coordinator.j2": long}))
    cut = render("pause-lifted", Role.COORDINATOR, notices=notices).subject
    named = render("pause-lifted", Role.COORDINATOR, mentor={"name": "x" * 500}).subject

    assert "x" * (MAX_SUBJECT - 1) + "…" == cut
    assert ("Mentoring pause ended: xx", "x…") == (named[:25], named[-2:])


def test_a_failing_template_is_not_renderable() -> None:
    """A template that fails for one e-mail fails alone; the error names the template and no person."""
    template = (
        "{% extends layout %}{% set facts = [] %}{% set happened_as = '' %}"
        "{% block subject %}{{ 1 / (contact_name != 'Zero') }}{% endblock %}{% block preheader %}{% endblock %}"
        "{% block heading %}h{% endblock %}{% block lead %}l{% endblock %}{% block todo %}{% endblock %}"
    )
    notices = Notices(DictLoader({"en/pause-lifted.mentor.j2": template}))

    with pytest.raises(NotRenderable) as failure:
        render("pause-lifted", notices=notices, contact={"name": "Zero"})
    assert "en/pause-lifted.mentor.j2: ZeroDivisionError" == str(failure.value)
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("edition", [NOTICES._pages.text, NOTICES._pages.html])
def test_undefined_is_strict(edition: Any) -> None:
    """Both editions refuse an undefined name."""
    assert StrictUndefined is edition._environment.undefined


def test_no_file_is_read_after_construction() -> None:
    """Rendering reads no file: construction has read them all."""
    files = {name: TEMPLATES.get_source(ENVIRONMENT, name)[0] for name in TEMPLATES.list_templates()}
    notices = Notices(DictLoader(files))
    files.clear()

    for name, role, language in Notices.names():
        assert render(name, role, contact={"locale": language}) == render(
            name, role, contact={"locale": language}, notices=notices
        )


def test_names_cover_every_event_role_and_language() -> None:
    """There are eight notices in each language; a reminder is for mentors only, an escalation for coordinators."""
    names = list(Notices.names())

    assert 8 * len(LANGUAGES) == len(set(names)) == len(names)
    assert [("cert-expiry-reminder", Role.MENTOR, "en")] == [
        n for n in names if n[0].endswith("reminder") and n[2] == "en"
    ]
    assert [("notice-undelivered", Role.COORDINATOR, "en")] == [
        n for n in names if n[0].endswith("undelivered") and n[2] == "en"
    ]


@pytest.mark.parametrize("table", ["pause_reasons", "no_mail_reasons", "causes", "to_check"])
def test_all_languages_have_words_for_the_same_codes(table: str) -> None:
    """A code that only some languages have words for would be read in English, or as a code, in the others."""
    environment = environment_of(TEMPLATES, escaped=False)
    words = {language: environment.get_template(f"{language}/words.j2").module for language in LANGUAGES}
    codes = {language: sorted(getattr(module, table)) for language, module in words.items()}

    assert dict.fromkeys(LANGUAGES, codes["en"]) == codes


def test_no_template_is_unused() -> None:
    """Every template is a notice, a layout or the macros of a language."""
    notices = {f"{language}/{name}.{role}.j2" for name, role, language in Notices.names()}
    words = {f"{language}/words.j2" for language in LANGUAGES}

    assert notices | words | {"layout.html.j2", "layout.txt.j2"} == set(TEMPLATES.list_templates())


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "Not reached by e-mail: Amara Diallo", "Please tell Amara Diallo about this notice"),
        ("de", "Nicht per E-Mail erreicht: Amara Diallo", "auf anderem Weg an Amara Diallo weiter"),
        ("fr", "Injoignable par e-mail\u00a0: Amara Diallo", "transmettre ce message à Amara Diallo"),
        ("es", "Correo no entregado: Amara Diallo", "comunique este aviso a Amara Diallo"),
    ],
)
def test_an_escalation_says_who_and_what_to_do(language: str, subject: str, words: str) -> None:
    """The coordinator reads in the subject who could not be reached, and in the text what to do."""
    notice = render("notice-undelivered", Role.COORDINATOR, contact={"locale": language})

    assert subject == notice.subject
    assert words in notice.text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "have their contact details checked."),
        ("de", "lassen Sie die Kontaktdaten prüfen."),
        ("fr", "faire vérifier ses coordonnées."),
        ("es", "pida que se revisen sus datos de contacto."),
    ],
)
def test_a_coordinator_is_asked_to_have_an_address_checked(language: str, words: str) -> None:
    """If the mentor's address cannot work, a person has to mend it; one that is not wanted for e-mails is right."""
    texts = {
        reason: render(
            "pause-activated", Role.COORDINATOR, contact={"locale": language}, unreached=reason
        ).text.replace("\n", " ")
        for reason in (Reason.NO_ADDRESS, Reason.INVALID_CONTACT, Reason.BOUNCED, Reason.UNREACHABLE)
    }
    unwanted = render("pause-activated", Role.COORDINATOR, contact={"locale": language}, unreached=Reason.COMPLAINED)

    assert [] == [reason for reason, text in texts.items() if words not in text]
    assert words not in unwanted.text.replace("\n", " ")


@pytest.mark.parametrize(
    ("about", "english", "german"),
    [
        ("mentor.pause.activated.v1", "Notice: Mentoring pause started\n", "Mitteilung: Mentoring-Pause begonnen\n"),
        ("mentor.pause.lifted.v1", "Notice: Mentoring pause ended\n", "Mitteilung: Mentoring-Pause beendet\n"),
        (
            "mentor.certification.expired.v1",
            "Notice: Expiry of the mentoring cert",
            "Mitteilung: Ablauf der Mentoring-Zert",
        ),
        (
            "mentor.certification.expiring.v1",
            "Notice: Reminder that the mentoring cert",
            "Mitteilung: Erinnerung an den Ablauf",
        ),
        ("mentor.of.a.newer.release.v1", "Notice: not known\n", "Mitteilung: nicht bekannt\n"),
        ("<b>pause</b> http://evil.example", "Notice: not known\n", "Mitteilung: nicht bekannt\n"),
    ],
)
def test_an_escalation_says_which_notice(about: str, english: str, german: str) -> None:
    """The notice that did not arrive is named in words; a type that is not known leaves no trace."""
    for language, expected in (("en", english), ("de", german)):
        notice = render("notice-undelivered", Role.COORDINATOR, contact={"locale": language}, notice=about)

        assert expected in notice.text
        assert "evil" not in notice.text + notice.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_escalation_says_why(language: str) -> None:
    """Each cause reads differently."""
    texts = [
        render("notice-undelivered", Role.COORDINATOR, contact={"locale": language}, cause=cause).text
        for cause in Cause
    ]

    assert len(Cause) == len({*texts})


THIS_ADDRESS = re.compile("this address|diese Adresse|cette adresse|esta dirección", re.IGNORECASE)


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_escalation_points_to_no_address_that_it_does_not_show(language: str, cause: Cause) -> None:
    """A coordinator does not read the mentor's address, so no sentence says "this address"."""
    notice = render(
        "notice-undelivered",
        Role.COORDINATOR,
        contact={"locale": language},
        mentor={"email": "amara@home.example"},
        cause=cause,
    )

    assert "home.example" not in notice.subject + notice.text + notice.html
    assert [] == THIS_ADDRESS.findall(notice.text + notice.html)


COORDINATORS = [event.name for event in EVENTS_BY_NAME.values() if Role.COORDINATOR in event.roles]
WHY = {
    Reason.BOUNCED: {"en": "came back", "de": "zurückkam", "fr": "est revenu", "es": "fue devuelto"},
    Reason.COMPLAINED: {"en": "as unwanted", "de": "unerwünscht", "fr": "indésirable", "es": "no deseado"},
    Reason.UNREACHABLE: {
        "en": "could not be delivered",
        "de": "nicht zugestellt werden konnten",
        "fr": "pas pu être remis",
        "es": "no se pudieron entregar",
    },
    Reason.MANUAL: {"en": "switched off", "de": "abgeschaltet", "fr": "désactivé", "es": "desactivado"},
    Reason.NO_ADDRESS: {
        "en": "no e-mail address",
        "de": "keine E-Mail-Adresse",
        "fr": "aucune adresse",
        "es": "ninguna dirección",
    },
    Reason.INVALID_CONTACT: {"en": "not valid", "de": "ungültig", "fr": "pas valides", "es": "no son válidos"},
}


@pytest.mark.parametrize("name", COORDINATORS)
@pytest.mark.parametrize("reason", list(WHY))
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_coordinators_copy_says_that_the_mentor_was_not_told(name: str, reason: Reason, language: str) -> None:
    """It says so in words, with the reason, in place of what there would be to do otherwise."""
    usual = render(name, Role.COORDINATOR, contact={"locale": language})
    notice = render(name, Role.COORDINATOR, contact={"locale": language}, unreached=reason)
    lines = dict(zip(notice.text.splitlines(), usual.text.splitlines(), strict=True))
    (changed_line,) = [line for line in lines if line != lines[line]]

    assert usual.subject == notice.subject
    assert WHY[reason][language] in changed_line
    assert not THIS_ADDRESS.search(changed_line)
    assert 2 == Tags(notice.html).seen.count(changed_line)  # before and after the mail is opened
    assert lines[changed_line] not in Tags(notice.html).seen


def test_a_mentors_copy_never_says_that_they_were_not_told() -> None:
    """The sentence is for coordinators."""
    assert render("pause-activated") == render("pause-activated", unreached=Reason.BOUNCED)


@given(HOSTILE, st.sampled_from(LANGUAGES), st.sampled_from(list(WHY)))
def test_no_name_becomes_markup_in_the_sentence(name: str, language: str, reason: Reason) -> None:
    """A hostile name changes no tag of an escalation, or of a copy that says that the mentor was not told."""
    mentor = person(Role.MENTOR).model_copy(update={"name": name})
    reader = person(Role.COORDINATOR, locale=language)
    for event, unreached in ((event_of("notice-undelivered"), None), (event_of("pause-lifted"), reason)):
        made, harmless = (
            NOTICES.render(
                event,
                Role.COORDINATOR,
                contact=reader,
                mentor=about,
                happened_at=HAPPENED,
                now=HAPPENED,
                unreached=unreached,
            )
            for about in (mentor, person(Role.MENTOR))
        )

        assert Tags(harmless.html).found == Tags(made.html).found
        assert [] == HIDDEN.findall(made.subject)
        assert len(harmless.text.splitlines()) == len(made.text.splitlines())


EXPIRY = "2026-03-31T00:00:00Z"
EXPIRES = {
    "en": ("expires on 31 March 2026", "expires today", "expired on 31 March 2026"),
    "de": ("läuft am 31. März 2026 ab", "läuft heute ab", "am 31. März 2026 abgelaufen"),
    "fr": ("expire le 31 mars 2026", "expire aujourd’hui", "a expiré le 31 mars 2026"),
    "es": ("caduca el 31 de marzo de 2026", "caduca hoy", "caducó el 31 de marzo de 2026"),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("now", "tense"),
    [
        ("2025-03-31T08:30:00+00:00", 0),
        ("2026-03-30T23:59:59+00:00", 0),
        ("2026-03-31T00:00:00+00:00", 1),
        ("2026-03-31T23:59:59+00:00", 1),
        ("2026-04-01T00:00:00+00:00", 2),
        ("2027-03-31T00:00:00+00:00", 2),
    ],
)
def test_a_certification_expires_until_its_day_is_over(role: Role, language: str, now: str, tense: int) -> None:
    """Before its day it expires on that date, on its day today, and only later it has expired, in subject and text."""
    notice = render(
        "cert-expiry", role, contact={"locale": language}, now=datetime.fromisoformat(now), expiry_date=EXPIRY
    )
    others = {*EXPIRES[language]} - {EXPIRES[language][tense]}

    for text in (notice.subject, notice.text, Tags(notice.html).seen):
        assert re.search(EXPIRES[language][tense], text)
        assert [] == [other for other in others if re.search(other, text)]


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("America/New_York", "2026-03-31T03:59:00+00:00", "expires on 31 March 2026"),
        ("America/New_York", "2026-03-31T04:00:00+00:00", "expires today, 31 March 2026"),
        ("America/New_York", "2026-04-01T03:59:00+00:00", "expires today, 31 March 2026"),
        ("America/New_York", "2026-04-01T04:00:00+00:00", "expired on 31 March 2026"),
        ("Pacific/Auckland", "2026-03-30T13:00:00+00:00", "expires on 31 March 2026"),
        ("Pacific/Auckland", "2026-03-31T00:00:00+00:00", "expires today, 31 March 2026"),
        ("Pacific/Auckland", "2026-03-31T12:00:00+00:00", "expires today, 31 March 2026"),
    ],
)
def test_a_date_is_ahead_until_it_has_come_for_the_reader_and_in_utc(zone: str, now: str, expected: str) -> None:
    """No e-mail calls a date past that is still ahead in the reader's own calendar."""
    notice = render("cert-expiry", contact={"timezone": zone}, now=datetime.fromisoformat(now), expiry_date=EXPIRY)

    assert expected in notice.text


@pytest.mark.parametrize(("seconds", "is_ahead"), [(-1, True), (0, False), (1, False)])
def test_an_instant_is_ahead_until_that_instant(seconds: int, *, is_ahead: bool) -> None:
    """An instant with a time of day is past from that very second."""
    expiry = datetime(2026, 3, 31, 10, 15, tzinfo=UTC)
    notice = render("cert-expiry", now=expiry + timedelta(seconds=seconds), expiry_date=expiry)

    assert is_ahead == ("expires on" in notice.text)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    ("language", "labels", "recorded"),
    [
        ("en", ("Expected return: ", "Expected return today: ", "Return was expected: "), "recorded"),
        (
            "de",
            ("Voraussichtliche Rückkehr: ", "Voraussichtliche Rückkehr heute: ", "Rückkehr war vorgesehen: "),
            "erfasst",
        ),
        (
            "fr",
            ("Retour prévu\u00a0: ", "Retour prévu aujourd’hui\u00a0: ", "Retour initialement prévu\u00a0: "),
            "enregistrée",
        ),
        ("es", ("Regreso previsto: ", "Regreso previsto para hoy: ", "Regreso previsto inicialmente: "), "registr"),
    ],
)
def test_a_return_that_is_over_is_not_expected(
    role: Role, language: str, labels: tuple[str, ...], recorded: str
) -> None:
    """An e-mail about a pause that is over when it is sent does not say that the pause lasts."""
    before, on_the_day, after = (
        render(
            "pause-activated",
            role,
            contact={"locale": language},
            now=datetime(2026, 4, 30, 9, tzinfo=UTC) + timedelta(days=day),
        )
        for day in (0, 1, 2)
    )

    for notice, label in zip((before, on_the_day, after), labels, strict=True):
        assert label in notice.text
    assert recorded not in before.subject + before.text + on_the_day.subject + on_the_day.text
    assert recorded in after.subject
    assert recorded in after.text


BACK_DATED = {
    "en": ("recorded after the expected return", "Recorded: 26 March 2026", "Started", "have it corrected"),
    "de": ("erst nach der vorgesehenen Rückkehr erfasst", "Erfasst: 26. März 2026", "Beginn", "berichtigen"),
    "fr": ("après la date de retour prévue", "Enregistrée le\u00a0: 26 mars 2026", "Début", "faire corriger"),
    "es": ("después de la fecha de regreso prevista", "Registrado: 26 de marzo de 2026", "Inicio", "se corrija"),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("back", ["2026-03-25T00:00:00Z", "2026-03-26T08:29:59Z", "2025-05-01T00:00:00+02:00"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_return_before_the_start_starts_nothing(language: str, back: str, role: Role) -> None:
    """If the return is before the event, the pause was recorded after it; a coordinator is asked to check the date."""
    lead, recorded, started, ask = BACK_DATED[language]
    notice = render("pause-activated", role, contact={"locale": language}, expected_return_date=back)

    assert lead in notice.text
    assert recorded in notice.text
    assert started not in notice.text
    assert (role is Role.COORDINATOR) == (ask in notice.text)


@pytest.mark.parametrize("now", [HAPPENED, HAPPENED + timedelta(days=9)])
@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    ("happened", "back"),
    [
        ("2026-03-26T08:30:00+00:00", "2026-03-26T00:00:00Z"),
        ("2026-03-26T08:30:00+00:00", "2026-03-26T08:30:01Z"),
        ("2026-03-26T01:00:00+02:00", "2026-03-26T00:00:00+02:00"),
        ("2026-03-26T01:00:00+02:00", "2026-03-25T00:00:00Z"),
    ],
)
def test_a_return_on_the_day_of_the_start_is_not_before_it(happened: str, back: str, zone: str, now: datetime) -> None:
    """A return on the day of the start, in the offset of its date, leaves the pause started, whenever it is sent."""
    happened_at = parse_with_offset(happened)
    notice = render(
        "pause-activated", happened_at=happened_at, now=now, contact={"timezone": zone}, expected_return_date=back
    )

    assert "\nStarted: 2" in notice.text


@pytest.mark.parametrize(
    ("language", "over", "not_over"),
    [
        ("en", "expired on 26 March 2026", "expires"),
        ("de", "ist am 26. März 2026 abgelaufen", "läuft"),
        ("fr", "a expiré le 26 mars 2026", "expire"),
        ("es", "caducó el 26 de marzo de 2026", "caduca "),
    ],
)
def test_a_reminder_sent_after_its_day_says_so(language: str, over: str, not_over: str) -> None:
    """A reminder may still be sent on the morning after the expiry, and then says that it is over."""
    notice = render(
        "cert-expiry-reminder",
        contact={"locale": language},
        now=datetime(2026, 3, 27, 7, tzinfo=UTC),
        days_remaining=0,
    )

    assert over in notice.subject
    assert over in notice.text
    assert over in Tags(notice.html).seen
    assert not re.search(rf"\b{not_over}\b", (notice.text + notice.subject).lower())


NOT_SHOWN = st.text(min_size=1, max_size=60) | st.sampled_from(
    [
        "illness",
        "Maternity_Leave",
        "personal_leave ",
        "personal leave",
        " holiday",
        "burnout",
        "holiday,illness",
        "x" * 500,
    ]
)


@given(NOT_SHOWN, st.sampled_from(["en", "de", "fr", "de-AT"]))
def test_no_other_reason_reaches_the_coordinator(reason: str, locale: str) -> None:
    """A reason that is not on the list leaves no trace: every such reason leads to the same e-mail."""
    assume(reason.lower() not in PAUSE_REASONS_SHOWN)
    kind = EVENTS_BY_NAME["pause-activated"]
    back = datetime(2026, 5, 1, tzinfo=UTC)
    notices = []
    for text in (reason, "severe_illness"):
        data = kind.model.model_construct(mentor_id="mentor-1", expected_return_date=back, pause_reason=text)
        reader = person(Role.COORDINATOR, locale=locale)
        event = Event(kind, "1", "/tests", data)
        notices.append(
            NOTICES.render(
                event, Role.COORDINATOR, contact=reader, mentor=person(Role.MENTOR), happened_at=HAPPENED, now=HAPPENED
            )
        )

    assert notices[0] == notices[1]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Reason: Not stated\n"),
        ("de", "Grund: Keine Angabe\n"),
        ("fr", "Motif\u00a0: Non précisé\n"),
        ("es", "Motivo: No indicado\n"),
    ],
)
def test_a_hidden_reason_reads_not_stated(language: str, expected: str) -> None:
    """The coordinator reads "not stated", the mentor reads the reason."""
    coordinator = render("pause-activated", Role.COORDINATOR, contact={"locale": language}, pause_reason="illness")
    mentor = render("pause-activated", contact={"locale": language}, pause_reason="illness")

    assert expected in coordinator.text
    assert expected.rpartition(":")[2].strip() in coordinator.html
    assert expected not in mentor.text


def test_the_codes_shown_can_be_set() -> None:
    """An operator decides which codes a coordinator sees, whatever case they are sent in."""
    notices = Notices(reasons_shown=("illness",))

    shown = render("pause-activated", Role.COORDINATOR, notices=notices, pause_reason="Illness")
    kept_back = render("pause-activated", Role.COORDINATOR, notices=notices, pause_reason="personal_leave")

    assert "Reason: Illness\n" in shown.text
    assert "Reason: Not stated\n" in kept_back.text
