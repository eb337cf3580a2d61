"""One page with every notice as different people get it: with long, hostile and right-to-left names and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from jinja2 import Environment, PackageLoader

from consumers.notices.locales import LANGUAGES
from consumers.notices.notices import Notice, Notices
from schemas.events import Role


@dataclass(frozen=True)
class Case:
    """The mentor whom notices are about, and the reason of their pause. The coordinator has a usual name."""

    label: str
    name: str | None
    reason: str


CASES = (
    Case("usual", "Amara Diallo", "personal_leave"),
    Case("nobody named", None, "other"),
    Case("right to left", "عبد الرحمن بن خالد الفهد", "إجازة شخصية"),
    Case(
        "long",
        "Maximiliane-Theresa Gräfin von und zu Hohenstein-Oberlinden de la Fuente y Villanueva "
        "Donaudampfschifffahrtsgesellschaftskapitänswitwe-Rindfleischetikettierung",
        "A reason that somebody wrote as a whole paragraph: " + "first one thing happened, and then another, " * 6,
    ),
    Case(
        "hostile",
        '"><script>alert(1)</script> \u202eevil.example\u202c https://evil.example/?a=1 192.0.2.7 +49 30 1234567',
        "<img src=https://evil.example/x.png> {{ 7 * 7 }} www.evil.example/pay mailto:pay@evil.example",
    ),
)


@dataclass(frozen=True)
class Mail:
    """One notice on the page."""

    event: str
    role: Role
    language: str
    case: str
    notice: Notice

    @property
    def id(self) -> str:
        """Return the name of its part of the page."""
        return f"{self.language}.{self.event}.{self.role}.{self.case.replace(' ', '-')}"


Render = Callable[[str, Role, str, Case], Notice]


def cases_of(names: Sequence[str], reasons: Sequence[str]) -> tuple[Case, ...]:
    """Return every name with every reason, or our cases if there are neither."""
    if not (names or reasons):
        return CASES
    names, reasons = names or ["Amara Diallo"], reasons or ["personal_leave"]
    return tuple(
        Case(f"case {number}", name, reason) for number, (name, reason) in enumerate(product(names, reasons), start=1)
    )


def mails_of(cases: Iterable[Case], render: Render) -> list[Mail]:
    """Return every notice for every case."""
    return [
        Mail(event, role, language, case.label, render(event, role, language, case))
        for (event, role, language), case in product(Notices.names(), cases)
    ]


def page(mails: Sequence[Mail]) -> str:
    """Return the page with these notices, whole and without anything to load."""
    environment = Environment(loader=PackageLoader("deploy.command", "."), autoescape=True)
    return environment.get_template("gallery.html.j2").render(mails=mails, languages=LANGUAGES)
