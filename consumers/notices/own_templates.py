"""Templates of one's own, which replace ours file by file; a mistake in them stops the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader

from consumers.notices.pages import Pages, environment_of
from consumers.notices.template_check import TemplateCheck, Values

_MUST_SAY = ("subject", "heading", "lead")


class InvalidTemplates(Exception):
    """Templates cannot be used; the message names each fault with file and line, one a line."""


class OwnTemplates(FileSystemLoader):
    """The templates in a folder: its own files, and those of the folders in it, one for each language."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        self._folder = folder

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return a template's text and file; raise InvalidTemplates if it is not UTF-8."""
        try:
            return super().get_source(environment, template)
        except UnicodeDecodeError:
            raise InvalidTemplates(f"{self._folder / template}: is not UTF-8") from None

    def list_templates(self) -> list[str]:
        """
        Return their names, without hidden ones such as `..data` of a Kubernetes volume.

        Deeper folders are not looked at: a link may lead back, or to a whole disk.
        """
        files = chain(self._folder.glob("*.j2"), self._folder.glob("*/*.j2"))
        names = (file.relative_to(self._folder) for file in files)
        return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def templates_in(folder: Path | None) -> OwnTemplates | None:
    """Return the templates in a folder, or None without one. Raise InvalidTemplates if it has none, or no files."""
    if folder is None:
        return None
    own = OwnTemplates(folder)
    names = own.list_templates()
    if not names:
        raise InvalidTemplates(f"{folder}: no template (*.j2) is here, or in a folder of a language such as en/")
    # Jinja would pass over them, and ours would be sent in their place.
    _raise_if_any(f"{folder / name}: is not a file" for name in names if not (folder / name).is_file())
    return own


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
    _raise_if_any(check.unused(own.list_templates()))
    name, empty = next(iter(samples)), list[str]()
    try:
        pages = Pages(loader, samples, its_globals)
        for name, values in samples.items():
            for sample in values:
                empty += [check.empty_block(name, block) for block in _empty_blocks(pages, name, sample)]
    except Exception as error:  # whatever a template does
        raise InvalidTemplates(check.explain(name)) from error
    _raise_if_any(empty)
    return pages


def _empty_blocks(pages: Pages, name: str, sample: Values) -> list[str]:
    """Render a notice; return which blocks have no text that must have one."""
    pages.render(name, sample)
    return [block for block in _MUST_SAY if not pages.text.rendered(name, block, sample).strip()]


def _raise_if_any(faults: Iterable[str]) -> None:
    found = dict.fromkeys(faults)
    if found:
        raise InvalidTemplates("\n".join(found))
