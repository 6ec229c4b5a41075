"""What pages show about rounds: where each stands, what it found, what is missing for the next."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db.models import QuerySet

from alignment.kinds import KINDS
from alignment.seam.records import Receipts
from webapp.artifacts.models import Artifact
from webapp.launch.needs import Missing, missing_for, missing_labels
from webapp.projects.models import Project
from webapp.results.verdict import Verdict, verdict
from webapp.results.words import aim_in_words, receipts_of
from webapp.rounds.models import Round, RoundRun
from webapp.runs.forecasts import Ground
from webapp.runs.models import Run, State
from webapp.runs.waiting import stamp_of_runs

Part = RoundRun.Part


class Standing(NamedTuple):
    """A round, where it stands and, once evaluated, what it found."""

    round: Round
    parts: list[RoundRun]
    state: str
    now: RoundRun | None  # the part that is at work, or the one that stopped the round
    progress: float  # share of the chain, 0 to 1
    verdict: Verdict | None
    summary: Mapping[str, object]

    @property
    def evaluation(self) -> Run | None:
        """The run that evaluates it."""
        return next((part.run for part in self.parts if part.part == Part.EVALUATE), None)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return all(part.run.is_final for part in self.parts)

    @property
    def shown_part(self) -> RoundRun | None:
        """The part that its chain points at while something may still change."""
        return None if self.is_final else self.now

    @property
    def percent(self) -> int:
        """The progress as a whole number."""
        return round(100 * self.progress)

    @property
    def stamp(self) -> str:
        """Changes when the page has something new to show beyond its chain."""
        return f"{'over' if self.is_final else 'on'}-{'judged' if self.verdict else 'open'}"

    @property
    def divergence(self) -> str:
        """What the alignment minimises, in people's words."""
        return aim_in_words(self.round.config["align"])

    @property
    def receipts(self) -> Receipts | None:
        """What its alignment was checked for."""
        return next(
            (receipts_of(part.run.summary) for part in self.parts if part.part == Part.ALIGN), None
        )

    @property
    def seconds(self) -> float | None:
        """How long its runs worked, all together."""
        spans = [part.run.seconds for part in self.parts if part.run.seconds is not None]
        return sum(spans) if spans else None


def own_backbone(row: Round) -> Artifact | None:
    """What its reward model started from, where that was not the round's policy."""
    used = Artifact.objects.filter(uses__role="backbone", uses__run__parts__round=row)
    return used.exclude(pk=row.policy_id).first()


def stamp_of_round(project_id: int, round_id: int) -> str:
    """Another word when one of a round's runs has changed."""
    related = "JOIN rounds_roundrun ON run_id = runs_run.id"
    where = "WHERE project_id = %s AND round_id = %s ORDER BY runs_run.id"
    return stamp_of_runs(f"{related} {where}", project_id, round_id)


def with_parts(rounds: QuerySet[Round]) -> QuerySet[Round]:
    """Rounds with all that a standing reads, in a few queries for any number of them."""
    related = rounds.select_related("project", "snapshot__artifact", "policy", "created_by")
    return related.prefetch_related("parts__run")


def standings(rounds: QuerySet[Round]) -> list[Standing]:
    """Where each of these rounds stands."""
    return [standing(row) for row in with_parts(rounds)]


def standing(row: Round) -> Standing:
    """Where a round stands, derived from its runs."""
    order = list(Part)
    parts = sorted(row.parts.all(), key=lambda part: order.index(Part(part.part)))
    evaluated = next((part.run for part in parts if is_evaluated(part)), None)
    summary: Mapping[str, object] = evaluated.summary if evaluated else {}
    found = verdict(summary) if summary else None
    state = state_of(parts)
    return Standing(row, parts, state, part_now(parts), progress_of(parts), found, summary)


def is_evaluated(part: RoundRun) -> bool:
    """Whether this is the evaluation, and it is done."""
    return part.part == Part.EVALUATE and part.run.state == State.SUCCEEDED


def state_of(parts: Iterable[RoundRun]) -> str:
    """A chain is as bad as its worst run, and at work from its first start to its last end."""
    states = {part.run.shown_state for part in parts}
    for worst in ("failed", "cancelling", "paused", "interrupted", "pausing", "cancelled"):
        if worst in states:
            return worst
    if states <= {"succeeded"}:
        return "succeeded"
    return "queued" if states <= {"queued"} else "running"


def part_now(parts: list[RoundRun]) -> RoundRun | None:
    """The part to look at: what failed, else what is live, else what comes next."""
    for state in ("failed", "running", "starting", "stopping", "interrupted", "queued"):
        for part in parts:
            if part.run.state == state:
                return part
    return None


def progress_of(parts: list[RoundRun]) -> float:
    """The share of the chain that is done, each part counting the same."""
    done = [
        1.0 if part.run.state == State.SUCCEEDED else part.run.step / (part.run.total_steps or 1)
        for part in parts
    ]
    return sum(done) / max(1, len(done))


def missing_for_round(project: Project) -> Missing | None:
    """The first thing that stands between a project and a round, if any."""
    return missing_for(KINDS["generate"], Ground(project)) or missing_labels(project)
