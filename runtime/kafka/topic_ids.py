"""Ask the brokers for topic ids: a topic that is deleted and created again keeps its name, but not its id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.errors import NodeNotReadyError, for_code

from runtime.kafka.metadata import NO_ID, TopicsRequest

OWN_CONNECTION = "topic-ids"
"""The client's connection for these requests: on its usual one they would wait behind a long poll."""

_UNKNOWN_TOPIC = 3


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, str | None]:
    """
    Return the ids of topics in hexadecimal, `None` for a topic that the broker does not know.

    Leave out topics whose ids the broker does not tell. Raise KafkaError or TimeoutError if none answers.
    """
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    answer = await client.send(node, TopicsRequest(topics), group=OWN_CONNECTION)
    found: dict[str, str | None] = {}
    for topic in answer.to_object()["topics"]:
        name, code, topic_id = topic["topic"], topic["error_code"], topic.get("topic_id", NO_ID)
        if code == _UNKNOWN_TOPIC:
            found[name] = None
        elif topic_id != NO_ID:
            found[name] = topic_id.hex()
        elif code:
            raise for_code(code)(name)
    return found
