"""The steps of deploy/README.md: by their labels each is applied, in an order in which nothing is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.kubernetes.built import OVERLAYS, ROOT, Object, built, container_of, pod_of, workloads

LABEL = "app.kubernetes.io/component"
STEP = re.compile(
    rf"^ *kubectl apply -k \$overlay -l '?{re.escape(LABEL)}(?:=(\w+)| (notin) \(([\w,]+)\))'?$", re.MULTILINE
)


def _selected(objects: tuple[Object, ...]) -> Iterator[list[Object]]:
    """Yield what each step of a new environment applies."""
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## A new environment\n")[2].partition("\n## ")[0]
    for only, _, others in STEP.findall(section):
        but = set(others.split(",")) if others else set()
        labels = [(found, found["metadata"].get("labels", {}).get(LABEL)) for found in objects]
        yield [found for found, value in labels if (value == only if only else value not in but)]


def _named(objects: list[Object]) -> set[tuple[str, str]]:
    return {(found["kind"], found["metadata"]["name"]) for found in objects}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_job_finds_what_it_needs(overlay: str) -> None:
    """When a workload is applied, its ServiceAccount and the settings are there or come with it."""
    applied: set[tuple[str, str]] = set()
    for step in _selected(built(overlay)):
        assert step
        applied |= _named(step)
        for workload in workloads(step).values():
            (settings,) = [
                one["configMapRef"]["name"] for one in container_of(workload)["envFrom"] if "configMapRef" in one
            ]
            needed = {("ServiceAccount", pod_of(workload)["serviceAccountName"]), ("ConfigMap", settings)}

            assert set() == needed - applied


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_is_applied_and_no_program_before_the_contacts(overlay: str) -> None:
    """The steps together apply everything, the Jobs before the programs."""
    steps = [_named(step) for step in _selected(built(overlay))]
    order = [
        next(n for n, step in enumerate(steps) if (kind, name) in step)
        for kind, name in (
            ("Job", "pause-notifications-topics"),
            ("Job", "pause-notifications-contacts"),
            ("Deployment", "pause-notifications-replica"),
        )
    ]

    assert _named(list(built(overlay))) == set().union(*steps)
    assert [1, 2, 3] == order
