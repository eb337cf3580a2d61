"""The image, compose, the manifests and deploy/README.md name what the code has: programs, ports, settings, topics."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from consumers import bootstrap
from consumers.admission.gate import (
    CONTACTS_NOT_READ,
    CONTROLS_NOT_READ,
    NO_CONTACTS,
    STOPPED_BY_OPERATOR,
    SUPPRESSIONS_NOT_READ,
    UNREACHABLE,
)
from consumers.email import HaltReason
from consumers.metrics import replica_metrics
from consumers.ses.boto_client import ses_client
from consumers.ses.errors import OPERATIONS
from deploy.contracts.settings_table import COMMAND, with_table
from deploy.image.slim import CLIENTS
from deploy.local.sqs.names import ACCOUNT, CONFIGURATION_SET, TOPIC_ARN, queue_url
from runtime import health_check
from runtime.environment import describe_settings, read_settings
from runtime.kafka.descriptions import Right
from runtime.kafka.topics import CONFIGS, DEFAULT_PARTITIONS, Topics
from runtime.settings import PREFIX, PROGRAMS, ReplicaSettings, ServiceSettings, env_name
from schemas.contacts import CONTACTS_TOPIC
from service import kafka_clients
from service.metrics import make_metrics
from tests.kubernetes.built import KUBERNETES, OVERLAYS, base_objects, container_of, read_objects, workloads
from tests.signing import keys_file

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
README = DEPLOY / "README.md"
DOCKERFILE = DEPLOY / "image" / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
SLEEP = ["sleep", "infinity"]
GRACE_BEYOND_DRAIN_SECONDS = 10
_SIGNING_KEYS = f"{PREFIX}SIGNING_KEYS_FILE"
MANAGEMENT_PORT = env_name("management_port")
KNOWN_VARIABLES = {row.variable for row in describe_settings()}

Object = Mapping[str, Any]


def _compose() -> dict[str, Object]:
    """Return compose's services by their names."""
    services: dict[str, Object] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return services


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command that a manifest or compose starts in our image, and its place."""
    for name, workload in workloads(base_objects()).items():
        if container_of(workload)["command"] != SLEEP:
            yield name, container_of(workload)["command"]
    for name, service in _compose().items():
        if "command" in service:
            yield f"compose {name}", service["command"]


def _seconds(text: str) -> float:
    """Read a span as compose writes it."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return float(found[1])


def _image_lines() -> list[str]:
    """Return the Dockerfile's lines."""
    return DOCKERFILE.read_text(encoding="utf-8").splitlines()


def _version() -> str:
    """Return the project's version."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


@cache
def _help(*words: str) -> str:
    """Return the help of an operator's command; fail if there is no such command."""
    asked = subprocess.run(
        [sys.executable, "-m", "deploy.command", *words, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"},
    )
    assert asked.returncode == 0, f"{' '.join(words)}: {asked.stdout}{asked.stderr}"
    return asked.stdout


def _check_command(command: Sequence[str]) -> None:
    """Fail unless *command* can be started: a program of ours, or words and options that our command knows."""
    if command[:2] == ["python", "-m"]:
        assert find_spec(f"{command[2]}.__main__") is not None, f"no such program: {command[2]}"
        return
    assert command[0] == "pause-notifications"
    words = [word for word in command[1:4] if re.fullmatch(r"[a-z][a-z-]*", word)]
    known = _help(*words)
    missing = [word for word in command if word.startswith("--") and word not in known]
    assert [] == missing


class TestCompose:
    """The compose file."""

    def test_variables_are_settings(self) -> None:
        """Every variable of ours is one that a program reads."""
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", COMPOSE.read_text(encoding="utf-8")))

        assert set() == named - KNOWN_VARIABLES

    @pytest.mark.parametrize(("service", "program"), [("facade", "service"), ("replica", "consumers")])
    def test_program_starts_with_its_environment(self, service: str, program: str) -> None:
        """The program accepts the environment's values, and the command starts that program."""
        found = _compose()[service]
        here = {_SIGNING_KEYS: str(keys_file())}  # what compose names lies in its volume

        settings = read_settings(PROGRAMS[program], found["environment"] | here)

        brokers = [name for name in _compose() if name.startswith("kafka-")]
        assert ",".join(f"{broker}:29092" for broker in brokers) == settings.kafka_bootstrap_servers
        assert ["python", "-m", program] == found["command"]

    def test_health_is_readiness(self) -> None:
        """Health checks of the programs ask /readyz, by the image's own check, which knows the port."""
        for service in ("facade", "replica"):
            expected = ["CMD", *_image_health_check(), "/readyz"]
            assert expected == _compose()[service]["healthcheck"]["test"]
            assert MANAGEMENT_PORT not in _compose()[service]["environment"]

    def test_rest_is_published_from_its_port(self) -> None:
        """The facade's HTTP port is reachable only from this machine."""
        (published,) = _compose()["facade"]["ports"]

        assert published.startswith("127.0.0.1:")
        assert published.endswith(f":{ServiceSettings().http_port}")

    def test_programs_have_time_to_drain(self) -> None:
        """The drain and ten seconds more fit into the grace period."""
        for service, settings in (("facade", ServiceSettings()), ("replica", ReplicaSettings())):
            grace = _seconds(_compose()[service]["stop_grace_period"])

            assert settings.drain_seconds + GRACE_BEYOND_DRAIN_SECONDS <= grace

    def test_records_survive_a_broker(self) -> None:
        """Three brokers keep three copies of each record, and two acknowledge it, as in production."""
        brokers = {name: service["environment"] for name, service in _compose().items() if name.startswith("kafka-")}
        (topics,) = [service["command"] for name, service in _compose().items() if name == "topics"]

        assert 3 == len(brokers)
        assert ["2"] * 3 == [settings["KAFKA_MIN_INSYNC_REPLICAS"] for settings in brokers.values()]
        assert "3" == topics[topics.index("--replication-factor") + 1]

    def test_feedback_goes_through_the_local_queue(self) -> None:
        """SES publishes to the queue that the programs read, and under the names that they accept."""
        services = _compose()
        queue = queue_url(9324).replace("127.0.0.1", "sqs")
        here = {_SIGNING_KEYS: str(keys_file())}
        settings = read_settings(ReplicaSettings, services["replica"]["environment"] | here)

        command = services["ses"]["command"]
        assert queue == command[command.index("--events-queue") + 1]
        assert queue == settings.ses_events_queue_url
        assert queue == services["facade"]["environment"][env_name("ses_events_queue_url")]
        assert (ACCOUNT, TOPIC_ARN) == (settings.ses_events_account, settings.ses_events_topic_arn)
        assert CONFIGURATION_SET == settings.ses_configuration_set

    def test_prometheus_reads_our_rules(self) -> None:
        """Prometheus gets the generated configuration, and the rules beside it."""
        mounts = dict(mount.split(":")[:2] for mount in _compose()["prometheus"]["volumes"])
        config = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8"))

        assert "/etc/prometheus/prometheus.yml" == mounts["./monitoring/prometheus.yaml"]
        assert [f"/etc/prometheus/{name}" for name in config["rule_files"]] == [mounts["./monitoring/rules.yaml"]]

    def test_mounted_files_exist(self) -> None:
        """Every mount is a file of the project, or a volume of compose."""
        mounts = [mount.split(":")[0] for service in _compose().values() for mount in service.get("volumes", ())]
        volumes = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"]

        assert [] == [mount for mount in mounts if mount not in volumes and not (DEPLOY / mount).exists()]

    def test_programs_read_the_signing_key_that_is_made(self) -> None:
        """One service creates the key, once; both programs wait for it, read that file, and cannot write it."""
        making = _compose()["signing-keys"]

        for service in ("facade", "replica"):
            found = _compose()[service]
            assert making["command"][-1] == found["environment"][_SIGNING_KEYS]
            assert "service_completed_successfully" == found["depends_on"]["signing-keys"]["condition"]
            assert [f"{mount}:ro" for mount in making["volumes"]] == found["volumes"]
        assert "--if-none" in making["command"]

    def test_the_image_has_a_place_for_the_key(self) -> None:
        """A new volume gets the owner of the image's directory, which must be the image's user."""
        (mount,) = _compose()["signing-keys"]["volumes"]
        directory = mount.split(":")[1]

        assert f"RUN mkdir -m 0700 {directory} && chown {_image_user()} {directory}" in _image_lines()

    def test_build_names_what_is_there(self) -> None:
        """The Dockerfile that compose builds exists and has the target."""
        build = _compose()["ses"]["build"]
        stages = [line.split()[-1] for line in _image_lines() if line.startswith("FROM ") and " AS " in line]

        assert DOCKERFILE == (DEPLOY / build["context"]).resolve() / build["dockerfile"]
        assert build["target"] in stages


class TestAws:
    """AWS's own variables."""

    def test_compose_leads_to_the_local_ses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With compose's environment boto3 finds region and endpoint."""
        environment = _compose()["replica"]["environment"]
        _set_aws(monkeypatch, environment)

        client = ses_client(timeout_seconds=1, max_in_flight=1)

        try:
            assert environment["AWS_ENDPOINT_URL_SESV2"] == client.meta.endpoint_url
            assert environment["AWS_DEFAULT_REGION"] == client.meta.region_name
        finally:
            client.close()

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_manifests_name_the_region_as_boto3_reads_it(self, overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the ConfigMap's variables boto3 finds the region."""
        configured = read_objects(KUBERNETES / "overlays" / overlay / "configuration.yaml")[0]["data"]
        _set_aws(monkeypatch, configured)

        client = ses_client(timeout_seconds=1, max_in_flight=1)

        try:
            assert configured["AWS_DEFAULT_REGION"] == client.meta.region_name
        finally:
            client.close()


def _set_aws(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Keep only those AWS variables that *environment* has, and no files."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


class TestCommands:
    """The commands that are started."""

    @pytest.mark.parametrize("command", [pytest.param(command, id=where) for where, command in _commands()])
    def test_exists(self, command: list[str]) -> None:
        """Every command that a manifest or compose names can be started, with the options given."""
        _check_command(command)

    def test_of_the_readme_exist(self) -> None:
        """Every command of ours that the README shows can be started, with the options shown."""
        shown = re.findall(r"^(?:.* -- )?(pause-notifications [a-z].*?)(?: *#.*)?$", README.read_text(), re.MULTILINE)

        assert shown
        for command in shown:
            _check_command(command.split())

    def test_topics_are_made_with_the_default_partitions(self) -> None:
        """Job and compose create as many partitions as the code's default."""
        makers = [command for _, command in _commands() if command[1:3] == ["topics", "create"]]

        assert [str(DEFAULT_PARTITIONS)] * 2 == [command[command.index("--partitions") + 1] for command in makers]


def _image_health_check() -> list[str]:
    """Return the command of the image's health check."""
    (line,) = [line for line in _image_lines() if line.startswith("HEALTHCHECK ")]
    command: list[str] = json.loads(line.partition(" CMD ")[2])
    return command


def _image_user() -> str:
    """Return the user of the image that a build without a target yields: the last one that its stages name."""
    stage = _image_lines()
    program = stage.index(next(line for line in stage if line.endswith(" AS program")))
    local = stage.index(next(line for line in stage if line.endswith(" AS local")))
    return [line.split()[1] for line in stage[program:local] if line.startswith("USER ")][-1]


class TestImage:
    """The Dockerfile."""

    def test_user_is_a_number_and_not_root(self) -> None:
        """Kubernetes can see that the image does not run as root; the local image does not, either."""
        users = [line.split()[1] for line in _image_lines() if line.startswith("USER ")]

        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", _image_user())
        assert _image_user() == users[-1]

    def test_without_a_target_nothing_local_ships(self) -> None:
        """The last stage is the program's and adds nothing."""
        last = [line for line in _image_lines() if line and not line.startswith("#")][-1]

        assert "FROM program" == last

    def test_exposes_the_ports_of_the_settings(self) -> None:
        """EXPOSE names REST and both management ports."""
        (exposed,) = [line.split()[1:] for line in _image_lines() if line.startswith("EXPOSE ")]
        facade, replica = ServiceSettings(), ReplicaSettings()

        assert [facade.http_port, facade.management_port, replica.management_port] == [int(port) for port in exposed]

    def test_an_old_builder_will_do(self) -> None:
        """There are no mounts in RUN, no modes in COPY, no here-documents."""
        beyond = [line for line in _image_lines() if re.match(r"RUN --|COPY --chmod|(RUN|COPY) <<", line)]

        assert [] == beyond

    def test_takes_every_room_that_ships(self) -> None:
        """Each package of the wheel is copied into the build."""
        packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        copied = {line.split()[1].split("/")[0] for line in _image_lines() if re.match(r"COPY [a-z]", line)}

        assert set() == set(packages["packages"]) - copied

    def test_starts_without_a_shell_and_drains_on_sigterm(self) -> None:
        """CMD is a list, and the stop signal is the one that the programs drain on."""
        (command,) = [line for line in _image_lines() if line.startswith("CMD ")]

        assert 'CMD ["pause-notifications", "--help"]' == command
        assert "STOPSIGNAL SIGTERM" in _image_lines()

    def test_names_this_version(self) -> None:
        """The label has the project's version."""
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*?)"', DOCKERFILE.read_text(encoding="utf-8")))

        assert _version() == labels["version"]

    def test_health_is_asked_at_the_ports_of_the_settings(self) -> None:
        """The image's health check finds each program at the management port that it has by default."""
        ports = {"service": ServiceSettings().management_port, "consumers": ReplicaSettings().management_port}

        assert ports == health_check.DEFAULT_PORTS
        assert MANAGEMENT_PORT == health_check.PORT

    def test_keeps_the_clients_of_the_programs(self) -> None:
        """The image keeps the data of each service of AWS that a program of ours builds a client for."""
        sources = [*(ROOT / "consumers").rglob("*.py"), *(ROOT / "deploy" / "command").rglob("*.py")]
        built = r'\b(?:_client\(.*?|session\.client\(|asked\()"(\w+)"'
        named = {name for path in sources for name in re.findall(built, path.read_text(encoding="utf-8"))}

        assert named == set(CLIENTS)


class TestReadme:
    """deploy/README.md."""

    def test_settings_are_those_of_the_code(self) -> None:
        """The table of settings is the one that the code generates."""
        document = README.read_text(encoding="utf-8")

        assert with_table(document) == document, f"deploy/README.md is behind the settings; run: {COMMAND}"

    def test_variables_are_settings(self) -> None:
        """Every variable of ours that the text names is one that a program reads."""
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", README.read_text(encoding="utf-8")))

        assert set() == named - KNOWN_VARIABLES

    def test_topics_are_those_of_the_code(self) -> None:
        """The topics' table has a row for each topic, and for no other."""
        section = README.read_text(encoding="utf-8").partition("\n## Topics\n")[2].partition("\n## ")[0]

        assert set(Topics().all) == set(re.findall(r"^\| `([a-z0-9.-]+\.v\d)` \|", section, re.MULTILINE))

    def test_configuration_of_contacts_is_that_of_the_code(self) -> None:
        """The document names the configuration that limits the life of a deleted address."""
        section = README.read_text(encoding="utf-8").partition("\n## Topics\n")[2].partition("\n## ")[0]

        assert [] == [pair for pair in CONFIGS[CONTACTS_TOPIC].items() if f"`{'='.join(pair)}`" not in section]

    def test_every_topic_has_its_rights(self) -> None:
        """The table of Kafka rights names every topic."""
        section = README.read_text(encoding="utf-8").partition("\n## Kafka rights\n")[2].partition("\n## ")[0]

        assert set() == {topic for topic in Topics().all if f"`{topic}`" not in section}

    @pytest.mark.parametrize("program", ["facade", "replica"])
    def test_rights_are_those_of_the_code(self, program: str) -> None:
        """The table of ACLs names the rights that a program checks at its start."""
        needs = {
            "facade": kafka_clients.needs(Topics()),
            "replica": bootstrap.needs(Topics(), "pause-notifications"),
        }[program]
        section = README.read_text(encoding="utf-8").partition("\n## Kafka rights\n")[2].partition("\n## ")[0]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:3] == "| `"]
        column = {"facade": 1, "replica": 2}[program]
        documented = {
            name: {str(right) for right in Right if re.search(rf"\b{right}\b", row[column])}
            for row in rows
            for name in re.findall("`(.*?)`", row[0])
        }
        # Read and Write imply Describe, so that stands alone or not at all.
        checked = {name: {str(right) for right in rights} for name, rights in needs.topics.items()}

        assert checked == {name: rights for name, rights in documented.items() if name in needs.topics}

    def test_policy_allows_what_is_called(self) -> None:
        """The sample policy allows each operation of SES that the replica calls, and no other."""
        policy = json.loads(README.read_text(encoding="utf-8").partition("```json\n")[2].partition("```")[0])
        said = [statement["Action"] for statement in policy["Statement"]]
        actions = {action for one in said for action in ([one] if isinstance(one, str) else one)}

        assert {f"ses:{operation}" for operation in OPERATIONS} == actions

    def test_every_halt_has_a_row(self) -> None:
        """Each reason for which sending halts is explained, and no other."""
        section = README.read_text(encoding="utf-8").partition("\n## Halts\n")[2].partition("\n## ")[0]
        unread = {CONTACTS_NOT_READ, SUPPRESSIONS_NOT_READ, CONTROLS_NOT_READ}
        others = {*unread, NO_CONTACTS, STOPPED_BY_OPERATOR, UNREACHABLE}
        reasons = {str(reason) for reason in HaltReason} | others

        assert reasons == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    def test_metrics_are_those_of_the_code(self) -> None:
        """The text names every metric of ours, and no other."""
        replica = CollectorRegistry()
        replica_metrics(replica)
        given = {
            f"{metric.name}_total" if metric.type == "counter" else metric.name
            for registry in (make_metrics().registry, replica)
            for metric in registry.collect()
            if metric.name.startswith("pause_notifications_")
        }

        named = set(re.findall(r"\bpause_notifications_\w*[a-z]\b", README.read_text(encoding="utf-8")))

        assert given == named
