"""The prefix that a proxy removes, ambiguous paths, and HEAD requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from schemas.dispatch import Status
from schemas.events import Role
from service.problems import INVALID_PATH
from tests.fakes.facade import BASE, Setup, ends, fake_facade, never, recipient

LIFTED = {"mentor_id": "mentor-042"}


@pytest.fixture(name="setup")
async def _setup() -> AsyncIterator[Setup]:
    async with fake_facade(trust_forwarded_prefix=True) as setup:
        setup.replica(ends(recipient(Role.MENTOR, Status.SENT)))
        yield setup


class TestAmbiguous:
    """Paths that two readers may read differently."""

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/pause-notifications%2Fpause-lifted",
            "/api/v1/pause-notifications%2fpause-lifted",
            "/api%5Cv1",
            "/docs%00",
            f"{BASE}/dispatches/a%2Fb",
        ],
    )
    async def test_refused(self, setup: Setup, path: str) -> None:
        """An encoded slash, backslash or NUL is 400, whatever the path is."""
        answer = await setup.client.post(path, json=LIFTED)

        assert 400 == answer.status_code
        assert INVALID_PATH.uri == answer.json()["type"]
        assert [] == setup.publisher.records
        assert 1.0 == setup.facade.metrics.registry.get_sample_value(
            "pause_notifications_answers_total", {"endpoint": "other", "status": "400", "asked": ""}
        )

    async def test_other_encodings(self, setup: Setup) -> None:
        """An encoded letter is that letter."""
        answer = await setup.client.post(f"{BASE}/pause%2Dlifted?x=%2F", json=LIFTED)

        assert 200 == answer.status_code


class TestPrefix:
    """The prefix that a proxy removed is part of all our addresses."""

    async def test_location(self, setup: Setup) -> None:
        """A Location leads through the proxy."""
        setup.replica(never)
        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=0", X_Forwarded_Prefix="/team/notify/")

        assert answer.headers["location"].startswith(f"/team/notify{BASE}/dispatches/")

    async def test_problems(self, setup: Setup) -> None:
        """A problem's type leads to its page, and the paths that it names have the prefix."""
        answer = await setup.client.post("/nowhere", headers={"X-Forwarded-Prefix": "/team"})
        body = answer.json()

        assert "/team/problems/no-such-endpoint" == body["type"]
        assert f"POST /team{BASE}/pause-lifted" in body["detail"]
        assert f"GET /team{BASE}/dispatches/{{dispatch_id}}" in body["detail"]
        assert "/team/docs" in body["detail"]

    async def test_documents(self, setup: Setup) -> None:
        """The documentation has the prefix only for requests that came through the proxy."""
        headers = {"X-Forwarded-Prefix": "/team"}
        document = (await setup.client.get("/openapi.json", headers=headers)).json()
        page = (await setup.client.get("/docs", headers=headers)).text
        problem = (await setup.client.get("/problems/not-json", headers=headers)).text
        without = (await setup.client.get("/openapi.json")).json()

        assert [{"url": "/team"}] == document["servers"]
        assert without.get("servers") is None
        assert [] == [text for text in ('"/team/openapi.json"', f"/team{BASE}/pause-lifted") if text not in page]
        assert "/team/problems/not-json" in problem

    @pytest.mark.parametrize(("prefix", "leads_to"), [(None, "/docs"), ("/", "/docs"), ("/team", "/team/docs")])
    async def test_start(self, setup: Setup, prefix: str | None, leads_to: str) -> None:
        """The root leads to the documentation."""
        answer = await setup.client.get("/", headers={"X-Forwarded-Prefix": prefix} if prefix else {})

        assert 307 == answer.status_code
        assert leads_to == answer.headers["location"]

    @pytest.mark.parametrize(
        "prefix",
        [
            "team",
            "//evil.example",
            "/a/../b",
            "/a b",
            "/a?b",
            "/a%2Fb",
            "https://evil.example",
            "/a,/b",
            "/" + "a" * 256,
        ],
    )
    async def test_malformed(self, setup: Setup, prefix: str) -> None:
        """A prefix that is not a plain path is 400, and is not repeated in the answer."""
        answer = await setup.client.get("/", headers={"X-Forwarded-Prefix": prefix})

        assert 400 == answer.status_code
        assert INVALID_PATH.uri == answer.json()["type"]
        assert prefix not in answer.text

    async def test_twice(self, setup: Setup) -> None:
        """Two prefixes are 400: one of them is not the proxy's."""
        answer = await setup.client.get("/", headers=[("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b")])

        assert 400 == answer.status_code

    async def test_not_trusted(self) -> None:
        """By default the header is ignored."""
        async with fake_facade() as setup:
            answer = await setup.client.get("/", headers={"X-Forwarded-Prefix": "/evil"})

        assert "/docs" == answer.headers["location"]


class TestHead:
    """HEAD requests."""

    @pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/problems/not-json", f"{BASE}/dispatches/none"])
    async def test_as_get(self, setup: Setup, path: str) -> None:
        """HEAD is answered with the status and headers of GET."""
        answered = [await setup.client.request(method, path) for method in ("HEAD", "GET")]
        shown = [
            (answer.status_code, answer.headers.get("content-type"), answer.headers.get("content-length"))
            for answer in answered
        ]

        assert shown[0] == shown[1]

    @pytest.mark.parametrize("path", [f"{BASE}/dispatches/none", "/docs"])
    async def test_allowed(self, setup: Setup, path: str) -> None:
        """The answer to another method names both."""
        answer = await setup.client.delete(path)

        assert {"GET", "HEAD"} == set(answer.headers["allow"].split(", "))
