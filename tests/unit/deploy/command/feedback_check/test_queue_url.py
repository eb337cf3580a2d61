"""Where a queue is, and whether requests reach it."""

from __future__ import annotations

import pytest

from deploy.command.feedback_check.queue_url import beside, is_at_aws, place_finding, region_of
from deploy.command.findings import State

AWS = "https://sqs.eu-central-1.amazonaws.com"
LOCAL = "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
        ("queue.amazonaws.com", "us-east-1"),
        ("vpce-0-1.sqs.eu-west-1.vpce.amazonaws.com", None),
        ("127.0.0.1:5000", None),
        ("sqs.eu-central-1.amazonaws.com.example.org", None),
    ],
)
def test_the_region_is_in_the_name(host: str, region: str | None) -> None:
    """The host of a queue at AWS names its region, in the new form and in the old ones."""
    assert region == region_of(f"https://{host}/111122223333/feedback")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"{AWS}/111122223333/feedback", True),
        ("https://vpce-0-1.sqs.eu-west-1.vpce.amazonaws.com/1/q", True),
        (f"{LOCAL}/123456789012/feedback", False),
        ("https://amazonaws.com.example.org/1/q", False),
        ("https://notamazonaws.com/1/q", False),
    ],
)
def test_only_hosts_of_aws_are_at_aws(url: str, *, found: bool) -> None:
    """A host that only looks like one of AWS is none."""
    assert found == is_at_aws(url)


@pytest.mark.parametrize(
    ("url", "endpoint", "region", "state", "says"),
    [
        (f"{AWS}/1/q", AWS, "eu-central-1", State.OK, "q in eu-central-1"),
        (f"{AWS}/1/q", "https://sqs.us-east-1.amazonaws.com", "us-east-1", State.FAIL, "a queue in eu-central-1"),
        (f"{LOCAL}/1/q", AWS, "eu-central-1", State.FAIL, "requests go to AWS"),
        (f"{AWS}/1/q", LOCAL, "eu-central-1", State.WARN, "requests go to 127.0.0.1:5000"),
        (f"{LOCAL}/1/q", LOCAL, "us-east-1", State.OK, "q in 127.0.0.1:5000"),
        (f"{AWS}/1/q", "https://vpce-0.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1", State.OK, "q in"),
    ],
)
def test_requests_reach_the_queue(url: str, endpoint: str, region: str, state: State, says: str) -> None:
    """A queue in another region, or not at the endpoint that requests go to, is a failure."""
    found = place_finding(url, endpoint=endpoint, region=region)

    assert (state, True) == (found.state, says in found.detail)


def test_a_local_queue_says_which_endpoint_to_set() -> None:
    """If requests for a local queue go to AWS, the advice has the variable that leads to the queue."""
    found = place_finding(f"{LOCAL}/1/q", endpoint=AWS, region="eu-central-1")

    assert f"set AWS_ENDPOINT_URL_SQS={LOCAL}" == found.advice


def test_the_dead_letter_queue_is_beside_the_queue() -> None:
    """The URL of the dead-letter queue follows from the queue's URL and its own ARN."""
    assert f"{AWS}/111122223333/dead" == beside(f"{AWS}/111122223333/q", "arn:aws:sqs:eu-central-1:111122223333:dead")
