"""A page whose gaps are filled equals the page rendered for that one e-mail, whatever its templates do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader, UndefinedError, nodes

from consumers.notices.looked_into import looked_into
from consumers.notices.notices import Notices, _template_name
from consumers.notices.pages import Pages, _Page
from schemas.contacts import Contact, shows_something
from schemas.dispatch import Reason
from schemas.events import ALL_EVENTS, Event, Role

HAPPENED = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
NOTICE = "en/pause-lifted.coordinator.j2"
LAYOUT = "{{ words.greeting(contact_name) }}{% block lead %}{% endblock %}{{ self.subject() }}"
NOTICES = Notices()

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30).map(str.strip)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"])


def parsed(source: str) -> nodes.Template:
    """Return the syntax of a template."""
    return Environment(autoescape=True).parse(source)


def plain(pages: Pages, name: str, values: dict[str, Any]) -> tuple[str, str, str]:
    """Render a notice with these very values, without gaps."""
    return (
        pages.text.rendered(name, "subject", values),
        pages.text.rendered(name, "", values),
        pages.html.rendered(name, "", values),
    )


@pytest.mark.parametrize(("name", "role", "language"), list(Notices.names()))
@settings(max_examples=50)
@given(
    contact_name=NAMES.filter(lambda name: not name or shows_something(name)),
    mentor_name=NAMES.filter(lambda name: not name or shows_something(name)),
    zone=ZONES,
    reason=st.sampled_from(["personal_leave", "<b>", "\ufdd0mentor\ufdd1 {{ mentor }}"]),
    now=st.sampled_from([HAPPENED, HAPPENED + timedelta(days=365)]),
    unreached=st.sampled_from([None, Reason.BOUNCED, Reason.MANUAL]),
)
def test_a_filled_page_equals_the_rendered_page(
    name: str,
    role: Role,
    language: str,
    contact_name: str,
    mentor_name: str,
    zone: str,
    reason: str,
    now: datetime,
    unreached: Reason | None,
) -> None:
    """However often a page was used before, each e-mail reads as its templates say."""
    kind = next(kind for kind in ALL_EVENTS if kind.name == name)
    data = {**kind.example, **({"pause_reason": reason} if name == "pause-activated" else {})}
    event = Event(kind, "1", "/tests", kind.model.model_validate(data))
    contact = Contact(id="c-1", role=role, name=contact_name or None, locale=language, timezone=zone)
    mentor = Contact(id="m-1", role=Role.MENTOR, name=mentor_name or None)
    coordinator = Contact(id="c-2", role=Role.COORDINATOR, name=mentor_name) if mentor_name else None

    values = NOTICES._values(
        event,
        role,
        contact=contact,
        mentor=mentor,
        coordinator=coordinator,
        happened_at=HAPPENED,
        now=now,
        unreached=unreached,
    )
    template = _template_name(name, role, language)

    assert plain(NOTICES._pages, template, values) == NOTICES._pages.render(template, values)


@pytest.mark.parametrize("name", sorted(NOTICES._pages.looked_into))
def test_few_values_make_a_page_of_their_own(name: str) -> None:
    """Our templates look into none of the texts that differ from person to person, so pages are shared."""
    looked = NOTICES._pages.looked_into[name]

    assert [] == [
        value
        for value in (
            *("contact_name", "mentor_name", "mentor", "coordinator_name", "coordinator_address"),
            *("happened", "expiry_date", "expiry_date_day", "expires_on", "in_days", "pause_reason"),
        )
        if value in looked
    ]
    assert ("pause_reason_code" in looked) == ("pause-activated" in name)


def test_a_mark_that_was_cut_open_is_no_gap() -> None:
    """A page with half a mark is refused: no reader ever sees one."""
    with pytest.raises(ValueError, match="only to show"):
        _Page("Hello \ufdd0contact")


class TestTemplates:
    """A template may do with a value whatever Jinja can."""

    @staticmethod
    def pages(text: str) -> Pages:
        """Return the pages of a notice with this text in its subject and its lead, in a small layout."""
        macros = (
            "{% macro shout(loud) %}{{ loud | upper }}{% endmacro %}{% macro show(plain) %}<{{ plain }}>{% endmacro %}"
        )
        filled = "".join(f"{{% block {name} %}}{macros}{text}{{% endblock %}}" for name in ("subject", "lead"))
        blocks = filled + "".join(f"{{% block {name} %}}{{% endblock %}}" for name in ("preheader", "heading", "todo"))
        files = {NOTICE: "{% extends layout %}" + blocks, "layout.txt.j2": LAYOUT, "layout.html.j2": LAYOUT}
        loader = ChoiceLoader([DictLoader(files), PackageLoader("consumers.notices")])
        return Pages(loader, [NOTICE])

    @staticmethod
    def values(mentor: str, contact: str = "Jonas & <Co>") -> dict[str, Any]:
        """Return what a template is given."""
        return {
            "role": "coordinator",
            "contact_name": contact,
            "mentor_name": mentor,
            "mentor": f"{mentor} (m-1)",
            "happened": "26 March 2026",
            "unreached": "",
            "can_reply": False,
            "n": 3,
        }

    LOOKING = (
        "{{ mentor_name | upper }}",
        "{{ mentor_name[1:] }}",
        "{{ mentor_name.title() }}",
        "{{ mentor_name | length }}",
        "{{ 'x' if mentor_name == 'Amara' else 'y' }}",
        "{% if 'A' in mentor_name %}A{% endif %}",
        "{% if mentor_name is string and mentor_name is lower %}lower{% endif %}",
        "{% for c in mentor_name %}x{% endfor %}",
        "{{ [mentor_name] }}",
        "{{ {'Amara': 1}.get(mentor_name, mentor_name) }}",
        "{{ shout(mentor_name) }}",
        "{{ shout(loud=mentor_name) }}",
        "{{ show(mentor_name) | length }}",
        "{{ words.greeting(mentor_name) | replace('Hello', 'Hi') }}",
        "{% set f = shout %}{{ f(mentor_name) }}",
        "{% set n = mentor_name %}{{ n | reverse }}",
        "{% set a, b = mentor_name, 'x' %}{{ a | lower }}{{ b }}",
        "{% set rows = [('a', mentor_name)] %}{% for a, b in rows %}{{ b | upper }}{% endfor %}",
        "{% set rows = [('a', mentor_name)] %}{% for row in rows %}{{ row[1] }}{% endfor %}",
        "{% set rows = [('a', mentor_name)] %}{% for row in rows %}{{ row }}{% endfor %}",
        "{% set rows = [mentor_name, 'A', 'A'] %}{% for x in rows %}{{ loop.changed(x) }}{% endfor %}",
        "{% for x in [mentor_name, 'z', 'Z'] | sort %}{{ x }}{% endfor %}",
        "{% macro m() %}{{ kwargs.x | upper }}{% endmacro %}{{ m(x=mentor_name) }}",
        "{% macro m() %}{{ varargs | first | upper }}{% endmacro %}{{ m(mentor_name) }}",
        "{% macro m() %}{{ mentor_name }}{% endmacro %}{{ m() | upper }}",
        "{{ namespace(a=mentor_name).a | upper }}",
    )
    DOUBTFUL = (
        "{% set n %}({{ mentor_name }}){% endset %}{{ n | length }}",
        "{% with n = mentor_name ~ '!' %}{{ n | length }}{% endwith %}",
        "{% macro m(a=mentor_name) %}{{ a | upper }}{% endmacro %}{{ m() }}",
        "{% set n %}<b>{{ mentor_name }}</b>{% endset %}{{ n }}",
        "{% filter upper %}{{ mentor_name }}{% endfilter %}",
        "{% set n | upper %}{{ mentor_name }}{% endset %}{{ n }}",
        "{% macro m() %}{{ caller() | upper }}{% endmacro %}{% call m() %}{{ mentor_name }}{% endcall %}",
        "{% set ns = namespace(a='') %}{% set ns.a = mentor_name %}{{ ns.a | upper }}",
        "{% autoescape false %}{{ mentor_name }}{% endautoescape %}",
        "{% set words = {'greeting': shout} %}{{ words.greeting(mentor_name) }}",
        "{% for x in [1, 2] recursive %}{{ mentor_name }}{% if x == 1 %}{{ loop([2]) | upper }}{% endif %}{% endfor %}",
    )
    SHOWING = (
        "{{ mentor_name }}",
        "{% if mentor_name %}{{ mentor_name }}{% else %}nobody{% endif %}",
        "{{ 'nobody' if not mentor_name else mentor_name }}",
        "{{ mentor_name or 'nobody' }}",
        "{{ '<' ~ mentor_name ~ '>' }}",
        "{{ '<' + mentor_name }}",
        "{{ show(mentor_name) }}",
        "{{ '(' ~ show(mentor_name) }}",
        "{{ words.greeting(mentor_name) }}",
        "{% set n = mentor_name %}{{ n }}",
        "{% set a, b = mentor_name, 'x' %}{{ a }}{{ b }}",
        "{% for a, b in [('x', mentor_name)] + [('y', contact_name)] %}{{ a }}{{ b }}{% endfor %}",
        "{% for x in [mentor_name, ''] if x %}{{ x }}{% endfor %}",
        "{% for x in [] %}{{ x }}{% else %}{{ mentor_name }}{% endfor %}",
    )  # fmt: skip

    @pytest.mark.parametrize("text", [*LOOKING, *DOUBTFUL, *SHOWING])
    def test_is_rendered_rightly(self, text: str) -> None:
        """One after another, e-mails to different people read as their template says."""
        pages = self.pages(text)

        for mentor in ("Amara", "amara diallo", "", "<b>", "O'Neil & Søn", "A" * 60):
            values = self.values(mentor)
            assert plain(pages, NOTICE, values) == pages.render(NOTICE, values)

    @pytest.mark.parametrize("text", LOOKING)
    def test_a_value_is_looked_into(self, text: str) -> None:
        """A value that decides anything is found, and only that one."""
        looked = self.pages(text).looked_into[NOTICE]

        assert "mentor_name" in looked
        assert "contact_name" not in looked

    @pytest.mark.parametrize("text", DOUBTFUL)
    def test_in_doubt_all_values_are(self, text: str) -> None:
        """Syntax that is not followed makes every e-mail a page of its own."""
        looked = self.pages(text).looked_into[NOTICE]

        assert "mentor_name" in looked
        assert "a value of a later release" in looked

    @pytest.mark.parametrize("text", SHOWING)
    def test_a_value_is_only_shown(self, text: str) -> None:
        """A value that comes out as it went in is a gap."""
        assert "mentor_name" not in self.pages(text).looked_into[NOTICE]

    def test_a_block_shown_again_in_capitals(self) -> None:
        """What another block shows of a value counts, too."""
        source = "{% block subject %}{{ mentor_name }}{% endblock %}{{ self.subject() | upper }}"

        assert "mentor_name" in looked_into([parsed(source)])
        assert "mentor_name" not in looked_into([parsed(source.replace(" | upper", ""))])

    def test_a_list_within_itself_ends(self) -> None:
        """A value that gets deeper at every turn is looked into."""
        source = "{% set x = mentor %}{% set x = [x] %}{{ x }}"

        assert "mentor" in looked_into([parsed(source)])

    FIELDS = st.sampled_from(["mentor_name", "contact_name", "mentor", "happened"])

    @staticmethod
    def expressions() -> st.SearchStrategy[str]:
        """Generate expressions that show, choose, join, change and compare values."""
        leaves = TestTemplates.FIELDS | st.sampled_from(
            ["'x'", "'<A>'", "''", "v", "w", "show(v)", "words.greeting(w)"]
        )
        return st.recursive(
            leaves,
            lambda inner: st.one_of(
                st.builds("({} ~ {})".format, inner, inner),
                st.builds("({} or {})".format, inner, inner),
                st.builds("({} if {} else {})".format, inner, inner, inner),
                st.builds("({} if {} == {} else '-')".format, inner, inner, inner),
                st.builds(
                    "({} | {})".format, inner, st.sampled_from(["upper", "length", "first", "e", "trim", "string"])
                ),
                st.builds("{}({})".format, st.sampled_from(["shout", "show", "words.greeting"]), inner),
                st.builds("[{}, {}]".format, inner, inner),
                st.builds("({} | string)[1:]".format, inner),
            ),
            max_leaves=5,
        )

    @staticmethod
    def statements() -> st.SearchStrategy[str]:
        """Generate templates out of such expressions."""
        value = TestTemplates.expressions()
        variable = st.sampled_from(["v", "w"])
        return st.recursive(
            st.builds("{{{{ {} }}}}".format, value),
            lambda inner: st.one_of(
                st.builds("{}{}".format, inner, inner),
                st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, value, inner, inner),
                st.builds("{{% for {} in [{}, {}] %}}{}{{% endfor %}}".format, variable, value, value, inner),
                st.builds("{{% for v, w in [({}, {})] %}}{}{{% endfor %}}".format, value, value, inner),
                st.builds("{{% for {} in {} %}}{}{{% endfor %}}".format, variable, value, inner),
                st.builds("{{% set {} = {} %}}{}".format, variable, value, inner),
                st.builds("{{% set {} %}}{}{{% endset %}}{}".format, variable, inner, inner),
                st.builds("{{% with {} = {} %}}{}{{% endwith %}}".format, variable, value, inner),
                st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, inner),
            ),
            max_leaves=5,
        )

    @given(st.data())
    def test_whatever_a_template_does(self, data: st.DataObject) -> None:
        """Any template reads the same with gaps as without, for one person after another."""
        body = data.draw(self.statements())
        try:
            pages = self.pages("{% set v = 'v' %}{% set w = mentor %}" + body)
        except UndefinedError:  # Jinja computes constants while it compiles: such a template stops the start
            reject()

        for mentor in ("Amara", "<b>A&a</b>", "", "x" * 40):
            values = self.values(mentor, contact=mentor[::-1])
            try:
                expected = plain(pages, NOTICE, values)
            except Exception:  # noqa: BLE001, S112 - that template fails for this person, whichever way it is rendered
                continue
            assert expected == pages.render(NOTICE, values)
