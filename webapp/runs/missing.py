"""What a project lacks before something can start, and where to get it."""

from typing import NamedTuple

from webapp.projects.models import Project, Split


class Missing(NamedTuple):
    """The first thing that stands in the way."""

    text: str
    url: str  # a URL name that takes the project
    query: str
    action: str


def missing_for_answers(project: Project) -> Missing | None:
    """What keeps a model from answering the project's prompts, if anything."""
    if not project.prompts.of_split(Split.TRAIN).exists():
        return Missing("There are no prompts to answer yet.", "prompts", "", "Add prompts")
    if not project.artifacts.models().exists():
        text = "There is no model yet."
        return Missing(text, "runs:start", "?kind=pretrain", "Train the starter model")
    return None
