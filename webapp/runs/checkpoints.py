"""What a run has learned so far, kept as a model and evaluated by another worker while it goes on."""

from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from alignment.kinds import KINDS
from alignment.kinds.evaluate import FEWEST_HELD_OUT
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.machine import uploads
from webapp.projects.models import Split
from webapp.runs.errors import RunError
from webapp.runs.evaluations import learned_from, usual_evaluation
from webapp.runs.inputs import config_of
from webapp.runs.models import Checkpoint, Run, RunQuerySet
from webapp.runs.services import Order, start_run

KIND = "checkpoint"
SEEN = (
    "reference",
    "reward",
    "classifier",
    "code",
)  # roles that an evaluation reads as the run did


def has_checkpoint(run: Run) -> bool:
    """Whether there is something of a run that could be evaluated before its end."""
    return run.kind == "align" and run.checkpoints.filter(deleted=False).exists()


@transaction.atomic
def evaluate_checkpoint(run: Run, *, by: User) -> Run:
    """Queue the evaluation of a run's newest checkpoint, once for each; raises RunError where there is none.

    The checkpoint is held by a name of its own until it is a model: its run removes what is older than its last two.
    """
    _must_have_prompts(run)
    checkpoint = held(run)
    kept = start_run(run.project, _order_to_keep(checkpoint, by))
    return start_run(run.project, _order_to_evaluate(checkpoint, kept, by))


def _must_have_prompts(run: Run) -> None:
    found = run.project.prompts.of_split(Split.TEST)[:FEWEST_HELD_OUT].count()
    if found < FEWEST_HELD_OUT:
        words = _("{n} prompts are held out for tests, and at least {least} are needed.")
        raise RunError(words.format(n=found, least=FEWEST_HELD_OUT))


def held(run: Run) -> Checkpoint:
    """The newest checkpoint that is still whole, under a second name; raises RunError where there is none."""
    if not has_checkpoint(run):
        raise RunError(_("“{name}” has no checkpoint to evaluate yet.").format(name=run))
    for checkpoint in run.checkpoints.filter(deleted=False).order_by("-step", "-epoch"):
        if can_hold(checkpoint):
            return checkpoint
    raise RunError(_("The checkpoints of “{name}” are gone; wait for its next.").format(name=run))


def can_hold(checkpoint: Checkpoint) -> bool:
    """Whether the files of a checkpoint are there whatever becomes of them in its run's folder, or were a model already."""
    key = key_of(checkpoint)
    if checkpoint.run.project.runs.filter(idempotency_key=key).exists():
        return True
    # Who removes a checkpoint says so first: what is kept after that was whole before.
    found = uploads.hold(key, Path(settings.STORE) / checkpoint.path)
    return found and Checkpoint.objects.filter(pk=checkpoint.pk, deleted=False).exists()


def key_of(checkpoint: Checkpoint) -> str:
    """What the run is known by that keeps this checkpoint, and what is held for it."""
    return f"checkpoint-{checkpoint.pk}"


def _order_to_keep(checkpoint: Checkpoint, by: User) -> Order:
    """The run that makes a model of a checkpoint, of all that its run has read."""
    run = checkpoint.run
    told = config_of(run).model_dump() | {"of_run": run.pk, "step": checkpoint.step}
    return Order(
        kind=KIND,
        name=_named(checkpoint, run.name),
        config=KINDS[KIND].settings.stored(told),
        seed=run.seed,
        inputs=_read_by(run),
        key=key_of(checkpoint),
        created_by=by,
        priority=run.priority,
    )


def _order_to_evaluate(checkpoint: Checkpoint, kept: Run, by: User) -> Order:
    """Its evaluation as that of a finished model: beside the same reference, by the newest judge."""
    run, read = checkpoint.run, _read_by(checkpoint.run)
    judge = learned_from(run.project.artifacts.reward_models(), "validation")
    inputs = {role: read[role] for role in SEEN if role in read}
    inputs |= {"judge": judge} if judge else {}
    return Order(
        kind="evaluate",
        name=_named(checkpoint, _("Evaluation of {name}").format(name=run.name)),
        config=usual_evaluation(run.project, run, judge, read.get("classifier")),
        seed=run.seed,
        inputs=inputs,
        needs={"policy": kept},
        key=f"evaluation-{key_of(checkpoint)}",
        created_by=by,
        priority=run.priority,
    )


def _named(checkpoint: Checkpoint, name: str) -> str:
    """A name that says after which step, however long the other is."""
    ending = _(", step {step}").format(step=checkpoint.step)
    return name[: 120 - len(ending)] + ending


def _read_by(run: Run) -> dict[str, Artifact]:
    return {row.role: row.artifact for row in run.inputs.select_related("artifact")}


def kept_from(run: Run) -> RunQuerySet:
    """The runs that kept checkpoints of a run."""
    return run.project.runs.filter(kind=KIND, config__of_run=run.pk)
