"""What a project lacks before something can start, and where to get it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.kinds import KINDS
from alignment.kinds.kind import ArtifactType, Kind, Prompts
from webapp.projects.models import Project, Split
from webapp.runs.forecasts import Ground
from webapp.site.pages import count_up_to
from webapp.site.words import Words


class Missing(NamedTuple):
    """The first thing that stands in the way."""

    text: str
    url: str  # a URL name that takes the project
    query: str
    action: str
    spared: bool = False  # whether some settings do without it


class Stock(NamedTuple):
    """What a project has for runs to read."""

    prompts: Mapping[str, int]  # by split
    artifacts: Collection[str]  # the types of which there are some


class Need(NamedTuple):
    """One thing a run reads, and what to do where there is none."""

    words: Words
    missing: Missing | None


def stock_of(ground: Ground, kinds: Collection[Kind]) -> Stock:
    """Counted as far as any of these kinds needs."""
    all_prompts = ground.project.prompts
    least: dict[str, int] = {}
    for needed in (one for kind in kinds for one in kind.read_prompts):
        least[needed.split] = max(needed.least, least.get(needed.split, 0))
    prompts = {one: count_up_to(all_prompts.of_split(one), n) for one, n in least.items()}
    return Stock(prompts, ground.types)


def needs_of(kind: Kind, project: Project, stock: Stock) -> list[Need]:
    """What a kind of run needs of the project, in the order in which it comes to be."""
    prompts = [_needed_prompts(asked, stock) for asked in kind.read_prompts]
    return [*prompts, *_needed_artifacts(kind, project, stock)]


def missing_for(kind: Kind, ground: Ground) -> Missing | None:
    """What keeps a run of this kind from starting, if anything; last what some settings do without."""
    needs = needs_of(kind, ground.project, stock_of(ground, [kind]))
    found = [need.missing for need in needs if need.missing]
    return min(found, key=lambda missing: missing.spared, default=None)


def missing_labels(project: Project) -> Missing | None:
    """What stands between a project and frozen labels, if anything."""
    if project.snapshots.exists():
        return None
    if project.labels.exists():
        text = _(
            "The labels have to be frozen into a snapshot first, so that the result can be traced."
        )
        return Missing(text, "datasets:snapshots", "", _("Freeze a snapshot"))
    if project.tasks.exists():
        return Missing(_("No answers are labelled yet."), "labeling:label", "", _("Label answers"))
    text = _("There are no answers to compare yet: let the model write some.")
    return Missing(text, "runs:start", "?kind=generate", _("Answer prompts"))


def _needed_prompts(needed: Prompts, stock: Stock) -> Need:
    split, least = Split(needed.split), needed.least
    found = stock.prompts.get(split, 0)
    missing = None if found >= least else _too_few(split, least, found)
    return Need(_("held-out prompts") if split == Split.TEST else _("prompts"), missing)


def _too_few(split: Split, least: int, found: int) -> Missing:
    if split != Split.TEST:
        return Missing(_("There are no prompts to answer yet."), "prompts", "", _("Add prompts"))
    text = _(
        "{n} prompts are held out for tests, and at least {least} are needed. Add prompts: one "
        "in five becomes a test prompt."
    ).format(n=found, least=least)
    return Missing(text, "prompts", "", _("Add prompts"))


def _needed_artifacts(kind: Kind, project: Project, stock: Stock) -> Iterator[Need]:
    needed = [kind.input_named(role) for role in kind.roles(kind.settings())]
    for types in dict.fromkeys(one.types for one in needed):
        words, missing = ARTIFACTS[types[0]]
        there = any(type in stock.artifacts for type in types)
        found = None if there else missing(project)  # None as well: it has come since the count
        spared = all(one.empty for one in needed if one.types == types)
        yield Need(words, found._replace(spared=spared) if found else None)


def _no_model(_project: Project) -> Missing:
    text = _("There is no model yet.")
    return Missing(text, "runs:start", "?kind=pretrain", _("Train the starter model"))


def _no_reward(_project: Project) -> Missing:
    text = _("There is no reward model yet; it learns from frozen labels what people prefer.")
    return Missing(text, "runs:start", "?kind=reward", _("Train a reward model"))


def _no_corpus(_project: Project) -> Missing:
    text = _("There is no corpus yet: upload a file of documents.")
    return Missing(text, "datasets:corpora", "", _("Add a corpus"))


def _no_texts(_project: Project) -> Missing:
    text = _("There is no file of texts and their classes yet.")
    return Missing(text, "datasets:texts", "", _("Add texts"))


def _no_code(_project: Project) -> Missing:
    text = _("There is no reward from code yet; an admin adds one.")
    return Missing(text, "registry:code", "", _("Rewards from code"))


def _none_made(type: str, words: str) -> Missing:
    """There is none of what only a run makes: that is what comes first."""
    maker = next(kind for kind in KINDS.values() if kind.group and type in kind.makes)
    return Missing(
        _("There is nothing of this kind yet: {words}.").format(words=words),
        "runs:start",
        f"?kind={maker.name}",
        _(maker.title),
    )


ARTIFACTS: Mapping[ArtifactType, tuple[Words, Callable[[Project], Missing | None]]] = {
    ArtifactType.MODEL: (gettext_lazy("a model"), _no_model),
    ArtifactType.REWARD: (gettext_lazy("a reward model"), _no_reward),
    ArtifactType.SNAPSHOT: (gettext_lazy("a snapshot"), missing_labels),
    ArtifactType.COMPLETIONS: (
        gettext_lazy("stored answers"),
        lambda _project: _none_made(ArtifactType.COMPLETIONS, _("stored answers")),
    ),
    ArtifactType.SCORES: (
        gettext_lazy("scores"),
        lambda _project: _none_made(ArtifactType.SCORES, _("scores")),
    ),
    ArtifactType.CORPUS: (gettext_lazy("a corpus"), _no_corpus),
    ArtifactType.TEXTS: (gettext_lazy("texts with classes"), _no_texts),
    ArtifactType.CLASSIFIER: (
        gettext_lazy("a classifier"),
        lambda _project: _none_made(ArtifactType.CLASSIFIER, _("a classifier")),
    ),
    ArtifactType.CODE: (gettext_lazy("a reward from code"), _no_code),
}
