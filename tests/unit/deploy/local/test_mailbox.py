"""Accepted mails of the local SES: the list, the counters and the mailbox page."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy.local.mailbox.page import FILES
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

    @pytest.mark.parametrize("words", ["unal", "ÜNAL", "grusse", "Straße", "strasse", "lodz", "sirin"])
    def test_ignores_case_and_accents(self, local_ses: LocalSesClient, words: str) -> None:
        """What somebody types without accents finds what has them, in names, addresses, subjects and texts."""
        text = "Łódź, Große Straße, Şirin"
        body = {"Text": {"Data": text, "Charset": "UTF-8"}}
        simple = {"Subject": {"Data": "Grüße", "Charset": "UTF-8"}, "Body": body}
        local_ses.send(Content={"Simple": simple}, to="=?utf-8?q?=C3=9Cnal?= <mentor@example.org>")
        local_ses.send(subject="another")

        assert ["Grüße"] == [mail["subject"] for mail in local_ses.mails(q=words)]

    def test_has_names_beside_addresses(self) -> None:
        """A name is that of the mail itself, or else that of the contact with the address; a search finds it."""
        app = create_app(names={"Ada@Example.com": "Ada Byron"})
        with running(app) as address, httpx.Client(base_url=address, timeout=5) as http:
            for to in ("ada@example.com", "=?utf-8?q?=C3=9Cnal?= <ada@example.com>", "=?utf-8?q?a=0Ab?= <x@y.z>"):
                http.post("/v2/email/outbound-emails", json=email(to=to)).raise_for_status()
            mails = http.get("/admin/mails").json()["mails"]
            found = http.get("/admin/mails", params={"q": "byron"}).json()["total"]

        assert [
            [{"name": "", "address": "=?utf-8?q?a=0Ab?= <x@y.z>"}],
            [{"name": "Ünal", "address": "ada@example.com"}],
            [{"name": "Ada Byron", "address": "ada@example.com"}],
        ] == [mail["people"]["to"] for mail in mails]
        assert 1 == found

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

    def test_marks_mails_as_read(self, local_ses: LocalSesClient) -> None:
        """A mail is unread until somebody marks it, and may be unread again."""
        first, _ = local_ses.send(), local_ses.send()
        counts = []
        for read in (True, True, False):
            local_ses.http.patch(f"/admin/mails/{first}", json={"read": read}).raise_for_status()
            counts.append(local_ses.http.get("/admin/mails").json()["unread"])

        assert [1, 1, 2] == counts
        assert not local_ses.mail(first)["read"]

    @pytest.mark.parametrize("body", [{}, {"read": 1}, {"read": True, "subject": "x"}])
    def test_changes_nothing_else(self, local_ses: LocalSesClient, body: dict[str, Any]) -> None:
        """Any other change gets 422 and says what can be changed."""
        answer = local_ses.http.patch(f"/admin/mails/{local_ses.send()}", json=body)

        assert (422, True) == (answer.status_code, '{"read": true}' in answer.json()["message"])

    def test_deletes_one_or_all(self, local_ses: LocalSesClient) -> None:
        """One mail can be deleted, and all; a deleted mail is 404."""
        first = local_ses.send(subject="first")
        local_ses.send(subject="second")

        statuses = [local_ses.http.delete(f"/admin/mails/{first}").status_code for _ in range(2)]
        left = [mail["subject"] for mail in local_ses.mails()]
        local_ses.http.delete("/admin/mails").raise_for_status()

        assert [200, 404] == statuses
        assert ["second"] == left
        assert [] == local_ses.mails()

    def test_says_whether_a_mail_has_changed(self, local_ses: LocalSesClient) -> None:
        """The page asks for the list only after a change: each one has another version."""
        versions = [local_ses.stats()["mails_version"]]
        message_id = local_ses.send()
        versions.append(local_ses.stats()["mails_version"])
        for method, part, body in (
            ("PATCH", "", {"read": True}),
            ("POST", "/reports", {"report": "bounce"}),
            ("DELETE", "", None),
        ):
            local_ses.http.request(method, f"/admin/mails/{message_id}{part}", json=body).raise_for_status()
            versions.append(local_ses.stats()["mails_version"])
        versions.append(local_ses.stats()["mails_version"])

        assert 5 == len(set(versions))
        assert versions[-1] == versions[-2]

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
        mail = f"/admin/mails/{local_ses.send()}"
        unknown = [("GET", "/x"), ("GET", "/admin/x"), ("GET", "/admin/mails/x"), ("GET", f"{mail}/x")]
        wrong = [("POST", "/admin/stats"), ("PUT", "/"), ("POST", f"{mail}/eml"), ("GET", f"{mail}/reports")]

        answers = [local_ses.http.request(method, path).status_code for method, path in unknown + wrong]

        assert [404] * 4 + [405] * 4 == answers


class TestPage:
    """The page and its content."""

    @pytest.mark.parametrize(("path", "content_type"), [(path, kind.decode()) for path, (_, kind) in FILES.items()])
    def test_is_served_with_a_strict_policy(self, local_ses: LocalSesClient, path: str, content_type: str) -> None:
        """The files of the page have a policy that forbids other origins and inline code."""
        answer = local_ses.http.get(path)

        assert (200, content_type) == (answer.status_code, answer.headers["content-type"])
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy

    def test_fetches_nothing_from_other_hosts(self, local_ses: LocalSesClient) -> None:
        """No file of the page fetches from another origin; the frame is fully sandboxed."""
        page = "".join(local_ses.http.get(path).text for path in FILES if path != "/favicon.ico")

        assert [] == re.findall(r"""(?:src|href|url\(|import)\s*[=(]?\s*["']?(?:https?:)?//""", page)
        assert ['sandbox=""'] == re.findall(r"sandbox=\S*", page)
        assert [] == re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page)

    def test_has_a_label_for_each_state_and_a_button_for_each_report(self, local_ses: LocalSesClient) -> None:
        """Each state has a plain label, and each button has a report that the local SES takes."""
        page, script = local_ses.http.get("/").text, local_ses.http.get("/elements.js").text
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

    def test_shows_html_in_either_colour_scheme(self, local_ses: LocalSesClient) -> None:
        """A mail with colours for the dark is shown in them, or without them, whatever the browser prefers."""
        html = "<style>:root{color-scheme:light dark} @media (prefers-color-scheme: dark) {p{color:#fff}}</style><p>a"
        simple = {"Subject": {"Data": "s"}, "Body": {"Html": {"Data": html}}}
        path = f"/admin/mails/{local_ses.send(Content={'Simple': simple})}/html"

        shown = {scheme: local_ses.http.get(path, params={"scheme": scheme}).text for scheme in ("dark", "light")}

        for scheme, condition in (("dark", "(min-width: 0)"), ("light", "(max-width: 0)")):
            expected = html.replace("(prefers-color-scheme: dark)", condition)
            assert f"{expected}<style>:root {{ color-scheme: {scheme} !important }}</style>" == shown[scheme]
        assert html == local_ses.http.get(path).text
        assert 422 == local_ses.http.get(path, params={"scheme": "sepia"}).status_code

    def test_leaves_html_without_colour_schemes_alone(self, local_ses: LocalSesClient) -> None:
        """A mail that declares no colour scheme looks alike in both, as in most mail programs."""
        path = f"/admin/mails/{local_ses.send()}/html"

        assert "<p>Hello Ada</p>" == local_ses.http.get(path, params={"scheme": "dark"}).text

    def test_downloads_a_mail_for_mail_programs(self, local_ses: LocalSesClient) -> None:
        """The file is a download that no browser shows, and has what was sent."""
        message_id = local_ses.send(subject="Grüße")

        answer = local_ses.http.get(f"/admin/mails/{message_id}/eml")
        message = message_from_bytes(answer.content, policy=default)

        assert "message/rfc822" == answer.headers["content-type"]
        assert f'attachment; filename="{message_id}.eml"' == answer.headers["content-disposition"]
        assert "nosniff" == answer.headers["x-content-type-options"]
        assert ("Grüße", "mentor-042@example.com") == (message["Subject"], message["To"])

    def test_empty_page_has_a_command_for_the_real_port(self) -> None:
        """The command on the empty page posts the contract's example to the facade of this stack, and is escaped."""
        with running(create_app(facade="http://127.0.0.1:9000/<x>")) as address:
            page = httpx.get(address).text

        assert "curl http://127.0.0.1:9000/&lt;x&gt;/api/v1/pause-notifications/pause-activated " in page
        assert "mentor-042" in page
        assert "{{" not in page

    def test_is_alive(self, local_ses: LocalSesClient) -> None:
        """The liveness probe answers 200, to GET and HEAD."""
        assert [200, 200] == [local_ses.http.request(method, "/livez").status_code for method in ("GET", "HEAD")]


def _subjects(http: httpx.Client) -> list[str]:
    """Return the subjects of the list."""
    return [mail["subject"] for mail in http.get("/admin/mails").raise_for_status().json()["mails"]]
