from __future__ import annotations

import pytest

from tests.kafka import BOOTSTRAP, KIND, NoKafkaError, choose
from tests.kafka_container import as_variables


@pytest.mark.parametrize(
    ("environ", "trouble", "kind"),
    [
        pytest.param({}, None, "container", id="a container where it can be"),
        pytest.param({}, "no engine", "embedded", id="else an embedded one"),
        pytest.param({KIND: "embedded"}, None, "embedded", id="embedded, insisted on"),
        pytest.param({KIND: "container"}, None, "container", id="container, insisted on"),
        pytest.param({BOOTSTRAP: "kafka:9092", KIND: "container"}, None, "given", id="a given one before all"),
    ],
)
def test_the_kind_of_broker(environ: dict[str, str], trouble: str | None, kind: str) -> None:
    """The broker is the given one, the kind insisted on, a container where possible, else an embedded one."""
    assert choose(environ, lambda: trouble) == kind


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param("container", "no engine", id="impossible"),
        pytest.param("podman", "container and embedded are allowed", id="misspelt"),
    ],
)
def test_what_is_insisted_on_and_impossible_fails(wanted: str, why: str) -> None:
    """Insisting on a container that cannot be run, or on an unknown kind, fails with the reason."""
    with pytest.raises(NoKafkaError, match=why):
        choose({KIND: wanted}, lambda: "no engine")


def test_settings_become_variables_as_the_image_takes_them() -> None:
    """A setting's variable is its name in capitals with underscores for dots."""
    assert as_variables({"group.initial.rebalance.delay.ms": "0"}) == {"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0"}
