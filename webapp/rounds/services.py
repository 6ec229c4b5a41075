"""What changes rounds."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from alignment.kinds import KINDS
from alignment.kinds.evaluate import FEWEST_HELD_OUT
from alignment.seam.architectures import family_in
from alignment.seam.settings import Settings
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.datasets.models import Snapshot
from webapp.launch.checks import few_pairs_in_words
from webapp.projects.models import Project, Split
from webapp.rounds.config import RoundConfig
from webapp.rounds.models import Round, RoundRun
from webapp.runs.models import FINAL, Run, State
from webapp.runs.services import Order, cancel_run, retry_run, start_run
from webapp.site.errors import Refusal

Part = RoundRun.Part
FEWEST_PROMPTS = {Split.TRAIN: 1, Split.TEST: FEWEST_HELD_OUT}
# What a run makes is called like the run.
MADE = {Part.ALIGN: "Aligned model", Part.SHRINK: "Smaller model", Part.SERVE: "Served model"}


class RoundError(Refusal):
    """A round cannot start, or is over."""


@transaction.atomic
def start_round(
    *,
    snapshot: Snapshot,
    policy: Artifact,
    config: RoundConfig,
    key: str,
    backbone: Artifact | None = None,
    created_by: User | None = None,
) -> Round:
    """Make a round and all its runs at once, each naming whose outputs it needs.

    Reward model and judge start from the backbone, or from the policy. Idempotent by key. Raises RoundError where the labels or prompts cannot carry a round.
    """
    project = Project.objects.select_for_update().get(
        pk=snapshot.project_id
    )  # numbers are drawn one at a time
    if (known := project.rounds.filter(idempotency_key=key).first()) is not None:
        return known
    refuse_hopeless(project, snapshot, policy, config)
    last = project.rounds.aggregate(last=Max("number"))["last"] or 0
    made = Round.objects.create(
        project=project,
        number=last + 1,
        snapshot=snapshot,
        policy=policy,
        config=config.model_dump(mode="json"),
        idempotency_key=key,
        created_by=created_by,
    )
    start_chain(made, config, backbone or policy)
    said = {"number": made.number, "runs": made.runs.count()}
    record_act(Act.ROUND_STARTED, created_by, project=project.pk, about=made.pk, **said)
    return made


def refuse_hopeless(
    project: Project, snapshot: Snapshot, policy: Artifact, config: RoundConfig
) -> None:
    """Say before anything starts what would only fail later."""
    if snapshot.project_id != project.pk or policy.project_id != project.pk:
        raise RoundError(_("The snapshot and the start model must belong to this project."))
    if text := shrinking_refused(policy, config):
        raise RoundError(text)
    judged = config.evaluate.judge == "held_out_labels"
    for split in (Split.TRAIN, Split.VALIDATION)[: 1 + judged]:
        refuse_few_pairs(snapshot, split)
    for split, fewest in FEWEST_PROMPTS.items():
        if (found := project.prompts.of_split(split).count()) < fewest:
            raise RoundError(
                _(
                    "The project has {n} prompts in the {split} split; a round needs at least "
                    "{least}. Add prompts: one in five becomes a test prompt."
                ).format(n=found, split=_(split), least=fewest)
            )


def shrinking_refused(policy: Artifact, config: RoundConfig) -> str:
    """Why a policy cannot be made smaller as the round says; empty where it can, or stays as it is."""
    if not (kind := config.smaller.kind):
        return ""
    return KINDS[kind].refusal(config.shrinking, family_in(policy.path))


def refuse_few_pairs(snapshot: Snapshot, split: Split) -> None:
    """Refuse a snapshot that cannot carry a reward model, or a judge."""
    if text := few_pairs_in_words(snapshot, split):
        raise RoundError(text)


def start_chain(made: Round, config: RoundConfig, backbone: Artifact) -> None:
    """The runs of a round: reward model, judge, alignment, evaluation, new completions.

    Where the policy is made smaller first, that is what is aligned, and evaluated in its small form.
    """
    policy, labels = made.policy, made.snapshot.artifact
    learning = {"backbone": backbone, "labels": labels}
    if config.reward.centring == "reference":
        learning["reference"] = policy
    reward = start_part(made, Part.REWARD, "reward", config.reward, inputs=learning)
    judges = {}
    if config.evaluate.judge == "held_out_labels":
        judges["judge"] = start_part(made, Part.JUDGE, "reward", config.judge, inputs=learning)
    weighed = {
        role: labels
        for role in ("labels", "preferences")
        if KINDS["align"].input_named(role).is_read(config.align)
    }
    start, needs = {"policy": policy, "reference": policy}, {"reward": reward}
    if config.smaller.kind:
        needs["policy"] = shrink(made, Part.SHRINK, config, inputs={"policy": start.pop("policy")})
    align = start_part(made, Part.ALIGN, "align", config.align, inputs=start | weighed, needs=needs)
    served = align
    if config.smaller.is_undone:
        served = shrink(made, Part.SERVE, config, needs={"policy": align})
    start_part(
        made,
        Part.EVALUATE,
        "evaluate",
        config.evaluation,
        inputs={"reference": policy},
        needs={"policy": served, "reward": reward} | judges,
    )
    chosen = {"reward": reward} if config.generate.kept == "best" else {}
    start_part(made, Part.GENERATE, "generate", config.generate, needs={"policy": served} | chosen)


class Edges(TypedDict, total=False):
    """What a run of a round reads, by role: what is there, and what another run of it makes."""

    inputs: Mapping[str, Artifact]
    needs: Mapping[str, Run]


def start_part(made: Round, part: Part, kind: str, config: Settings, **edges: Unpack[Edges]) -> Run:
    """Queue one run of a round and remember its part."""
    seed = made.config["seed"]
    run = start_run(
        made.project,
        Order(
            kind=kind,
            name=f"{made} · {MADE.get(part, part.label)}",
            config=config,
            seed=seed,
            key=f"round-{made.pk}-{part}",
            created_by=made.created_by,
            **edges,
        ),
    )
    RoundRun.objects.create(round=made, run=run, part=part)
    return run


def shrink(made: Round, part: Part, config: RoundConfig, **edges: Unpack[Edges]) -> Run:
    """Queue the run that makes a model of a round smaller."""
    return start_part(made, part, config.smaller.kind, config.shrinking, **edges)


@transaction.atomic
def cancel_round(made: Round, *, by: User) -> int:
    """Cancel every run of the round that is not over; how many there were."""
    waiting = list(made.runs.exclude(state__in=FINAL).order_by("-pk"))
    if not waiting:
        raise RoundError(_("{name} is over already.").format(name=made))
    for run in waiting:  # the last first, so that nothing starts in between
        cancel_run(run, by=by)
    _record_change(made, by, "cancel")
    return len(waiting)


@transaction.atomic
def retry_round(made: Round, *, by: User) -> int:
    """Queue what failed or was cancelled once more, on what had succeeded; how many runs."""
    if made.runs.exclude(state__in=FINAL).exists():
        raise RoundError(
            _("{name} is still at work; wait for its end, or cancel it.").format(name=made)
        )
    order = {part: place for place, part in enumerate(Part)}
    rows = made.parts.select_related("run").exclude(run__state=State.SUCCEEDED)
    broken = sorted(rows, key=lambda row: order[Part(row.part)])
    if not broken:
        raise RoundError(_("Everything in {name} succeeded.").format(name=made))
    for row in broken:  # in the order of the chain, so that each finds the new runs it needs
        row.run = retry_run(row.run, by=by)
        row.save(update_fields=["run"])
    _record_change(made, by, "retry")
    return len(broken)


def _record_change(made: Round, by: User, what: str) -> None:
    record_act(Act.ROUND_CHANGED, by, project=made.project_id, about=made.pk, what=what)
