"""What the image's health check asks, and what it makes of the answer."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.ports import HOST, free_ports
from runtime.health_check import DEFAULT_PORTS, port_of, problem
from runtime.management import Health, management_server
from runtime.metrics import http_refusals, program_registry


@pytest.mark.parametrize(
    ("command", "given", "port"),
    [
        pytest.param(b"python\0-m\0service\0", None, DEFAULT_PORTS["service"], id="a facade"),
        pytest.param(b"python\0-m\0consumers\0", None, DEFAULT_PORTS["consumers"], id="a replica"),
        pytest.param(b"/sbin/docker-init\0--\0python\0-m\0service\0", "9001", 9001, id="another port, under an init"),
        pytest.param(b"sleep\0infinity\0", "9001", None, id="no program of ours"),
    ],
)
def test_the_port_is_that_of_the_program(command: bytes, given: str | None, port: int | None) -> None:
    """The first process of the container decides which port is asked, unless a setting does."""
    assert port == port_of(command, given)


async def test_the_answer_decides() -> None:
    """A program that is alive is well, one that is not ready is not, and the answer says why."""
    unready = Health(ok=False, detail={"contacts": "reading"})
    registry = program_registry()
    async with management_server(
        HOST,
        0,
        live=lambda: Health(ok=True),
        ready=lambda: unready,
        registry=registry,
        refusals=http_refusals(registry),
    ) as port:
        alive = await asyncio.to_thread(problem, port, "/livez")
        ready = await asyncio.to_thread(problem, port, "/readyz")

    assert None is alive
    assert '/readyz answers 503: {"ok":false,"contacts":"reading"}' == ready


def test_no_answer_is_a_problem() -> None:
    """A program that does not listen is not well."""
    (port,) = free_ports(1)

    assert "/livez does not answer: ConnectionRefusedError" in str(problem(port, "/livez"))
