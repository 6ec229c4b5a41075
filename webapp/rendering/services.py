"""Texts rendered once: looked up together, made where they are missing, and stored."""

import logging
from collections.abc import Iterable, Mapping
from hashlib import sha256

from django.db import DatabaseError, transaction

from webapp.rendering.models import Rendering
from webapp.rendering.render import VERSION, Rendered, render

log = logging.getLogger(__name__)
AT_ONCE = 500  # digests of one query


def rendered(texts: Iterable[str]) -> dict[str, Rendered]:
    """How each text is shown, in one look-up; what nobody has seen yet is rendered and stored."""
    digests = {text: digest(text) for text in texts}
    known = _stored(sorted(set(digests.values())))
    missing = {each: render(text) for text, each in digests.items() if text and each not in known}
    _store(missing)
    found = known | missing
    return {text: found[each] if text else render(text) for text, each in digests.items()}


def digest(text: str) -> str:
    """What a text is known by."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stored(digests: list[str]) -> dict[str, Rendered]:
    found: dict[str, Rendered] = {}
    for start in range(0, len(digests), AT_ONCE):
        rows = Rendering.objects.of(digests[start : start + AT_ONCE])
        for key, *columns in rows.values_list("digest", "html", "why", "look"):
            found[key] = Rendered(*columns)
    return found


def _store(made: Mapping[str, Rendered]) -> None:
    """Keep what was made; a database that takes nothing costs time later, never the page."""
    rows = [Rendering(digest=key, version=VERSION, **each._asdict()) for key, each in made.items()]
    if not rows:
        return
    try:
        with transaction.atomic():
            Rendering.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["digest"],
                update_fields=["version", "html", "why", "look"],
            )
    except DatabaseError:
        log.warning("%d renderings could not be stored", len(rows), exc_info=True)
