"""The runbooks: a page for each alert, and commands that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy.command.app import app
from deploy.monitoring.export import PREFIX, all_alerts, runbook
from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from tests.monitoring import promtool
from tests.monitoring.test_rules import known_metrics, used
from tests.test_plain_english import MOST_WORDS, prose, sentences, words

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "runbooks"
DRILLS = FOLDER / "drills.md"
PAGES = sorted(set(FOLDER.glob("*.md")) - {DRILLS})
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "How to know it is over"]
NAMES = {runbook(alert.name): alert.name for alert in all_alerts()}
OURS = "pause-notifications"
OTHERS = {
    "aws",
    "kubectl",
    "python",
    "kafka-acls.sh",
    "kafka-broker-api-versions.sh",
    "kafka-configs.sh",
    "kafka-consumer-groups.sh",
    "kafka-topics.sh",
}
"""What an operator has beside our command."""
EXAMPLES = {
    "SOURCE": "/hr/absences",
    "TEXT": "a mistake",
    "DISPATCH_ID": "4c6a3bf0e1d2c3b4a5968778695a4b3c",
    "CONTACT_ID": "mentor-042",
}
"""What stands for what an operator fills in."""

_FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_of_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))


def _fenced(page: Path, language: str) -> Iterator[str]:
    """Yield the text of each block of a page in that language."""
    yield from (text for name, text in _FENCE.findall(page.read_text(encoding="utf-8")) if name == language)


def _commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command: without what it reads, writes and pipes, and what `kubectl exec` runs."""
    for block in _fenced(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.strip():
                continue
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>")
            lexer.whitespace_split = True
            said = list(lexer)
            end = min((said.index(mark) for mark in "|<>" if mark in said), default=len(said))
            before, _, inside = " ".join(map(shlex.quote, said[:end])).partition(" -- ")
            yield shlex.split(before)
            if inside:
                yield shlex.split(inside)


def _all_commands() -> list[tuple[str, list[str]]]:
    return [(page.stem, command) for page in PAGES for command in _commands(page)]


def _parse(arguments: list[str]) -> None:
    """Parse the arguments as our command does, without running it; raise what it would complain about."""
    command: Any = typer.main.get_command(app)
    name, context = OURS, None
    while True:
        context = command.make_context(name, list(arguments), parent=context)
        if not hasattr(command, "commands"):
            return
        name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


class TestPages:
    """The pages."""

    def test_each_alert_has_one(self) -> None:
        """There is a page for each alert, and no other."""
        assert set(NAMES) == {page.name for page in PAGES}

    @_of_page
    def test_headings(self, page: Path) -> None:
        """A page has the alert's name and the five headings, in their order, and a text below each."""
        text = page.read_text(encoding="utf-8")
        parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)

        assert f"# {PREFIX}{NAMES[page.name]}" == parts[0].strip()
        assert HEADINGS == parts[1::2]
        assert [] == [heading for heading, part in zip(parts[1::2], parts[2::2], strict=True) if not part.strip()]

    @_of_page
    def test_sentences_are_short(self, page: Path) -> None:
        """No sentence has more than 30 words."""
        found = [one for text in prose(page.relative_to(ROOT)) for one in sentences(text) if words(one) > MOST_WORDS]

        assert [] == found

    def test_sentences_of_the_readme_are_short(self) -> None:
        """Nor has the page about the rules."""
        found = [one for text in prose("deploy/monitoring/README.md") for one in sentences(text)]

        assert [] == [one for one in found if words(one) > MOST_WORDS]

    def test_the_readme_names_alerts_that_exist(self) -> None:
        """Alerts that are kept silent as a consequence of others are alerts."""
        text = (ROOT / "deploy/monitoring/README.md").read_text(encoding="utf-8")
        named = {name for found in re.findall(rf"{PREFIX}\(([\w|]+)\)", text) for name in found.split("|")}

        assert named
        assert set() == named - set(NAMES.values())

    @_of_page
    def test_links_lead_somewhere(self, page: Path) -> None:
        """Each link to another page or heading of the project leads to one."""
        for target in re.findall(r"\]\((?!https:)([^)]*)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            text = (page.parent / path).read_text(encoding="utf-8")
            headings = {_anchor(found) for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}

            assert not anchor or anchor in headings, target

    @_of_page
    def test_settings_are_those_of_the_code(self, page: Path) -> None:
        """Each setting that a page names is one."""
        named = set(re.findall(r"`PAUSE_NOTIFICATIONS_(\w+)`", page.read_text(encoding="utf-8")))

        assert set() == {name for name in named if name.lower() not in ReplicaSettings.model_fields}


class TestCommands:
    """What the pages have somebody type."""

    @pytest.mark.parametrize(
        "command",
        [pytest.param(said, id=f"{page}-{' '.join(said[1:])}") for page, said in _all_commands() if said[0] == OURS],
    )
    def test_of_ours_parse(self, command: list[str]) -> None:
        """Our command takes these words and options."""
        _parse([EXAMPLES.get(word, word) for word in command[1:]])

    def test_a_missing_option_is_seen(self) -> None:
        """The parser is the command's own: a required option that is left out is an error."""
        with pytest.raises(Exception, match="reason"):
            _parse(["suppressions", "add", "mentor-042"])

    def test_others_are_known(self) -> None:
        """Every other command is of a program that an operator has."""
        assert set() == {said[0] for _, said in _all_commands()} - OTHERS - {OURS}

    def test_kubectl_names_what_is_deployed(self) -> None:
        """Deployments and labels are those of the manifests."""
        text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
        files = [path.read_text(encoding="utf-8") for path in (ROOT / "deploy/kubernetes").rglob("*.yaml")]
        objects = [found for file in files for found in yaml.safe_load_all(file) if found]
        deployed = {found["metadata"]["name"] for found in objects if found.get("kind") == "Deployment"}

        assert set() == set(re.findall(r"\b(?:deploy|deployment)[/ ](pause-notifications-[\w-]+)", text)) - deployed
        for label, value in set(re.findall(r" -l ([\w./-]+)=([\w-]+)", text)):
            assert f"{label}: {value}\n" in "".join(files)

    def test_kafka_commands_name_our_topics_and_group(self) -> None:
        """Topics and the group are those of the code."""
        text = "".join(block for page in PAGES for block in _fenced(page, "sh"))
        topics = set(re.findall(r"(?:--topic|--entity-name) ([\w.-]+)", text))

        assert set() == topics - set(Topics().all)
        assert {ReplicaSettings().group_id} == set(re.findall(r"--group ([\w.-]+)", text))

    def test_searches_find_what_is_logged(self) -> None:
        """Every word that a log is searched for is an event's name, or the first word of one."""
        sources = [path for room in ("runtime", "consumers", "service") for path in (ROOT / room).rglob("*.py")]
        code = "".join(path.read_text(encoding="utf-8") for path in sources)
        text = "".join(block for page in PAGES for block in _fenced(page, "sh"))
        searched = {word for found in re.findall(r"grep -E '([^']*)'", text) for word in found.split("|")}

        assert set() == {word for word in searched if not re.search(rf'"{re.escape(word)}["._]', code)}


class TestExpressions:
    """What the pages have somebody ask Prometheus."""

    def test_metrics_exist(self) -> None:
        """Every metric is in the registry of a program."""
        known = known_metrics()
        named = {name for page in PAGES for expr in _fenced(page, "promql") for name in used(expr)}

        assert set() == named - set(known)

    def test_prometheus_takes_them(self, tmp_path: Path) -> None:
        """Every expression is one."""
        promtool.required()
        asked = [expr.strip() for page in PAGES for expr in _fenced(page, "promql")]
        rules = [{"record": f"asked_{number}", "expr": expr} for number, expr in enumerate(asked)]
        file = tmp_path / "asked.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), encoding="utf-8")

        assert promtool.check_rules(file) == ""
