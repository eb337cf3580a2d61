"""The missing rights, as far as the brokers tell."""

from __future__ import annotations

import pytest

from runtime.kafka.descriptions import Described, Right
from runtime.kafka.rights import Missing, Needs, missing_of_topics

TOPIC = "mentor.pauses.v1"
READ_AND_CONFIGS = frozenset({Right.READ, Right.DESCRIBE_CONFIGS})
CONFIGS = frozenset({Right.DESCRIBE_CONFIGS})
NOTHING: frozenset[Right] = frozenset()


def described(rights: frozenset[Right] | None, *, forbidden: bool = False) -> dict[str, Described]:
    """Return the topic as a broker describes it to somebody with these rights."""
    return {TOPIC: Described(TOPIC, 12, 3, missing=False, forbidden=forbidden, rights=rights)}


@pytest.mark.parametrize(
    ("needed", "granted", "forbidden", "missing"),
    [
        (READ_AND_CONFIGS, READ_AND_CONFIGS | {Right.DESCRIBE}, False, []),
        (READ_AND_CONFIGS, frozenset({Right.READ, Right.DESCRIBE}), False, [Right.DESCRIBE_CONFIGS]),
        (READ_AND_CONFIGS, CONFIGS, True, [Right.READ]),
        (READ_AND_CONFIGS, NOTHING, True, [Right.READ, Right.DESCRIBE_CONFIGS]),
        (CONFIGS, NOTHING, True, [Right.DESCRIBE, Right.DESCRIBE_CONFIGS]),
        (CONFIGS, CONFIGS, True, [Right.DESCRIBE]),
        (NOTHING, NOTHING, True, [Right.DESCRIBE]),
        (NOTHING, frozenset({Right.DESCRIBE}), False, []),
        (READ_AND_CONFIGS, None, False, []),
    ],
    ids=["all", "configs", "read", "both", "describe, too", "describe", "seen", "nothing needed", "an old broker"],
)
def test_exactly_what_is_missing_is_named(
    needed: frozenset[Right], granted: frozenset[Right] | None, missing: list[Right], *, forbidden: bool
) -> None:
    """Describe is named only if nothing else implies it; if a broker tells no rights, none count as missing."""
    found = missing_of_topics(described(granted, forbidden=forbidden), Needs({TOPIC: needed}))

    assert [Missing(right, "topic", TOPIC) for right in missing] == found


def test_a_missing_right_is_named_as_in_kafka() -> None:
    """It names the right, and the command that grants it."""
    missing = Missing(Right.DESCRIBE_CONFIGS, "topic", TOPIC)

    assert f"DescribeConfigs on topic {TOPIC}" == str(missing)
    assert missing.command.endswith(f"--operation DescribeConfigs --topic {TOPIC}")
