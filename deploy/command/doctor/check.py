"""`pause-notifications doctor`: run all checks, and print each finding at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import typer
from aiokafka.errors import KafkaError

from consumers.notices.notices import Notices
from consumers.notices.own_templates import InvalidTemplates
from deploy.command.contacts import known_contacts
from deploy.command.controls.browse import check_controls
from deploy.command.doctor.account import check_account
from deploy.command.doctor.fleet import BY_MEMBERS, Where, check_fleet
from deploy.command.feedback_check.check import check_feedback, plain_findings
from deploy.command.findings import Finding, State, print_finding
from deploy.command.ses_place import reply_finding
from deploy.command.suppressions.signature_check import check_signatures
from deploy.support.connections import admin_client, rights_needed, topics_of
from deploy.support.contacts_fall import fell
from deploy.support.running import EXIT_FAILED, EXIT_INTERRUPTED, explain, silence_kafka_client, suggestion
from deploy.support.topic_differences import differences
from runtime.environment import InvalidSettings, read_settings, unknown_settings
from runtime.kafka.topics import MissingRights, UnfitTopics, check_topics
from runtime.settings import PROGRAMS, ReplicaSettings, Settings, env_name
from runtime.signing_keys import read_signing_keys

_MAKE_KEY = f"pause-notifications signing-keys add FILE, then {env_name('signing_keys_file')}=FILE for every program"
_NAMED = 3
_SENDS = 5


def doctor(
    *, replica: list[str] | None, replicas: list[str] | None, feedback: bool, sends: int | None, as_json: bool
) -> None:
    """Check everything that the programs need, and ask the replicas."""
    silence_kafka_client()
    where = Where(replica or (), replicas or ())
    sending = (sends or _SENDS) if feedback else None
    try:
        findings = asyncio.run(
            examine(os.environ, lambda finding: print_finding(finding, as_json=as_json), where=where, sends=sending)
        )
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(EXIT_FAILED)


async def examine(
    environ: Mapping[str, str],
    report: Callable[[Finding], None],
    *,
    where: Where = BY_MEMBERS,
    sends: int | None = None,
) -> list[Finding]:
    """Run all checks, and report each finding at once; check feedback by *sends* e-mails if that is given."""
    findings: list[Finding] = []

    def add(*found: Finding) -> bool:
        for finding in found:
            findings.append(finding)
            report(finding)
        return all(finding.state is not State.FAIL for finding in found)

    if not add(*_settings(environ)):
        return findings
    settings = read_settings(ReplicaSettings, environ)
    add(_signing(settings))
    add(*limiting_findings(settings), reply_finding(settings), *_templates(settings))
    topics_fit = add(*await _topics(settings))
    if topics_fit:
        add(*await _contacts(settings))
        add(*await check_signatures(settings))
        add(*await check_controls(settings))
    add(*await check_fleet(settings, where, kafka=topics_fit))
    for finding in await check_account(settings):
        add(finding)
    reached = add(*plain_findings(settings))
    if sends is not None and reached:
        async for finding in check_feedback(settings, sends=sends, kafka=topics_fit):
            add(finding)
    return findings


def _settings(environ: Mapping[str, str]) -> list[Finding]:
    findings = [
        Finding("settings", State.WARN, f"{unknown.variable} is not read by any program", suggestion(unknown))
        for unknown in unknown_settings(environ)
    ]
    problems: dict[str, None] = {}
    for settings_class in PROGRAMS.values():
        try:
            read_settings(settings_class, environ)
        except InvalidSettings as error:
            problems.update(dict.fromkeys(error.problems))
    findings += [Finding("settings", State.FAIL, problem, "see: pause-notifications settings") for problem in problems]
    return findings or [Finding("settings", State.OK, "all are valid")]


def _templates(settings: ReplicaSettings) -> Iterator[Finding]:
    """Yield whether own templates can be used, if there are any."""
    if settings.templates_dir is None:
        return
    try:
        Notices.of(settings)
    except InvalidTemplates as error:
        yield Finding(
            "templates", State.FAIL, str(error), "no replica starts with them; see: pause-notifications preview"
        )
    else:
        yield Finding("templates", State.OK, f"those in {settings.templates_dir} can be used")


def limiting_findings(settings: ReplicaSettings) -> Iterator[Finding]:
    """Yield a warning for each setting by which e-mails are not sent that otherwise would be."""
    allowed, limit = settings.allowed_recipients, settings.max_age_hours
    if allowed is not None:
        listed = [*allowed.domains, *([f"{allowed.addresses} addresses"] if allowed.addresses else [])]
        detail = f"only these get e-mail here: {', '.join(listed)}"
        yield Finding("recipients", State.WARN, detail, f"unset {env_name('recipients_allowed')} in production")
    if limit is not None:
        yield Finding("age", State.OK, f"nothing is sent for an event older than {limit:g} hours")


def _signing(settings: Settings) -> Finding:
    try:
        keys = read_signing_keys(settings)
    except InvalidSettings as error:
        return Finding("signing keys", State.FAIL, str(error), _MAKE_KEY)
    if not keys:
        effect = "pn_ headers are ignored: repeated calls without a key are sent twice, and nothing can be replayed"
        return Finding("signing keys", State.WARN, f"there are none, so {effect}", _MAKE_KEY)
    return Finding("signing keys", State.OK, f"{keys.ids[0]} signs; verified: {', '.join(keys.ids)}")


async def _topics(settings: Settings) -> list[Finding]:
    servers, topics = settings.kafka_bootstrap_servers, topics_of(settings)
    try:
        async with admin_client(settings) as admin:
            partitions = await check_topics(admin, topics, rights_needed(settings))
            found = await differences(admin, topics)
    except UnfitTopics as error:
        advice = "" if isinstance(error, MissingRights) else _make_topics(settings)
        return [Finding("topics", State.FAIL, str(error), advice)]
    except (KafkaError, OSError) as error:
        advice = "check that it runs and can be reached from here: its port, TLS, SASL"
        return [Finding("broker", State.FAIL, await explain(error, settings), advice)]
    return [
        Finding("topics", State.OK, f"{servers} answers, and all eight topics fit, with {partitions} partitions"),
        *(Finding("topics", State.WARN, f"{one.topic}: {one.text}", one.advice) for one in found),
    ]


def _make_topics(settings: Settings) -> str:
    """Return what to do about topics that are missing; first of all that the namespace may be a wrong one."""
    name = env_name("namespace")
    sure = f"if {name}={settings.namespace} is right" if settings.namespace else f"unless {name} is to be set"
    return f"{sure}: pause-notifications topics create"


async def _contacts(settings: Settings) -> list[Finding]:
    try:
        known = await known_contacts(settings)
    except (KafkaError, UnfitTopics, OSError) as error:
        return [Finding("contacts", State.FAIL, f"could not be read: {await explain(error, settings)}")]
    fall = fall_findings(forgotten=len(known.lately_forgotten), left=len(known.valid))
    return [contacts_finding(known.valid), *fall, *lingering_findings(known.lingering)]


def fall_findings(*, forgotten: int, left: int) -> list[Finding]:
    """Return a warning if so many contacts were forgotten within a day that it looks like a mistake."""
    if not fell(gone=forgotten, left=left):
        return []
    detail = f"{forgotten} of {forgotten + left} were forgotten within a day"
    advice = "unless that was meant, load all again: pause-notifications contacts load FILE"
    return [Finding("contacts", State.WARN, detail, advice)]


def lingering_findings(lingering: Collection[bytes]) -> list[Finding]:
    """Return a warning if data of forgotten contacts is left."""
    if not lingering:
        return []
    advice = f"load contacts, or forget these again, such as {_some(lingering)}; Kafka compacts after a later record"
    detail = f"{len(lingering)} were forgotten over two days ago, and the topic still holds their addresses"
    return [Finding("contacts", State.WARN, detail, advice)]


def _some(ids: Iterable[bytes]) -> str:
    return ", ".join(repr(one.decode(errors="replace")) for one in sorted(ids)[:_NAMED])


def contacts_finding(known: Mapping[bytes, bool]) -> Finding:
    """Return the finding about the contacts; *known* has whether each is valid."""
    load = "pause-notifications contacts load FILE"
    valid = sum(known.values())
    invalid = len(known) - valid
    if not valid:
        detail = f"all {invalid} are invalid, so nothing is sent" if invalid else "there are none, so nothing is sent"
        return Finding("contacts", State.FAIL, detail, load)
    if invalid:
        ids = _some(key for key, is_valid in known.items() if not is_valid)
        advice = f"correct them and load them again, such as {ids}: {load}"
        return Finding("contacts", State.WARN, f"{valid} known, and {invalid} invalid: these get no e-mail", advice)
    return Finding("contacts", State.OK, f"{valid} known")
