"""
One page with every notice as different people get it.

Names and reasons are long, hostile or from right to left. Some notices are late, and some tell of what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

from jinja2 import Environment, PackageLoader

from consumers.notices.locales import LANGUAGES
from consumers.notices.notices import Notice, Notices
from schemas.dispatch import Reason
from schemas.events import UNDELIVERED, Role


@dataclass(frozen=True)
class Case:
    """Whom notices are about, and what is unusual; the reason is that of their pause."""

    label: str
    mentor: str | None
    coordinator: str | None
    reason: str
    days_late: int = 0
    """How long after the event they are sent."""
    returns_on: datetime | None = None
    """The return from a pause instead of the example's; the case then has no other notices."""
    unreached: Reason | None = None
    """Why the mentor got no e-mail; the case then has only the coordinators' copies that say so."""

    def has(self, event: str, role: Role) -> bool:
        """Return whether this notice is one of the case's."""
        if self.unreached is not None:
            return role is Role.COORDINATOR and event != UNDELIVERED.name
        return self.returns_on is None or event == "pause-activated"


CASES = (
    Case("usual", "Amara Diallo", "Mei-Ling Chen", "personal_leave"),
    Case("nobody named", None, None, "other"),
    Case("right to left", "عبد الرحمن بن خالد الفهد", "نورة بنت سعد العتيبي", "إجازة شخصية"),
    Case(
        "long",
        "Maximiliane-Theresa Gräfin von und zu Hohenstein-Oberlinden de la Fuente y Villanueva "
        "Donaudampfschifffahrtsgesellschaftskapitänswitwe-Rindfleischetikettierung",
        "Wolfeschlegelsteinhausenbergerdorff " * 4,
        "A reason that somebody wrote as a whole paragraph: " + "first one thing happened, and then another, " * 6,
    ),
    Case(
        "hostile",
        '"><script>alert(1)</script> \u202eevil.example\u202c https://evil.example/?a=1 192.0.2.7 +49 30 1234567',
        "<b>www.evil.example</b> tel:+49301234567 \u2067",
        "<img src=https://evil.example/x.png> {{ 7 * 7 }} www.evil.example/pay mailto:pay@evil.example",
    ),
    Case("late", "Amara Diallo", "Mei-Ling Chen", "x", days_late=60),
    Case("back-dated", "Amara Diallo", "Mei-Ling Chen", "holiday", returns_on=datetime(2025, 5, 1, tzinfo=UTC)),
    Case("not reached", "Amara Diallo", "Mei-Ling Chen", "holiday", unreached=Reason.BOUNCED),
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
        Case(f"case {number}", name, name, reason)
        for number, (name, reason) in enumerate(product(names, reasons), start=1)
    )


def mails_of(cases: Iterable[Case], render: Render) -> list[Mail]:
    """Return every notice of every case."""
    return [
        Mail(event, role, language, case.label, render(event, role, language, case))
        for (event, role, language), case in product(Notices.names(), cases)
        if case.has(event, role)
    ]


def page(mails: Sequence[Mail]) -> str:
    """Return the page with these notices, whole and without anything to load."""
    environment = Environment(loader=PackageLoader("deploy.command", "."), autoescape=True)
    return environment.get_template("gallery.html.j2").render(mails=mails, languages=LANGUAGES)
