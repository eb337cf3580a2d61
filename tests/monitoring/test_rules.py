"""The rules: each fires, does not fire, and ends; and each says what it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from consumers.metrics import replica_metrics
from deploy.monitoring.export import FOLDER, PREFIX, all_alerts, exports, rules, runbook
from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB, Alert, Severity, Site
from runtime.metrics import http_refusals, program_registry
from service.metrics import make_metrics
from tests.monitoring import program_stories, promtool, sending_stories
from tests.monitoring.promtool import Story

RULES = FOLDER / "rules.yaml"
STORIES = (*sending_stories.STORIES, *program_stories.STORIES)
ALERTS = all_alerts()


def _key(rule: Alert | Story) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return rule.alert if isinstance(rule, Story) else rule.name, str(rule.severity), tuple(sorted(rule.labels.items()))


class TestStories:
    """What each rule does, by promtool."""

    @pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.alert}-{story.severity}-{story.name}")
    def test_fires_as_told(self, story: Story, tmp_path: Path) -> None:
        """The alert fires when the story has it, and not before or after."""
        promtool.required()

        assert promtool.told(story, RULES, tmp_path) == ""

    def test_a_wrong_story_is_seen(self, tmp_path: Path) -> None:
        """A story that expects what the rule does not do fails."""
        promtool.required()
        (story,) = [one for one in STORIES if one.name == "credentials have expired"]
        wrong = Story(story.name, story.alert, story.severity, story.series, firing=("5m",))

        assert "FAILED" in promtool.told(wrong, RULES, tmp_path)

    @pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: "-".join((*_key(rule)[:2], *rule.labels.values())))
    def test_every_rule_has_stories(self, rule: Alert) -> None:
        """For each rule one story fires and ends, and another one does not fire."""
        told = [story for story in STORIES if _key(story) == _key(rule)]

        assert [] != [story for story in told if story.recovers]
        assert [] != [story for story in told if not story.firing]

    def test_every_story_is_of_a_rule(self) -> None:
        """No story is about an alert that is gone."""
        assert set() == {_key(story) for story in STORIES} - {_key(rule) for rule in ALERTS}


class TestFiles:
    """What is written."""

    def test_files_agree_with_the_rules(self) -> None:
        """The files are those that the code makes."""
        written = {name: (FOLDER / name).read_text(encoding="utf-8") for name, _ in exports(Site())}

        assert dict(exports(Site())) == written, "run: make contracts"

    def test_prometheus_takes_them(self) -> None:
        """Promtool has no complaint."""
        promtool.required()

        assert promtool.check_rules(RULES) == ""

    def test_a_misspelt_function_is_seen(self, tmp_path: Path) -> None:
        """Promtool's check is strict about expressions."""
        promtool.required()
        broken = tmp_path / "broken.yaml"
        broken.write_text(RULES.read_text(encoding="utf-8").replace("max_over_time", "most_over_time"))

        assert "most_over_time" in promtool.check_rules(broken)

    def test_the_operator_gets_the_same_rules(self) -> None:
        """The PrometheusRule has what Prometheus reads, and no more."""
        found = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text(encoding="utf-8"))

        assert ("monitoring.coreos.com/v1", "PrometheusRule") == (found["apiVersion"], found["kind"])
        assert yaml.safe_load(RULES.read_text(encoding="utf-8")) == found["spec"]

    def test_the_monitor_finds_the_pods(self) -> None:
        """The PodMonitor selects the pods of both programs, and a port that they have."""
        spec = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text(encoding="utf-8"))["spec"]
        (endpoint,), (expression,) = spec["podMetricsEndpoints"], spec["selector"]["matchExpressions"]

        for component in ("facade", "replica"):
            path = next((FOLDER.parent / "kubernetes").rglob(f"{component}.yaml"))
            (deployment,) = [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one["kind"] == "Deployment"]
            pod = deployment["spec"]["template"]
            labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]

            assert spec["selector"]["matchLabels"].items() <= labels.items()
            assert labels[expression["key"]] in expression["values"]
            assert endpoint["port"] in [port["name"] for port in container["ports"]]

    @pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: "-".join((*_key(rule)[:2], *rule.labels.values())))
    def test_every_alert_says_what_it_needs(self, rule: Alert) -> None:
        """An alert has a known severity, sentences, and a value or label of what it is about."""
        assert rule.severity in Severity
        assert [rule.summary[-1], rule.description[-1]] == [".", "."]
        assert "{{ $" in rule.description

    def test_the_monitor_calls_programs_as_the_rules_do(self) -> None:
        """The job of a pod is the one that rules select, made from the component."""
        (endpoint,) = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text("utf-8"))["spec"]["podMetricsEndpoints"]
        (relabeling,) = endpoint["relabelings"]

        assert "job" == relabeling["targetLabel"]
        assert {FACADE_JOB, REPLICA_JOB} == {
            relabeling["replacement"].replace("$1", component) for component in ("facade", "replica")
        }

    def test_a_prometheus_beside_compose_scrapes_both(self) -> None:
        """The configuration is one, and its jobs and names are those of the rules and of compose."""
        promtool.required()
        path = FOLDER / "prometheus.yaml"
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
        services = yaml.safe_load((FOLDER.parent / "compose.yaml").read_text(encoding="utf-8"))["services"]

        assert promtool.check_config(path) == ""
        assert {FACADE_JOB, REPLICA_JOB} == {job["job_name"] for job in jobs}
        assert {name for job in jobs for name in job["dns_sd_configs"][0]["names"]} <= set(services)

    def test_none_of_it_ships(self) -> None:
        """Rules and runbooks stay out of the wheel."""
        project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        excluded = project["tool"]["hatch"]["build"]["targets"]["wheel"]["exclude"]

        assert {"deploy/monitoring", "deploy/runbooks"} <= set(excluded)

    def test_settings_reach_the_rules(self) -> None:
        """Runbooks' address, partitions and retention are those of the installation."""
        text = yaml.safe_dump(rules(Site("https://runbooks.example.org/", 48, 7)))

        assert "runbook_url: https://runbooks.example.org/halted.md" in text
        assert "of 48 partitions" in text
        assert f"{7 * 86_400} - (time()" in text

    def test_runbooks_are_addressed_by_words(self) -> None:
        """The page of an alert has its words."""
        assert "partition-without-owner.md" == runbook("PartitionWithoutOwner")


TARGET = {"job", "pod", "instance", "namespace"}


def known_metrics() -> dict[str, set[str]]:
    """Return the labels of each metric family of both programs."""
    registry = program_registry()
    replica_metrics(registry)
    http_refusals(registry)
    known: dict[str, set[str]] = {}
    for one in (registry, make_metrics().registry):
        for collector in one._collector_to_names:
            for family in collector.collect():
                labels = set(getattr(collector, "_labelnames", ()))
                known.setdefault(family.name, set()).update(labels | {"le"} if family.type == "histogram" else labels)
    return known


def used(expr: str) -> dict[str, set[str]]:
    """Return the metric families that an expression names, with the labels that it selects by."""
    found: dict[str, set[str]] = {}
    plain = re.sub(r'"[^"]*"', '""', expr)
    for name, selector in re.findall(r"(?<![\w:])(pause_notifications_\w+|process_\w+)(?!:)(?:\{([^}]*)\})?", plain):
        family = re.sub(r"_(total|bucket|count|sum)$", "", name)
        found.setdefault(family, set()).update(re.findall(r"(\w+)\s*(?:=|!)", selector))
    return found


class TestNames:
    """Rules ask for what the programs report."""

    def _used(self) -> dict[str, set[str]]:
        together: dict[str, set[str]] = {}
        for group in rules(Site())["groups"]:
            for rule in group["rules"]:
                for name, labels in used(rule["expr"]).items():
                    together.setdefault(name, set()).update(labels)
        return together

    def test_metrics_exist(self) -> None:
        """Every metric of a rule is in the registry of a program."""
        assert set() == set(self._used()) - set(known_metrics())

    def test_labels_exist(self) -> None:
        """Every label that a rule selects by is one of that metric, or of what Prometheus scrapes."""
        known = known_metrics()
        unknown = {name: labels - known[name] - TARGET for name, labels in self._used().items() if name in known}

        assert {} == {name: labels for name, labels in unknown.items() if labels}

    def test_values_stand_from_the_start(self) -> None:
        """Every value of a label that a rule selects stands in the first scrape; only halts come and go."""
        registry = program_registry()
        replica_metrics(registry)
        scraped = "".join(generate_latest(one).decode() for one in (registry, make_metrics().registry))
        exprs = [rule["expr"] for group in rules(Site())["groups"] for rule in group["rules"]]
        selected = {pair for expr in exprs for pair in re.findall(r'\b\w+!?="[^"]*"', expr)}
        pairs = {pair.replace("!=", "=") for pair in selected if not pair.startswith(("reason", "job"))}

        assert 'le="60.0"' in pairs
        assert set() == {pair for pair in pairs if pair not in scraped}

    def test_an_unknown_metric_is_seen(self) -> None:
        """The look at expressions finds names and labels, not the names of recorded rules."""
        expr = 'rate(pause_notifications_halts_total{reason="x",pod!="y"}[5m]) + pause_notifications:a:ratio_5m'

        assert {"pause_notifications_halts": {"reason", "pod"}} == used(expr)

    def test_prefix(self) -> None:
        """Alerts of this service are told from those of others by their first word."""
        names = [rule["alert"] for group in rules(Site())["groups"] for rule in group["rules"] if "alert" in rule]

        assert [] == [name for name in names if not name.startswith(PREFIX)]
