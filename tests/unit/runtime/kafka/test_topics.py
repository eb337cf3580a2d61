"""The topics' names."""

from __future__ import annotations

from runtime.kafka.topics import Topics
from schemas.events import EVENT_TOPICS


def test_a_namespace_stands_before_every_topic() -> None:
    """Two environments share a cluster, and the contract's name is found without it."""
    topics = Topics("staging")

    assert all(name.startswith("staging.") for name in topics.all)
    assert EVENT_TOPICS == tuple(topics.plain(name) for name in topics.events)


def test_without_a_namespace_topics_have_the_contracts_names() -> None:
    """There are eight different topics."""
    assert EVENT_TOPICS == Topics().events
    assert 8 == len({*Topics().all})
