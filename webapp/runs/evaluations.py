"""How a model is usually evaluated, by what it was made with."""

from alignment.kinds import KINDS
from alignment.seam.settings import Settings
from webapp.artifacts.models import Artifact, ArtifactQuerySet
from webapp.projects.models import Project
from webapp.runs.models import Run

# Settings of an alignment that its evaluation is about.
AIM = ("beta", "divergence", "alpha", "max_new_tokens")


def learned_from(rewards: ArtifactQuerySet, split: str) -> Artifact | None:
    """The newest reward model that learned from the labels of a split."""
    return rewards.filter(producer__config__labels=split).first()


def usual_evaluation(
    project: Project, made: Run | None, judge: Artifact | None, classifier: Artifact | None
) -> Settings:
    """The settings with which what a run made is evaluated: judged by whom there is, at what it was aimed at."""
    config = KINDS["evaluate"].settings()
    if classifier is not None:
        config = config.model_copy(update={"classes": "counted"})
    if judge is None:
        simulated = project.memberships.filter(user__simulated=True).exists()
        config = config.model_copy(update={"judge": "utility" if simulated else "none"})
    aim = {name: made.config[name] for name in AIM if made and name in made.config}
    if made and made.config.get("objective", "fdpg") != "fdpg":
        aim["divergence"] = "reverse_kl"
    return config.model_copy(update=aim)
