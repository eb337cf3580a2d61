"""Templates of one's own, which replace ours file by file; a mistake in them stops the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader

from consumers.notices.pages import Pages, environment_of
from consumers.notices.template_check import TemplateCheck, Values


class InvalidTemplates(Exception):
    """Templates cannot be used; the message names each fault with file and line, one a line."""


def templates_in(folder: Path | None) -> BaseLoader | None:
    """Return the templates in a folder, or None without one. Kubernetes mounts folders as links."""
    return None if folder is None else FileSystemLoader(folder, followlinks=True)


def checked_pages(
    own: BaseLoader, ours: BaseLoader, samples: Mapping[str, Sequence[Values]], its_globals: Values
) -> Pages:
    """
    Return the pages of all notices, each by its name with samples of the values that it gets.

    *its_globals* are the values that all notices share.

    Raises:
        InvalidTemplates: it names every fault.
    """
    loader = ChoiceLoader([own, ours])
    check = TemplateCheck(environment_of(loader, escaped=True), loader)
    _raise_if_any(chain.from_iterable(check.notice(name, values[0].keys()) for name, values in samples.items()))
    _raise_if_any(check.unused(own))
    name = next(iter(samples))
    try:
        pages = Pages(loader, samples, its_globals)
        for name, values in samples.items():
            for sample in values:
                pages.render(name, sample)
    except Exception as error:  # whatever a template does
        raise InvalidTemplates(check.explain(name)) from error
    return pages


def _raise_if_any(faults: Iterable[str]) -> None:
    found = dict.fromkeys(faults)
    if found:
        raise InvalidTemplates("\n".join(found))
