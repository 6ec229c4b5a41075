"""Texts rendered once: looked up together, made where they are missing, and stored."""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate

from django.db import DatabaseError, transaction

from webapp.rendering.models import VERSION, Rendering
from webapp.rendering.render import Rendered, as_written, render

log = logging.getLogger(__name__)
KEYS = 500  # digests of one query
AT_ONCE = 2_000_000  # characters that one page renders: a second or two
FEW = 600  # characters that are rendered sooner than they are looked up and stored
LATER = "this page holds more new texts than are rendered at once; open it again"


def rendered(texts: Iterable[str]) -> dict[str, Rendered]:
    """How each text is shown, in one look-up; what nobody has seen yet is rendered and stored.

    A few short ones are rendered each time, and nothing of them is stored.
    """
    asked = dict.fromkeys(texts)
    if sum(map(len, asked)) <= FEW:
        return {text: render_short(text) for text in asked}
    digests = {text: digest(text) for text in asked}
    known = _stored(sorted(set(digests.values())))
    missing = [text for text, each in digests.items() if each not in known]
    now = _up_to(AT_ONCE, missing)
    made = {text: render(text) for text in missing[:now]}
    _store({digests[text]: each for text, each in made.items() if text})
    later = {text: as_written(text, LATER) for text in missing[now:]}
    found = {text: known[each] for text, each in digests.items() if each in known}
    return found | made | later


@lru_cache(2000)
def render_short(text: str) -> Rendered:
    """The text rendered; prompts and guidelines come again and again."""
    return render(text)


def _up_to(room: int, texts: list[str]) -> int:
    """How many of these texts have so many characters together; the first has room in any case."""
    lengths = accumulate(map(len, texts))
    return sum(length <= room for length in lengths) or len(texts[:1])


def digest(text: str) -> str:
    """What a text is known by."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stored(digests: list[str]) -> dict[str, Rendered]:
    found: dict[str, Rendered] = {}
    for start in range(0, len(digests), KEYS):
        rows = Rendering.objects.of(digests[start : start + KEYS])
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


def forget_renderings(texts: Iterable[str]) -> None:
    """Drop what was kept of these texts: they are erased."""
    digests = sorted(set(map(digest, texts)))
    for start in range(0, len(digests), KEYS):
        Rendering.objects.filter(digest__in=digests[start : start + KEYS]).delete()
    render_short.cache_clear()
