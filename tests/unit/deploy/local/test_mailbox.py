"""Accepted mails of the local SES: the list, the counters and the mailbox page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy.local.ses.app import create_app
from deploy.local.ses.outcomes import BY_NAME
from deploy.local.ses.server import running
from schemas.feedback import FeedbackState
from tests.unit.deploy.local.ses_client import email

if TYPE_CHECKING:
    from tests.unit.deploy.local.ses_client import LocalSesClient


class TestMails:
    """The list of accepted mails, and the counters."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ["third", "second", "first"]),
            ({"q": "SECOND"}, ["second"]),
            ({"q": "hello ada"}, ["third", "second", "first"]),
            ({"q": "recipient:mentor-2"}, ["second"]),
            ({"q": "nothing like it"}, []),
            ({"to": "B@example.com"}, ["second"]),
            ({"to": "example.com"}, []),
            ({"tag": "recipient:mentor-3"}, ["third"]),
            ({"tag": ["recipient:mentor-3", "dispatch_id:1"]}, []),
            ({"limit": 1, "offset": 1}, ["second"]),
            ({"q": "example.com", "limit": 2}, ["third", "second"]),
        ],
    )
    def test_finds_by_text_recipient_and_tag(
        self, local_ses: LocalSesClient, query: dict[str, Any], expected: list[str]
    ) -> None:
        """The list is newest first, and mails must meet every condition."""
        for number, (subject, name) in enumerate((("first", "a"), ("second", "b"), ("third", "c")), start=1):
            tags = [{"Name": "dispatch_id", "Value": str(number)}, {"Name": "recipient", "Value": f"mentor-{number}"}]
            local_ses.send(subject=subject, to=f"N <{name}@example.com>", EmailTags=tags)

        assert expected == [mail["subject"] for mail in local_ses.mails(**query)]

    def test_counts_all_matches(self, local_ses: LocalSesClient) -> None:
        """The total is over all pages."""
        for _ in range(3):
            local_ses.send()

        page = local_ses.http.get("/admin/mails", params={"q": "pause", "limit": 1}).json()

        assert (3, 3, 1) == (page["total"], page["kept"], len(page["mails"]))

    @pytest.mark.parametrize("query", ["limit=x", "limit=1001", "offset=-1", "tag=nocolon"])
    def test_refuses_invalid_parameters(self, local_ses: LocalSesClient, query: str) -> None:
        """An invalid parameter gets 422 with a message."""
        answer = local_ses.http.get(f"/admin/mails?{query}")

        assert 422 == answer.status_code
        assert answer.json()["message"]

    def test_keeps_the_newest_within_its_limits(self) -> None:
        """The store is limited in number and size; the oldest are removed first."""
        app = create_app(keep=3, keep_characters=50_000)
        with running(app) as address, httpx.Client(base_url=address, timeout=5) as http:
            for subject in ("a", "b", "c", "d"):
                http.post("/v2/email/outbound-emails", json=email(subject=subject)).raise_for_status()
            by_number = _subjects(http)
            http.post("/v2/email/outbound-emails", json=email(subject="e" * 60_000)).raise_for_status()
            by_size = _subjects(http)

        assert ["d", "c", "b"] == by_number
        assert ["e" * 60_000] == by_size

    def test_counts_calls(self, local_ses: LocalSesClient) -> None:
        """The counters have accepted mails, errors by name, and calls in flight."""
        local_ses.send()
        local_ses.set_faults(refuse_all="MessageRejected")
        with pytest.raises(local_ses.ses.exceptions.MessageRejected):
            local_ses.send()

        stats = local_ses.stats()

        assert (2, 1, {"MessageRejected": 1}) == (stats["calls"], stats["accepted"], stats["errors"])
        assert (0, 1, 1) == (stats["calls_in_flight"], stats["max_calls_in_flight"], stats["kept"])
        assert stats["first_accepted_at"] == stats["last_accepted_at"]

    def test_unknown_paths_and_methods_are_errors(self, local_ses: LocalSesClient) -> None:
        """A wrong path gets 404, a wrong method 405."""
        asked = [("GET", "/x"), ("GET", "/admin/x"), ("GET", "/admin/mails/x"), ("POST", "/admin/stats"), ("PUT", "/")]

        answers = [local_ses.http.request(method, path).status_code for method, path in asked]

        assert [404, 404, 404, 405, 405] == answers


class TestPage:
    """The page and its content."""

    @pytest.mark.parametrize(
        ("path", "content_type"),
        [("/", "text/html"), ("/mailbox.css", "text/css"), ("/mailbox.js", "text/javascript")],
    )
    def test_is_served_with_a_strict_policy(self, local_ses: LocalSesClient, path: str, content_type: str) -> None:
        """The files of the page have a policy that forbids other origins and inline code."""
        answer = local_ses.http.get(path)

        assert (200, True) == (answer.status_code, answer.headers["content-type"].startswith(content_type))
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy

    def test_fetches_nothing_from_other_hosts(self, local_ses: LocalSesClient) -> None:
        """No file of the page fetches from another origin; the frame is fully sandboxed."""
        page = "".join(local_ses.http.get(path).text for path in ("/", "/mailbox.css", "/mailbox.js"))

        assert [] == re.findall(r"""(?:src|href|url\(|import)\s*[=(]?\s*["']?(?:https?:)?//""", page)
        assert ['sandbox=""'] == re.findall(r"sandbox=\S*", page)
        assert [] == re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page)

    def test_has_a_label_for_each_state_and_a_button_for_each_report(self, local_ses: LocalSesClient) -> None:
        """Each state has a plain label, and each button has a report that the local SES takes."""
        page, script = local_ses.http.get("/").text, local_ses.http.get("/mailbox.js").text
        buttons = re.findall(r'data-report="(\w+)"', page)

        assert [] == [state for state in FeedbackState if f'{state}: "' not in script]
        assert {"delivery", "bounce", "complaint"} <= set(buttons) <= set(BY_NAME)

    def test_shows_html_without_script_or_network(self, local_ses: LocalSesClient) -> None:
        """The HTML of a mail is served unchanged, with a policy that forbids scripts and requests."""
        message_id = local_ses.send()

        answer = local_ses.http.get(f"/admin/mails/{message_id}/html")

        assert "<p>Hello Ada</p>" == answer.text
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none';")
        assert "allow-" not in policy

    def test_is_alive(self, local_ses: LocalSesClient) -> None:
        """The liveness probe answers 200, to GET and HEAD."""
        assert [200, 200] == [local_ses.http.request(method, "/livez").status_code for method in ("GET", "HEAD")]


def _subjects(http: httpx.Client) -> list[str]:
    """Return the subjects of the list."""
    return [mail["subject"] for mail in http.get("/admin/mails").raise_for_status().json()["mails"]]
