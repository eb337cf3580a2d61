from __future__ import annotations

from deploy.local.kafka.properties import Node, SecondDoor, as_file, common_properties, server_properties


def test_one_broker_keeps_one_copy() -> None:
    """A single broker stores and acknowledges every record alone."""
    settings = common_properties(1)

    assert ("1", "1", "1") == (
        settings["default.replication.factor"],
        settings["min.insync.replicas"],
        settings["offsets.topic.replication.factor"],
    )


def test_three_brokers_replicate_as_in_production() -> None:
    """Each of three brokers stores every record, and two acknowledge it."""
    settings = common_properties(3)

    assert ("3", "2", "3") == (
        settings["default.replication.factor"],
        settings["min.insync.replicas"],
        settings["offsets.topic.replication.factor"],
    )


def test_a_patient_quorum_keeps_a_silent_broker() -> None:
    """A broker of a busy machine is fenced only after a minute without a heartbeat."""
    node = Node(node_id=1, port=101, controller_port=201, patient=True)

    assert "60000" == server_properties(node, [node])["broker.session.timeout.ms"]


def test_every_broker_knows_the_whole_quorum() -> None:
    """The settings of a broker have its own addresses and all controllers."""
    nodes = [Node(node_id=number, port=100 + number, controller_port=200 + number) for number in (1, 2, 3)]

    settings = server_properties(nodes[1], nodes)

    assert ("2", "1@127.0.0.1:201,2@127.0.0.1:202,3@127.0.0.1:203", "broker-2") == (
        settings["node.id"],
        settings["controller.quorum.voters"],
        settings["log.dirs"],
    )
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:102,CONTROLLER://127.0.0.1:202"


def test_a_second_listener_advertises_a_proxy() -> None:
    """A second listener advertises another address than its own; brokers and other clients use the first."""
    door = SecondDoor(port=301, advertised_port=401)
    node = Node(node_id=1, port=101, controller_port=201, second_door=door)

    settings = server_properties(node, [node])

    assert (
        "PLAINTEXT://127.0.0.1:101,SECOND://127.0.0.1:301,CONTROLLER://127.0.0.1:201",
        "PLAINTEXT://127.0.0.1:101,SECOND://127.0.0.1:401",
        "PLAINTEXT",
    ) == (settings["listeners"], settings["advertised.listeners"], settings["inter.broker.listener.name"])


def test_without_a_second_listener_nothing_else_is_advertised() -> None:
    """A broker without a second listener advertises only its own."""
    node = Node(node_id=1, port=101, controller_port=201)

    assert "advertised.listeners" not in server_properties(node, [node])


def test_a_file_has_one_line_per_setting() -> None:
    """Settings are written in the format of Kafka."""
    assert as_file({"a.b": "1", "c": "x,y"}) == "a.b=1\nc=x,y\n"
