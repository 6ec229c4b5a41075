"""The numbers and the samples of an evaluation, as pages show them."""

from collections.abc import Mapping
from typing import NamedTuple

from django.core.paginator import Page, Paginator

from alignment.records import ScoredSample, read_jsonl
from webapp.registry.models import Artifact
from webapp.runs.evaluations import Verdict, verdict
from webapp.runs.models import Run, State

SAMPLES = 10  # of a page


class Measure(NamedTuple):
    """One number of an evaluation, and what it means."""

    title: str
    estimate: Mapping[str, object] | None
    meaning: str


MEASURES = (
    ("win_rate", "Win rate", "Share of comparisons with the reference that the policy wins."),
    ("utility_gain", "Judge's gain", "Mean change of the judge's score."),
    ("reward_gain", "Reward gain", "Mean change of the reward that was optimised."),
    ("kl_reference", "KL to the reference", "How far the policy went from where it started."),
    ("divergence", "Divergence to the target", "What the training minimised; zero at the target."),
    ("log_z", "log Z", "Log of the target's normaliser; the most that beta times it can gain."),
    ("alignment_gap", "Alignment gap", "Reward that is still missing to the optimal policy."),
    ("ess_fraction", "Effective samples", "Share of samples that carry these estimates."),
    ("distinct_2_ratio", "Variety kept", "Distinct pairs of tokens, relative to the reference."),
    ("length_before", "Length before", "Mean length of the reference's answers."),
    ("length_after", "Length after", "Mean length of the policy's answers."),
)


def measures(summary: Mapping[str, object]) -> list[Measure]:
    """The numbers of an evaluation that are Estimates, in a fixed order."""
    return [
        Measure(title, summary[key], meaning)
        for key, title, meaning in MEASURES
        if isinstance(summary.get(key), Mapping)
    ]


class Change(NamedTuple):
    """One held-out prompt before and after, and by how much its judge (or reward) moved."""

    sample: ScoredSample
    by: str  # judge or reward
    before: float
    after: float

    @property
    def change(self) -> float:
        """What was gained."""
        return self.after - self.before


def changes(run: Run, *, worst_first: bool = False) -> list[Change]:
    """An evaluation's samples by what they gained; empty while it has not ended."""
    scores = run.outputs.filter(type=Artifact.Type.SCORES).first()
    if scores is None or not (path := scores.path / "samples.jsonl").is_file():
        return []
    found = [change_of(sample) for sample in read_jsonl(path, ScoredSample)]
    return sorted(found, key=lambda change: change.change, reverse=not worst_first)


def change_of(sample: ScoredSample) -> Change:
    """What the judge saw, or the reward model where nobody judged."""
    if sample.judge_before is None or sample.judge_after is None:
        return Change(sample, "reward", sample.reward_before, sample.reward_after)
    return Change(sample, "judge", sample.judge_before, sample.judge_after)


class Evaluation(NamedTuple):
    """All that a page shows of a finished evaluation."""

    summary: Mapping[str, object]
    verdict: Verdict
    measures: list[Measure]
    page: Page
    order: str  # gain or loss

    @property
    def keep(self) -> str:
        """What the addresses of other pages keep."""
        return f"order={self.order}&"


def evaluation_of(run: Run | None, query: Mapping[str, str]) -> Evaluation | None:
    """What an evaluation found, with a page of its samples in the order asked for; None before its end."""
    if run is None or run.kind != "evaluate" or run.state != State.SUCCEEDED or not run.summary:
        return None
    order = "loss" if query.get("order") == "loss" else "gain"
    samples = Paginator(changes(run, worst_first=order == "loss"), SAMPLES)
    page = samples.get_page(query.get("page"))
    return Evaluation(run.summary, verdict(run.summary), measures(run.summary), page, order)
