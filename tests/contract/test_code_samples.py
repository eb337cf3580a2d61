"""The code on the documentation page, run as it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.events import EVENTS
from service.answers import BASE_PATH
from service.app import openapi_document
from service.code_samples import post_samples, samples_of
from tests.contract.installed import compiles_java, need, present, require, runs
from tests.ended import ended
from tests.fakes.facade import served_facade

KIND = EVENTS[0]
RUN = {
    "curl": ("call.sh", ["bash"], lambda: need(lambda: present("curl"), "curl")),
    "Python": ("call.py", ["python3"], lambda: None),
    "Java": ("Call.java", ["java"], lambda: need(compiles_java, "default-jdk-headless")),
    "Go": ("call.go", ["go", "run"], lambda: require(lambda: runs("go", "version"), "Go")),
    "Node.js": ("call.mjs", ["node"], lambda: need(lambda: present("node"), "nodejs")),
}
"""The file, the command, and what must be installed, by the sample's label."""


@pytest.fixture(name="served")
async def _served() -> AsyncIterator[str]:
    async with served_facade() as served:
        yield served.address


@pytest.mark.timeout(400)  # CI may have to install a program first
@pytest.mark.parametrize("label", [pytest.param(one, marks=[pytest.mark.slow] if one == "Go" else []) for one in RUN])
async def test_each_sample_gets_its_outcome(served: str, tmp_path: Path, label: str) -> None:
    """The code prints status and body: 200, and who was notified."""
    file, command, check = RUN[label]
    await asyncio.to_thread(check)
    path = f"{BASE_PATH}/{KIND.name}"
    (sample,) = (one for one in post_samples(path, KIND.example, "key-1", served) if one.label == label)
    (tmp_path / file).write_text(sample.source, encoding="utf-8")

    ran = await ended(*command, file, within=100, cwd=tmp_path)

    assert 0 == ran.code, ran.errors
    assert "200" in ran.out
    assert "coordinator-007" in ran.out


def test_every_endpoint_has_samples() -> None:
    """There are samples in all languages for each POST endpoint, with its own address."""
    shown = {one.path: one.code for one in samples_of(openapi_document())}

    assert {f"{BASE_PATH}/{kind.name}" for kind in EVENTS} == set(shown)
    assert [] == [code.label for path, codes in shown.items() for code in codes if path not in code.source]
    assert [list(RUN)] * len(EVENTS) == [[code.label for code in codes] for codes in shown.values()]
