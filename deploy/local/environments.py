"""The environment of the stack's programs: they use Kafka and SES on this machine, never an AWS account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local.ports import HOST
from deploy.local.sqs.names import ACCOUNT, CONFIGURATION_SET, TOPIC_ARN, endpoint, queue_url
from runtime.settings import env_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_AWS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")

# After a crash the group waits for the session of the dead member to end, so the session is short. Logs are for a
# person to read. Settings in the environment are kept.
_DEFAULTS = {
    "http_host": HOST,
    "management_host": HOST,
    "session_timeout_seconds": "6",
    "log_format": "console",
    "ses_reply_to": "Mentoring <mentoring@example.org>",
    "reply_to_coordinator": "true",
}


def programs_environ(
    environ: Mapping[str, str], *, servers: str, ses_port: int, own_kafka: bool, sqs_port: int | None = None
) -> dict[str, str]:
    """
    Return the environment that all programs of the stack share: *environ* with the local settings on top.

    Feedback is on if there is a local SQS.
    """
    connection = env_name("kafka_")
    kept = {name: value for name, value in environ.items() if name not in _AWS}
    if own_kafka:  # settings for another broker do not fit this one
        kept = {name: value for name, value in kept.items() if not name.startswith(connection)}
    defaults = {env_name(field): value for field, value in _DEFAULTS.items()}
    return {
        **defaults,
        **kept,
        **({} if sqs_port is None else _feedback(kept, sqs_port)),
        env_name("kafka_bootstrap_servers"): servers,
        "AWS_ENDPOINT_URL_SESV2": f"http://{HOST}:{ses_port}",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",  # botocore reads this one
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join(filter(None, (kept.get("NO_PROXY"), HOST))),
        "PYTHONUNBUFFERED": "1",
    }


def _feedback(environ: Mapping[str, str], sqs_port: int) -> dict[str, str]:
    """Return the settings of feedback; only the name of the configuration set may be another one."""
    configuration_set = env_name("ses_configuration_set")
    return {
        env_name("ses_events_queue_url"): queue_url(sqs_port),
        env_name("ses_events_account"): ACCOUNT,
        env_name("ses_events_topic_arn"): TOPIC_ARN,
        configuration_set: environ.get(configuration_set) or CONFIGURATION_SET,
        "AWS_ENDPOINT_URL_SQS": endpoint(sqs_port),
    }
