"""Templates of one's own: they replace ours file by file, and each mistake is named with its file and line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from jinja2 import BaseLoader, DictLoader, Environment, PackageLoader

from consumers import bootstrap
from consumers.notices.locales import LANGUAGES
from consumers.notices.notices import Notices
from consumers.notices.own_templates import InvalidTemplates, OwnTemplates, checked_pages, templates_in
from runtime.process import StartRefused
from runtime.settings import ReplicaSettings
from schemas.events import ALL_EVENTS
from tests.unit.consumers.notices.test_notices import render

OURS = PackageLoader("consumers.notices")
NOTICE = "en/pause-lifted.mentor.j2"
WHOLE = """\
{% extends layout %}
{% set facts = [] %}
{% set happened_as = "Lifted" %}
{% block subject %}Back at Acme{% endblock %}
{% block preheader %}Your pause has ended.{% endblock %}
{% block heading %}Back{% endblock %}
{% block lead %}
Welcome back, {{ contact_name | upper }}.
{% endblock %}
{% block todo %}
You do not need to do anything.
{% endblock %}
"""


def written(folder: Path, **files: str) -> Path:
    """Write templates into a folder by their names, with `__` for the slash and without the suffix."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/').replace('_', '-')}.j2"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the templates in a folder; paths are relative to it."""
    with pytest.raises(InvalidTemplates) as refused:
        Notices(templates_in(folder))
    return str(refused.value).replace(f"{folder}/", "").splitlines()


def source(name: str) -> str:
    """Return one of our templates."""
    return OURS.get_source(Environment(autoescape=True), name)[0]


def notice(folder: Path, text: str) -> list[str]:
    """Return what is wrong if our notice is replaced by this text."""
    (folder / "en").mkdir()
    (folder / NOTICE).write_text(text, encoding="utf-8")
    return faults(folder)


def test_one_file_is_replaced(tmp_path: Path) -> None:
    """A file replaces ours, and may look into any value; all others are ours."""
    (tmp_path / "en").mkdir()
    (tmp_path / NOTICE).write_text(WHOLE, encoding="utf-8")
    own = Notices(templates_in(tmp_path))

    assert "Welcome back, AMARA DIALLO." in render("pause-lifted", notices=own).text
    assert "Back at Acme" == render("pause-lifted", notices=own).subject
    assert render("pause-activated") == render("pause-activated", notices=own)


def test_a_mounted_folder(tmp_path: Path) -> None:
    """Kubernetes links each folder to hidden data, which changes at once; these are found and name no fault."""
    (tmp_path / "..2026_01_01").mkdir()
    written(tmp_path / "..2026_01_01", en__pause_lifted="")  # an older state, which is not looked at
    data = tmp_path / "..data"
    (data / "en").mkdir(parents=True)
    (data / NOTICE).write_text(WHOLE, encoding="utf-8")
    (tmp_path / "en").symlink_to("..data/en")

    assert "Back at Acme" == render("pause-lifted", notices=Notices(templates_in(tmp_path))).subject


def test_links_that_lead_back_end_nothing(tmp_path: Path) -> None:
    """A folder with a link to itself is read once, and no deeper than its languages."""
    written(tmp_path, en__pause_lifted_mentor="")
    (tmp_path / "en" / "up").symlink_to(tmp_path)

    assert ["en/pause-lifted-mentor.j2"] == OwnTemplates(tmp_path).list_templates()


@pytest.mark.parametrize("kind", ["dangling", "loop", "folder", "pipe"])
def test_a_template_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Ours does not silently take the place of one that cannot be opened."""
    path = tmp_path / "en" / "pause-lifted.mentor.j2"
    path.parent.mkdir()
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")

    assert ["en/pause-lifted.mentor.j2: is not a file"] == faults(tmp_path)


def test_a_folder_without_templates_is_refused(tmp_path: Path) -> None:
    """A folder that holds no template is probably the wrong one."""
    with pytest.raises(InvalidTemplates, match="no template"):
        templates_in(tmp_path)


def test_ours_are_sound() -> None:
    """Our own templates pass every check, and none of them is unused."""
    everything = DictLoader({name: source(name) for name in OURS.list_templates()})

    assert render("pause-lifted") == render("pause-lifted", notices=Notices(everything))


class TestFaults:
    """The message about a mistake."""

    def test_of_an_unknown_variable(self, tmp_path: Path) -> None:
        """A variable that nobody defines is named, also in a branch that is hardly ever taken."""
        text = WHOLE.replace("{{ contact_name | upper }}", "{% if not role %}{{ mentor_nmae }}{% endif %}")

        assert [f"{NOTICE}:8: unknown variable mentor_nmae"] == notice(tmp_path, text)

    def test_of_a_value_of_another_event(self, tmp_path: Path) -> None:
        """A value that only other events have is unknown here."""
        text = WHOLE.replace("Back at Acme", "{{ expiry_date }}")

        assert [f"{NOTICE}:4: unknown variable expiry_date"] == notice(tmp_path, text)

    def test_of_missing_blocks(self, tmp_path: Path) -> None:
        """All missing blocks are named at once."""
        text = "{# ours #}\n{% extends layout %}{% set facts = [] %}{% set happened_as = '' %}"

        expected = [f"{NOTICE}:2: no block {name}" for name in ("heading", "lead", "preheader", "subject", "todo")]
        assert expected == notice(tmp_path, text)

    def test_of_a_notice_without_layout(self, tmp_path: Path) -> None:
        """A notice that does not extend the layout would be sent without greeting."""
        text = WHOLE.replace("{% extends layout %}\n", "")

        assert f"{NOTICE}:1: must begin with {{% extends layout %}}" in notice(tmp_path, text)

    def test_of_what_the_layout_needs(self, tmp_path: Path) -> None:
        """A name that the layout needs from each notice is named in the layout's line."""
        (fault,) = {one.partition(": ")[2] for one in notice(tmp_path, WHOLE.replace("facts", "rows"))}

        assert "unknown variable facts" == fault

    @pytest.mark.parametrize(
        ("wrong", "line", "says"),
        [
            ("{% if %}", 8, "Expected an expression"),
            ("{{ contact_name | shout }}", 8, "No filter named 'shout'"),
            ("{{ words.farewell(contact_name) }}", 8, "en/words.j2 defines no farewell"),
            ("{{ contact_name.first }}", 8, "UndefinedError: 'str object' has no attribute 'first'"),
            ("{{ 1 / (contact_name | length) }}", 8, "ZeroDivisionError: division by zero"),  # in the second sample
        ],
    )
    def test_of_a_text(self, tmp_path: Path, wrong: str, line: int, says: str) -> None:
        """Syntax errors, filters and macros that do not exist, and errors of a trial are named with their line."""
        (first, *_) = notice(tmp_path, WHOLE.replace("{{ contact_name | upper }}", wrong))

        assert first.startswith(f"{NOTICE}:{line}: ")
        assert says in first

    def test_of_an_include_that_is_missing(self, tmp_path: Path) -> None:
        """It is named where it is included."""
        (fault, *_) = notice(tmp_path, WHOLE.replace("{{ contact_name | upper }}", "{% include 'x.j2' %}"))

        assert f"{NOTICE}:8: x.j2: no such template" == fault

    @pytest.mark.parametrize(("block", "line"), [("subject", 4), ("lead", 7)])
    def test_of_a_block_without_text(self, tmp_path: Path, block: str, line: int) -> None:
        """Nobody would open an e-mail without a subject, and nobody would be told by one without a lead."""
        empty = re.sub(rf"({{% block {block} %}}).*?({{% endblock %}})", r"\1 \2", WHOLE, flags=re.DOTALL)

        assert [f"{NOTICE}:{line}: block {block} is empty"] == notice(tmp_path, empty)

    def test_of_a_use_of_a_macro(self, tmp_path: Path) -> None:
        """What goes wrong in a macro is named there, and where the notice uses it."""
        (fault, *_) = notice(tmp_path, WHOLE.replace("{{ contact_name | upper }}", "{{ words.greeting() }}"))

        assert fault.endswith(
            f"/templates/en/words.j2:2: UndefinedError: parameter 'name' was not provided (used at {NOTICE}:8)"
        )

    def test_of_macros(self, tmp_path: Path) -> None:
        """Macros that lack one that a notice uses are named where it is used."""
        lacking = source("en/words.j2").replace("macro expected_return(", "macro expected_back(")

        found = faults(written(tmp_path, en__words=lacking))
        assert [] == [one for one in found if not one.endswith(": en/words.j2 defines no expected_return")]
        assert any("/templates/en/pause-activated.mentor.j2:3: " in one for one in found)

    def test_of_a_variable_in_macros(self, tmp_path: Path) -> None:
        """Macros see only what they are given."""
        text = "{% macro greeting(name) %}Hello {{ contact_name }}{% endmacro %}\n"
        ours = source("en/words.j2")
        found = faults(written(tmp_path, en__words=ours + text))

        assert [f"en/words.j2:{ours.count(chr(10)) + 1}: unknown variable contact_name"] == found

    def test_of_a_name_that_nothing_uses(self, tmp_path: Path) -> None:
        """A misspelt file would change nothing, so it is named; other files may lie there."""
        (tmp_path / "README.md").write_text("Our texts", encoding="utf-8")

        assert ["en/pause-lifted-mentor.j2: no notice uses it"] == faults(
            written(tmp_path, en__pause_lifted_mentor=WHOLE)
        )

    def test_of_an_included_file(self, tmp_path: Path) -> None:
        """A file may include others of the folder, which are checked as well."""
        written(tmp_path, brand="<b>Acme</b>{{ colour }}")

        text = WHOLE.replace("Back at Acme", "{% include 'brand.j2' %}")
        assert ["brand.j2:1: unknown variable colour"] == notice(tmp_path, text)

    @pytest.mark.parametrize("name", OURS.list_templates())
    def test_of_any_missing_file(self, name: str) -> None:
        """A notice, a layout or the macros of a language that nobody brings are named."""
        rest: BaseLoader = DictLoader({other: source(other) for other in OURS.list_templates() if other != name})
        samples: dict[str, list[dict[str, str]]] = {
            f"{language}/{kind.name}.{role}.j2": [{}]
            for language in LANGUAGES
            for kind in ALL_EVENTS
            for role in kind.roles
            if name in {f"{language}/{kind.name}.{role}.j2", f"{language}/words.j2"} or name.startswith("layout")
        }

        with pytest.raises(InvalidTemplates) as refused:
            checked_pages(DictLoader({}), rest, samples, {})
        assert f"{name}: no such template" in str(refused.value).splitlines()


def test_a_replica_does_not_start_with_them(tmp_path: Path) -> None:
    """The replica refuses to start, before it looks for Kafka, and names the file and the line."""
    settings = ReplicaSettings(templates_dir=written(tmp_path, en__words="{% macro"))

    with pytest.raises(StartRefused, match=r"en/words\.j2:1: "):
        bootstrap._notices(settings)
