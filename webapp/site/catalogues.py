"""Catalogues of words: written by people as `.po`, read by programs as `.mo`, which are made where they are missing or older."""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings

logger = logging.getLogger(__name__)


def compile_all() -> None:
    """Bring the compiled catalogues up to date; where nobody may write them, pages are in English and it is logged."""
    for written in _stale():
        try:
            _compile(written)
        except OSError as error:
            logger.warning("%s cannot be compiled: %s", written.name, error)


def _stale() -> Iterator[Path]:
    for folder in map(Path, settings.LOCALE_PATHS):
        for written in folder.glob("*/LC_MESSAGES/*.po"):
            made = written.with_suffix(".mo")
            if not made.exists() or made.stat().st_mtime < written.stat().st_mtime:
                yield written


def _compile(written: Path) -> None:
    """In one move: several programs start at once."""
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - only where something has changed
    from babel.messages.pofile import read_po  # noqa: PLC0415

    with written.open("rb") as file:
        catalogue = read_po(file)
    with NamedTemporaryFile(dir=written.parent, suffix=".part", delete=False) as part:
        write_mo(part, catalogue)
    Path(part.name).replace(written.with_suffix(".mo"))
