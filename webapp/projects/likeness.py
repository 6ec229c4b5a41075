"""Prompts that say much the same as another."""

from typing import NamedTuple

from rapidfuzz import fuzz, process, utils

from webapp.projects.models import Project

LOOKED_AT = 10_000  # prompts, the newest: somebody waits
COMPARED = 2_000  # characters of each
LEAST = 88.0  # percent of the characters that both have in the same order
SHOWN = 3


class Near(NamedTuple):
    """A prompt that is there, and how much of it is the same, in percent."""

    text: str
    percent: int


def near_duplicates(project: Project, text: str) -> list[Near]:
    """The prompts most like a text, capitals and signs aside, the most like one first."""
    newest = project.prompts.order_by("-pk").values_list("messages", flat=True)[:LOOKED_AT]
    texts = [turns[-1]["content"] for turns in newest]
    found = process.extract(
        text[:COMPARED],
        [one[:COMPARED] for one in texts],
        scorer=fuzz.ratio,
        processor=utils.default_process,
        score_cutoff=LEAST,
        limit=SHOWN,
    )
    return [Near(texts[place], round(score)) for _, score, place in found]
