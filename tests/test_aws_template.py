"""deploy/aws/feedback.yaml is valid, lets in nobody else, and names what the code uses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.feedback.intake import POLLERS
from consumers.feedback.queue import WAIT_SECONDS
from consumers.ses.errors import OPERATIONS
from deploy.command.feedback_check.cloud import Queue, Right
from deploy.command.feedback_check.destination import EVENT_TYPES
from deploy.command.feedback_check.event_queue import policy_finding
from deploy.command.findings import State
from runtime.environment import read_settings
from runtime.settings import ReplicaSettings

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "deploy" / "aws" / "feedback.yaml"
README = TEMPLATE.with_name("README.md")
INTAKE = frozenset({Right.RECEIVE, Right.DELETE, Right.RELEASE, Right.ATTRIBUTES})
"""What a replica does with the queue."""

ACCOUNT = "111122223333"
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": ACCOUNT,
    "ConfigurationSetName": "pause-notifications",
    "Identity": "example.org",
    "FromAddress": "no-reply@example.org",
    "Topic": f"arn:aws:sns:eu-central-1:{ACCOUNT}:topic",
    "Queue": f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/queue",
    "Queue.Arn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:queue",
    "DeadLetterQueue.Arn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:dead",
    "SendingStatus.Arn": f"arn:aws:events:eu-central-1:{ACCOUNT}:rule/status",
}

Object = Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short functions: a reference becomes its value here, if it has one."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        assert isinstance(node, yaml.SequenceNode)
        return {name: loader.construct_sequence(node, deep=True)}
    text = str(loader.construct_scalar(node))
    if name == "Sub":
        return re.sub(r"\$\{([A-Za-z:.]+)\}", lambda found: VALUES[found[1]], text)
    return VALUES.get(text, text)


_Loader.add_multi_constructor("!", _function)


@cache
def _template() -> Object:
    """Return the template, with the values above."""
    found: Object = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader and our tags
    return found


def _properties(name: str) -> Object:
    found: Object = _template()["Resources"][name]["Properties"]
    return found


def _statements(name: str) -> list[Object]:
    found: list[Object] = _properties(name)["PolicyDocument"]["Statement"]
    return found


def _actions(policy: str) -> Iterator[str]:
    for statement in _statements(policy):
        actions = statement["Action"]
        yield from [actions] if isinstance(actions, str) else actions


def _lint(template: Path) -> list[dict[str, Any]]:
    """Return what cfn-lint complains about, down to what it only mentions."""
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    command = [linter, "--format", "json", "--include-checks", "I", "--", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_cfn_lint_has_no_complaint() -> None:
    """The template is what CloudFormation takes."""
    assert [] == _lint(TEMPLATE)


def test_a_misspelt_property_is_seen(tmp_path: Path) -> None:
    """The check is strict: an unknown property of a queue fails it."""
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEMPLATE.read_text(encoding="utf-8").replace("VisibilityTimeout", "VisibilityTimeOut"))

    assert ["E3002"] == [one["Rule"]["Id"] for one in _lint(broken)]


def test_event_types_are_those_of_the_code() -> None:
    """SES publishes every type that the service reads, and no other."""
    types = _properties("EventDestination")["EventDestination"]["MatchingEventTypes"]

    assert set(EVENT_TYPES) == {re.sub(r"([A-Z])", r"_\1", one).upper() for one in types}


def test_a_replica_may_do_what_it_does() -> None:
    """The policy of a replica allows each of its calls to SES and to the queue, and no other."""
    assert {f"ses:{operation}" for operation in OPERATIONS} | INTAKE == set(_actions("ReplicaPolicy"))


def test_the_check_may_ask_what_it_asks() -> None:
    """Both policies together allow every question of the check; the check's own changes nothing."""
    allowed = set(_actions("ReplicaPolicy")) | set(_actions("CheckPolicy"))

    assert set() == set(Right) - allowed
    assert {Right.DESTINATIONS, Right.SUBSCRIPTIONS, Right.ATTRIBUTES, Right.AGE} == set(_actions("CheckPolicy"))


def test_suppressions_are_a_policy_of_their_own() -> None:
    """Neither a replica nor the check may read or change the account's list: addresses are on it."""
    of_people = set(_actions("SuppressionsPolicy"))

    assert {f"ses:{verb}SuppressedDestination" for verb in ("Get", "Put", "Delete")} < of_people
    assert set() == of_people & (set(_actions("ReplicaPolicy")) | set(_actions("CheckPolicy")))


def test_a_replica_sends_only_as_the_service() -> None:
    """SendEmail is allowed for one identity, one configuration set and one address."""
    (send,) = [one for one in _statements("ReplicaPolicy") if one["Action"] == "ses:SendEmail"]

    assert ["identity/example.org", "configuration-set/pause-notifications"] == [
        arn.rpartition(f":{ACCOUNT}:")[2] for arn in send["Resource"]
    ]
    assert {"StringEquals": {"ses:FromAddress": "no-reply@example.org"}} == send["Condition"]


def test_only_our_configuration_set_publishes() -> None:
    """SES alone may publish to the topic, for this account and this configuration set."""
    (statement,) = _statements("TopicPolicy")

    assert ({"Service": "ses.amazonaws.com"}, "sns:Publish") == (statement["Principal"], statement["Action"])
    assert {
        "StringEquals": {
            "aws:SourceAccount": ACCOUNT,
            "aws:SourceArn": f"arn:aws:ses:eu-central-1:{ACCOUNT}:configuration-set/pause-notifications",
        }
    } == statement["Condition"]


@pytest.mark.parametrize("policy", ["QueuePolicy", "DeadLetterQueuePolicy"])
def test_only_topic_and_rule_write_to_the_queues(policy: str) -> None:
    """Each queue is written to by SNS from our topic, and by EventBridge from our rule, alone."""
    assert [
        ({"Service": "sns.amazonaws.com"}, "sqs:SendMessage", VALUES["Topic"]),
        ({"Service": "events.amazonaws.com"}, "sqs:SendMessage", VALUES["SendingStatus.Arn"]),
    ] == [
        (one["Principal"], one["Action"], one["Condition"]["ArnEquals"]["aws:SourceArn"]) for one in _statements(policy)
    ]


def test_the_check_finds_the_policy_sound() -> None:
    """`doctor --feedback` has no complaint about the queue that the template makes."""
    policy = json.dumps(_properties("QueuePolicy")["PolicyDocument"])
    queue = Queue(arn=VALUES["Queue.Arn"], waiting=0, in_flight=0, visibility_seconds=60, policy=policy)

    assert State.OK is policy_finding(queue, VALUES["Topic"]).state


def test_messages_are_kept_as_long_as_sqs_keeps_any() -> None:
    """Both queues are encrypted and keep messages for 14 days; one that is received 5 times moves."""
    queue, dead_letters = _properties("Queue"), _properties("DeadLetterQueue")

    assert [(True, 14 * 86_400)] * 2 == [
        (one["SqsManagedSseEnabled"], one["MessageRetentionPeriod"]) for one in (queue, dead_letters)
    ]
    assert {"deadLetterTargetArn": VALUES["DeadLetterQueue.Arn"], "maxReceiveCount": 5} == queue["RedrivePolicy"]
    assert 60 == queue["VisibilityTimeout"]


def test_what_cannot_be_delivered_is_kept() -> None:
    """The subscription and the rule have the dead-letter queue, too, and the envelope is kept."""
    subscription, (target,) = _properties("Subscription"), _properties("SendingStatus")["Targets"]

    assert VALUES["DeadLetterQueue.Arn"] == subscription["RedrivePolicy"]["deadLetterTargetArn"]
    assert VALUES["DeadLetterQueue.Arn"] == target["DeadLetterConfig"]["Arn"]
    assert (VALUES["Queue.Arn"], False) == (subscription["Endpoint"], subscription["RawMessageDelivery"])


def test_the_rule_takes_the_sending_status_alone() -> None:
    """EventBridge, which SES serves at best effort, brings no report about an e-mail."""
    pattern = _properties("SendingStatus")["EventPattern"]

    assert {"source": ["aws.ses"], "detail-type": ["Sending Status Enabled", "Sending Status Disabled"]} == pattern


def test_the_environment_starts_a_replica() -> None:
    """The stack's output has the settings of feedback as the lines of a ConfigMap, and a replica takes them."""
    environ = yaml.safe_load(str(_template()["Outputs"]["Environment"]["Value"]))

    settings = read_settings(ReplicaSettings, environ)

    assert (VALUES["Queue"], VALUES["Topic"]) == (settings.ses_events_queue_url, settings.ses_events_topic_arn)
    assert ("pause-notifications", ACCOUNT) == (settings.ses_configuration_set, settings.ses_events_account)
    assert "eu-central-1" == environ["AWS_DEFAULT_REGION"]
    assert {str} == {type(value) for value in environ.values()}


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("ConfigurationSetName", "pause-notifications", True),
        ("ConfigurationSetName", "", False),
        ("ConfigurationSetName", "a/b", False),
        ("Identity", "example.org", True),
        ("Identity", "no-reply@mail.example.org", True),
        ("Identity", "*", False),
        ("Identity", "example.org, other.org", False),
        ("FromAddress", "no-reply@example.org", True),
        ("FromAddress", "Name <no-reply@example.org>", False),
        ("FromAddress", "*@example.org", False),
    ],
)
def test_parameters_are_checked(parameter: str, value: str, *, allowed: bool) -> None:
    """A value that would widen a policy, or that SES refuses, is refused before anything is made."""
    pattern = _template()["Parameters"][parameter]["AllowedPattern"]

    assert allowed == (re.fullmatch(pattern, value) is not None)


def test_the_readme_deploys_this_template() -> None:
    """The command of the document sets each parameter that has no default, and no unknown one."""
    text, parameters = README.read_text(encoding="utf-8"), _template()["Parameters"]
    command = text.partition("aws cloudformation deploy")[2].partition("```")[0]
    given = set(re.findall(r"(\w+)=", command.partition("--parameter-overrides")[2]))

    assert {name for name, one in parameters.items() if "Default" not in one} == given
    assert f"--template-file {TEMPLATE.relative_to(ROOT)}" in command
    assert "--capabilities CAPABILITY_IAM" in command


def test_the_readme_counts_the_requests_of_a_replica() -> None:
    """What waiting costs follows from how many requests wait at a time, and how long each does."""
    a_second = POLLERS / WAIT_SECONDS

    assert (2, 5.2) == (a_second, round(a_second * 86_400 * 30 / 1_000_000, 1))
    assert "two a second for each replica, some five million a month" in README.read_text(encoding="utf-8")


def test_the_readme_names_outputs_that_exist() -> None:
    """The outputs that the document asks for are outputs of the stack."""
    text, outputs = README.read_text(encoding="utf-8"), set(_template()["Outputs"])

    assert "Environment" in outputs
    assert {"ReplicaPolicyArn", "CheckPolicyArn", "SuppressionsPolicyArn"} == {
        name for name in outputs if name.endswith("PolicyArn")
    }
    assert "OutputKey=='Environment'" in text
