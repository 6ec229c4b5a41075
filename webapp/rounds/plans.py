"""What a launch form starts from, and what it says will happen."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.utils.translation import gettext as _
from pydantic import ValidationError

from alignment.kinds import KINDS
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.launch.forecast import expected_in_words, labels_warned, where
from webapp.launch.memory import memory_in_words, most_memory
from webapp.projects.models import Project, Split
from webapp.results.words import aim_in_words
from webapp.rounds import queries
from webapp.rounds.config import PRESETS, RoundConfig
from webapp.rounds.forms import RoundForm
from webapp.rounds.models import Round, RoundRun
from webapp.runs.forecasts import Ground, forecast_of, likely_worker, speed_of
from webapp.runs.models import Worker
from webapp.runs.waiting import live_workers
from webapp.site.htmx import is_key
from webapp.site.pages import count_up_to
from webapp.site.templatetags.display import duration

DEFAULT = "balanced"


class _Plan(NamedTuple):
    """Where a launch form starts: a preset, or an earlier round to repeat."""

    project: Project
    preset: str
    again: Round | None
    config: RoundConfig
    policy: Artifact | None
    snapshot: Snapshot | None
    unknown: str = ""  # settings of the earlier round that this version does not take

    @property
    def keep(self) -> str:
        """What the address of another preset keeps of this one."""
        return f"&from={self.again.pk}" if self.again else ""

    def initial(self, key: UUID) -> dict[str, Any]:
        """Values of the fields that are not settings."""
        backbone = queries.own_backbone(self.again) if self.again else None
        start = {"policy": self.policy, "snapshot": self.snapshot, "backbone": backbone}
        return {"key": key} | start


def plan_from(project: Project, query: Mapping[str, str]) -> _Plan:
    """The plan an address asks for: ?preset=, ?from=<round>, ?policy= or ?snapshot=."""
    again = _chosen(project.rounds, query.get("from"))
    preset = query.get("preset", "" if again else DEFAULT)
    config = PRESETS[preset].config if preset in PRESETS else PRESETS[DEFAULT].config
    policy = _chosen(project.artifacts.models(), query.get("policy"))
    unknown = ""
    if again is not None and preset not in PRESETS:
        config, unknown = _config_of(again)
    if policy is None and (last := again or project.rounds.first()) is not None:
        policy = next_policy(last)
    return _Plan(
        project,
        preset,
        again,
        config,
        policy or project.artifacts.models().first(),
        _chosen(project.snapshots, query.get("snapshot")) or project.snapshots.first(),
        unknown,
    )


def _chosen(rows: Any, pk: str | None) -> Any:  # noqa: ANN401 - any manager, its row
    """The row that an address names, if it is one of these."""
    return rows.filter(pk=pk).first() if pk and is_key(pk) else None


def _config_of(row: Round) -> tuple[RoundConfig, str]:
    """A round's settings; the defaults, and which settings are why, where this version does not take them."""
    try:
        return RoundConfig.model_validate(row.config), ""
    except ValidationError as error:
        names = {".".join(map(str, wrong["loc"])) for wrong in error.errors()}
        return RoundConfig(), ", ".join(sorted(names))


def next_policy(row: Round) -> Artifact:
    """What to align next: the round's own policy if it was better, else what it started from."""
    standing = queries.standing(row)
    if standing.verdict is None or standing.verdict.state != "better":
        return row.policy
    made = Artifact.objects.models().filter(
        producer__parts__round=row, producer__parts__part=RoundRun.Part.ALIGN
    )
    return made.first() or row.policy


def outlook(form: RoundForm, plan: _Plan) -> list[str]:
    """What will happen if the form is sent as it is, in sentences."""
    if form.is_bound:
        if not form.is_valid():
            return [_("Some settings have to be mended before the round can start.")]
        config, data = form.config, form.cleaned_data
        return what_happens(plan.project, config, data["snapshot"], data["policy"])
    if plan.snapshot is None or plan.policy is None:
        return []
    return what_happens(plan.project, plan.config, plan.snapshot, plan.policy)


def what_happens(
    project: Project, config: RoundConfig, snapshot: Snapshot, policy: Artifact
) -> list[str]:
    """The parts of the round in one sentence, then how long and where."""
    align = config.align
    samples = align.prompts_per_step * align.completions_per_prompt
    judged_on = config.evaluate.prompts
    held_out = min(judged_on, count_up_to(project.prompts.of_split(Split.TEST), judged_on))
    wanted = config.generate.prompts
    workers = list(live_workers())
    asked = min(wanted, count_up_to(project.prompts.for_labels(), wanted))
    return [
        _(
            "Learns a reward model from the {pairs} training pairs of {snapshot}; aligns {policy} to "
            "it in {steps} steps of {samples} completions by {aim} at beta {beta}, at most {budget} "
            "nats away; compares both on {held_out} held-out prompts, {judged}; then asks annotators "
            "about new completions of {asked} prompts."
        ).format(
            pairs=snapshot.pairs_in(Split.TRAIN),
            snapshot=snapshot,
            policy=policy,
            steps=align.steps,
            samples=samples,
            aim=aim_in_words(align.model_dump()),
            beta=f"{align.beta:g}",
            budget=f"{align.kl_budget:g}",
            held_out=held_out,
            judged=judging(config, snapshot),
            asked=asked,
        ),
        *shrinking(config, policy),
        f"{expected_round(project, config, snapshot, policy, workers)} {where(workers)}"
        f"{memory_in_words(most_memory(policy))}",
        *labels_warned(snapshot),
    ]


def shrinking(config: RoundConfig, policy: Artifact) -> list[str]:
    """What becomes of the policy's size, where something does."""
    if not config.smaller.kind:
        return []
    words = _("Before that {policy} is made smaller: {way}. What is evaluated is as it is served.")
    way = _(KINDS[config.smaller.kind].title).lower()
    return [words.format(policy=policy, way=way)]


def judging(config: RoundConfig, snapshot: Snapshot) -> str:
    """Who decides, in the words of the sentence."""
    return {
        "held_out_labels": _("judged by a second reward model of {n} other pairs").format(
            n=snapshot.pairs_in(Split.VALIDATION)
        ),
        "utility": _("judged by the simulated utility"),
        "none": _("judged by nobody"),
    }[config.evaluate.judge]


def expected_round(
    project: Project,
    config: RoundConfig,
    snapshot: Snapshot,
    policy: Artifact,
    workers: Iterable[Worker],
) -> str:
    """How long a round takes: all its runs one after another, where that can be said of each; else what the last took."""
    worker, labels = likely_worker(workers), snapshot.artifact
    if speed_of(worker) is None:
        return _how_long(project)
    given = {"policy": policy, "backbone": policy, "labels": labels}
    ground = Ground(project)
    found = [
        forecast_of(KINDS[kind], settings, given, ground, worker) for kind, settings in config.runs
    ]
    if not all(one.summed for one in found):
        return _how_long(project)
    seconds = sum(one.seconds for one in found)
    return expected_in_words(seconds, worker, known=all(one.runs for one in found))


def _how_long(project: Project) -> str:
    """What the last finished round took, where nobody knows more."""
    for row in queries.standings(project.rounds.all()[:10]):
        if row.state == "succeeded" and row.seconds is not None:
            return _("{name} took {time}.").format(name=row.round, time=duration(row.seconds))
    return _("No round has finished yet, so nobody knows how long it takes.")
