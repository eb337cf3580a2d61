"""Simulated faults of the local SES, and its quotas."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from deploy.local.ses.errors import ERRORS
from deploy.local.ses.quota import RollingDay, SendRate
from tests.waiting import until

if TYPE_CHECKING:
    from tests.unit.deploy.local.ses_client import LocalSesClient

MODELLED = [
    "AccountSuspendedException",
    "BadRequestException",
    "LimitExceededException",
    "MailFromDomainNotVerifiedException",
    "MessageRejected",
    "NotFoundException",
    "SendingPausedException",
    "TooManyRequestsException",
]


def _outcomes(local_ses: LocalSesClient, count: int) -> list[str]:
    """Send *count* e-mails and return the outcome of each."""
    fates = []
    for _ in range(count):
        try:
            local_ses.send()
        except ClientError as error:
            fates.append(error.response["Error"]["Code"])
        except ConnectionClosedError:
            fates.append("dropped")
        else:
            fates.append("sent")
    return fates


class TestErrors:
    """Errors, set by a fault or by the state of the account."""

    def test_modelled_errors_are_all_of_them(self, local_ses: LocalSesClient) -> None:
        """The list that is tested below is that of botocore."""
        shapes = local_ses.ses.meta.service_model.operation_model("SendEmail").error_shapes

        assert MODELLED == sorted(shape.name for shape in shapes)

    @pytest.mark.parametrize("name", MODELLED)
    def test_boto3_raises_the_modelled_exception(self, local_ses: LocalSesClient, name: str) -> None:
        """Each error becomes boto3's own class, with the status of SES and a message."""
        local_ses.set_faults(refuse={"Mentor-042@example.com": name})

        with pytest.raises(getattr(local_ses.ses.exceptions, name)) as caught:
            local_ses.send()

        status, message = ERRORS[name]
        assert status == caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert message == caught.value.response["Error"]["Message"]

    def test_a_missing_right_for_a_recipient_has_their_address(self, local_ses: LocalSesClient) -> None:
        """AccessDenied for one recipient has their identity, as IAM does in the sandbox."""
        local_ses.set_faults(refuse={"Mentor-042@example.com": "AccessDeniedException"})

        with pytest.raises(ClientError, match=r"identity/mentor-042@example\.com"):
            local_ses.send()

    @pytest.mark.parametrize("name", sorted(set(ERRORS) - set(MODELLED)))
    def test_other_errors_arrive_by_code(self, local_ses: LocalSesClient, name: str) -> None:
        """A common AWS error becomes a ClientError with its code and status."""
        local_ses.set_faults(refuse_all=name)

        with pytest.raises(ClientError) as caught:
            local_ses.send()

        response = caught.value.response
        assert (name, ERRORS[name][0]) == (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])

    @pytest.mark.parametrize(
        ("faults", "error", "account"),
        [
            ({"paused": True}, "SendingPausedException", (False, "HEALTHY", True)),
            ({"suspended": True}, "AccountSuspendedException", (False, "SHUTDOWN", True)),
            ({"sandbox": True}, "MessageRejected", (True, "HEALTHY", False)),
        ],
    )
    def test_account_states_show_in_both_places(
        self, local_ses: LocalSesClient, faults: dict[str, Any], error: str, account: tuple[bool, str, bool]
    ) -> None:
        """A stopped account refuses sends, and GetAccount shows why."""
        local_ses.set_faults(**faults)

        described = local_ses.ses.get_account()

        assert [error] == _outcomes(local_ses, 1)
        assert account == (
            described["SendingEnabled"],
            described["EnforcementStatus"],
            described["ProductionAccessEnabled"],
        )

    def test_sandbox_sends_to_verified_recipients_only(self, local_ses: LocalSesClient) -> None:
        """The sandbox accepts verified recipients and the simulator; the error has the address that is neither."""
        local_ses.set_faults(sandbox=True, verified_recipients=["ada@example.org", "example.net"])

        for to in ("Ada@example.org", "bob@example.net", "success@simulator.amazonses.com"):
            local_ses.send(to=to)

        expected = "failed the check in region EU-CENTRAL-1: eve@example.org$"
        with pytest.raises(local_ses.ses.exceptions.MessageRejected, match=expected):
            local_ses.send(to="eve@example.org")

    def test_an_unverified_sender_is_refused(self, local_ses: LocalSesClient) -> None:
        """An unverified sender gets the error text of SES."""
        local_ses.set_faults(unverified_senders=["notices@example.com"])

        expected = (
            "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "
            "notices@example.com"
        )
        with pytest.raises(local_ses.ses.exceptions.MessageRejected) as caught:
            local_ses.send()
        assert expected == caught.value.response["Error"]["Message"]

    def test_an_unknown_configuration_set_is_refused(self, local_ses: LocalSesClient) -> None:
        """If configuration sets are listed, all others do not exist."""
        local_ses.set_faults(configuration_sets=["notices"])

        local_ses.send(ConfigurationSetName="notices")

        with pytest.raises(local_ses.ses.exceptions.NotFoundException, match=r"Configuration set <x> does not exist\."):
            local_ses.send(ConfigurationSetName="x")


class TestQuotas:
    """The rate and the daily quota."""

    def test_rate_is_enforced(self, local_ses: LocalSesClient) -> None:
        """Sends beyond the burst are throttled and not accepted."""
        local_ses.set_faults(max_send_rate=0.1, rate_burst_seconds=30)

        assert ["sent"] * 3 + ["TooManyRequestsException"] == _outcomes(local_ses, 4)
        assert (3, 1) == (local_ses.stats()["accepted"], local_ses.stats()["throttled"])

    def test_daily_quota_is_enforced_by_recipient(self, local_ses: LocalSesClient) -> None:
        """A message beyond the rest of the daily quota is refused with the text of that quota."""
        local_ses.set_faults(max_24_hour_send=3)
        local_ses.send(Destination={"ToAddresses": ["a@b.org", "c@d.org"]})

        with pytest.raises(local_ses.ses.exceptions.TooManyRequestsException, match=r"Daily message quota exceeded\."):
            local_ses.send(Destination={"ToAddresses": ["a@b.org", "c@d.org"]})

        assert "sent" == _outcomes(local_ses, 1)[0]
        assert 3 == local_ses.ses.get_account()["SendQuota"]["SentLast24Hours"]

    def test_a_reset_restores_the_quotas(self, local_ses: LocalSesClient) -> None:
        """DELETE /admin/faults returns to a healthy account that has sent nothing today."""
        local_ses.set_faults(max_24_hour_send=1)
        fates = _outcomes(local_ses, 2)

        local_ses.http.delete("/admin/faults")

        assert ["sent", "TooManyRequestsException"] == fates
        assert 0 == local_ses.ses.get_account()["SendQuota"]["SentLast24Hours"]
        assert ["sent", "sent"] == _outcomes(local_ses, 2)

    def test_rate_refills_with_time(self) -> None:
        """A bucket allows its burst, then what has refilled, and never more than its size."""
        rate = SendRate(10, burst_seconds=1, now=0)

        assert 10 == sum(rate.take(1, 0) for _ in range(20))
        assert 5 == sum(rate.take(1, 0.5) for _ in range(20))
        assert 10 == sum(rate.take(1, 100) for _ in range(20))

    def test_many_recipients_leave_a_debt(self) -> None:
        """A message that costs more than is left is accepted, and later ones wait until the debt is paid."""
        rate = SendRate(10, burst_seconds=1, now=0)

        assert [True, False, True] == [rate.take(20, 0), rate.take(1, 1), rate.take(1, 1.1)]

    def test_the_day_is_a_rolling_one(self) -> None:
        """Recipients count for exactly 24 hours."""
        day = RollingDay()
        day.add(2, 0)
        day.add(3, 3600)

        assert [5, 3, 0] == [day.sent(86_399), day.sent(86_400), day.sent(90_000)]


class TestLostAnswers:
    """Late, lost or random answers."""

    def test_dropped_answers(self, local_ses: LocalSesClient) -> None:
        """The mail is accepted, and the connection is closed without an answer."""
        local_ses.set_faults(accept_then_drop_share=1)

        with pytest.raises(ConnectionClosedError):
            local_ses.send()

        assert [("dropped", True)] == [(mail["answer"], mail["answer_lost"]) for mail in local_ses.mails()]
        assert 1 == local_ses.stats()["dropped"]

    async def test_hung_answers(self, local_ses: LocalSesClient) -> None:
        """The mail is accepted without an answer; the call ends when the client disconnects."""
        local_ses.set_faults(accept_then_hang_share=1)

        with pytest.raises(ReadTimeoutError):
            local_ses.send()

        assert ["hung"] == [mail["answer"] for mail in local_ses.mails()]
        await until(lambda: local_ses.stats()["calls_in_flight"] == 0, what="the end of the call")

    def test_hung_answers_may_come_late(self, local_ses: LocalSesClient) -> None:
        """With hang_seconds the answer comes late."""
        local_ses.set_faults(accept_then_hang_share=1, hang_seconds=0.05)

        message_id = local_ses.send()

        assert "hung" == local_ses.mail(message_id)["answer"]

    async def test_latency_delays_the_answer_not_the_mail(self, local_ses: LocalSesClient) -> None:
        """A slow SES accepts the mail at once, even if its answer comes after the client's time-out."""
        local_ses.set_faults(latency_ms=50, latency_jitter_ms=50)
        begun = time.monotonic()
        local_ses.send()
        slow = time.monotonic() - begun

        local_ses.set_faults(latency_ms=10_000)
        with pytest.raises(ReadTimeoutError):
            local_ses.send()

        assert slow >= 0.05
        assert 2 == len(local_ses.mails())
        await until(lambda: local_ses.stats()["calls_in_flight"] == 0, what="the end of the call")

    def test_a_seed_repeats_the_same_outcomes(self, local_ses: LocalSesClient) -> None:
        """The same seed and shares give the same sequence, also with jitter, and each outcome has its share."""
        shares = {"throttle_share": 0.25, "error_share": 0.25, "accept_then_drop_share": 0.25, "seed": 7}
        local_ses.set_faults(**shares)
        first = _outcomes(local_ses, 40)

        local_ses.set_faults(**shares, latency_jitter_ms=1)

        assert first == _outcomes(local_ses, 40)
        assert {"sent", "dropped", "TooManyRequestsException", "InternalFailure"} == set(first)

    def test_account_calls_may_fail_too(self, local_ses: LocalSesClient) -> None:
        """account_error_share affects only GetAccount and GetEmailIdentity."""
        local_ses.set_faults(account_error_share=1)

        with pytest.raises(ClientError, match="InternalFailure"):
            local_ses.ses.get_account()

        assert ["sent"] == _outcomes(local_ses, 1)


class TestFaultsEndpoint:
    """Setting faults."""

    def test_patch_changes_and_put_replaces(self, local_ses: LocalSesClient) -> None:
        """PATCH keeps the other settings, PUT does not; both return all of them."""
        local_ses.set_faults(paused=True)
        patched = local_ses.http.patch("/admin/faults", json={"latency_ms": 5}).json()
        replaced = local_ses.http.put("/admin/faults", json={"latency_ms": 6}).json()

        assert (True, 5) == (patched["paused"], patched["latency_ms"])
        assert (False, 6) == (replaced["paused"], replaced["latency_ms"])
        assert {"latency_ms": 6.0} == local_ses.stats()["active_faults"]

    @pytest.mark.parametrize(
        "faults",
        [
            {"latencyms": 5},
            {"error_share": 1.5},
            {"error_share": 0.6, "throttle_share": 0.6},
            {"refuse": {"a@b.org": "NoSuchError"}},
        ],
    )
    def test_refuses_invalid_faults(self, local_ses: LocalSesClient, faults: dict[str, Any]) -> None:
        """An unknown name or value gets 422 and changes nothing."""
        answer = local_ses.http.patch("/admin/faults", json=faults)

        assert 422 == answer.status_code
        assert {} == local_ses.stats()["active_faults"]

    @pytest.mark.parametrize("body", [b"", b"paused", b"[]"])
    def test_refuses_other_json_than_objects(self, local_ses: LocalSesClient, body: bytes) -> None:
        """A body that is not a JSON object gets 400."""
        assert 400 == local_ses.http.put("/admin/faults", content=body).status_code
