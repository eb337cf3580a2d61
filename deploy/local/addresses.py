"""The addresses of the local stack, and commands to try it."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.ports import HOST
from deploy.local.sqs.names import queue_url
from deploy.support.connections import topics_of
from runtime.settings import CommandSettings, env_name
from schemas.events import EVENTS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = Path(__file__).parents[2] / ".local"

_DOCTOR_READS = (
    "AWS_ENDPOINT_URL_SESV2",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    *map(env_name, ("ses_events_queue_url", "ses_events_account", "ses_events_topic_arn", "ses_configuration_set")),
    *map(env_name, ("ses_reply_to", "reply_to_coordinator", "signing_keys_file")),
)
"""What `doctor` needs of the programs' environment; what is not in it is unset for the programs, too."""


@dataclass(frozen=True)
class Ports:
    """The ports of the stack; the management ports of the replicas follow that of the facade."""

    http: int = 8000
    management: int = 8001
    ses: int = 8025
    kafka: int = 9092
    sqs: int = 9324

    @classmethod
    def starting_at(cls, first: int) -> Ports:
        """Return ports that follow each other; the last are the facade's and the replicas' management ports."""
        return cls(http=first, ses=first + 1, sqs=first + 2, kafka=first + 3, management=first + 4)


def own_command() -> str:
    """Return how to call our command here: its name, or its path if the name is not found."""
    name = "pause-notifications"
    return name if shutil.which(name) else shlex.quote(sys.argv[0])


def addresses(
    ports: Ports,
    settings: CommandSettings,
    *,
    replicas: int,
    own_kafka: bool,
    environ: Mapping[str, str],
    pids: Mapping[str, int],
    state: Path = STATE,
) -> str:
    """Return all addresses, with commands to try them; *environ* is that of the stack's programs."""
    facade = f"http://{HOST}:{ports.http}"
    event = EVENTS_BY_NAME["pause-lifted"]
    body = '{"mentor_id":"mentor-042"}'
    example = EVENTS_BY_NAME["pause-activated"]
    data = example.model.model_validate(example.example).model_dump_json()
    metrics = " ".join(f"http://{HOST}:{ports.management + n}/metrics" for n in range(replicas + 1))
    command = own_command()
    if not (own_kafka and ports.kafka == Ports().kafka):
        command = f"{env_name('kafka_bootstrap_servers')}={settings.kafka_bootstrap_servers} {command}"
    for_doctor = " ".join(f"{name}={shlex.quote(environ[name])}" for name in _DOCTOR_READS if environ.get(name))
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "demo-1",
        "ce_source": "/demo",
        "ce_type": event.type,
        "content-type": "application/json",
    }
    kcat = " ".join(f"-H {name}={value}" for name, value in headers.items())
    return f"""
  REST        {facade}   (documentation: {facade}/docs)
  mailbox     http://{HOST}:{ports.ses}
  metrics     {metrics}
  SES events  {queue_url(ports.sqs)}
  Kafka       {settings.kafka_bootstrap_servers}
  logs, data  {state}
  pids        {", ".join(f"{name} {pid}" for name, pid in pids.items())}

Try it:

  curl -i {facade}/api/v1/pause-notifications/{example.name} -H 'Content-Type: application/json' \\
    -d {shlex.quote(data)}

For a mentor whose e-mails bounce (the mailbox shows it, and can report a bounce of any mail):

  {command} events publish {event.name} --mentor mentor-051

Or without REST, directly into Kafka:

  {command} events publish {event.name} --mentor mentor-042

  echo {shlex.quote(body)} | kcat -P -b {settings.kafka_bootstrap_servers} \\
    -t {topics_of(settings).named(event.topic)} -k mentor-042 -X partitioner=murmur2_random \\
    {kcat}

Check everything (without this environment, which is the replica's, doctor looks for an AWS account):

  {for_doctor} \\
    {command} doctor

Ctrl-C stops everything.
"""
