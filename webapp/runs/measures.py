"""The numbers and the samples of an evaluation, as pages show them."""

from collections.abc import Mapping
from typing import NamedTuple

from django.core.paginator import Page, Paginator

from alignment.seam.records import ScoredSample, read_jsonl
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
    ("target_reverse_kl", "KL(policy, target)", "RLHF's distance to the target."),
    (
        "target_forward_kl",
        "KL(target, policy)",
        "Large where the policy misses answers it should give.",
    ),
    (
        "target_total_variation",
        "Total variation",
        "Share of answers that differ from the target's.",
    ),
    ("target_jensen_shannon", "Jensen-Shannon", "From 0 at the target to 0.69 nats."),
    ("log_z", "log Z", "Log of the target's normaliser; the most that beta times it can gain."),
    (
        "elbo",
        "Lower bound of log Z",
        "Mean log weight; far below log Z the policy is far from the target.",
    ),
    ("alignment_gap", "Alignment gap", "Reward that is still missing to the optimal policy."),
    ("ess_fraction", "Effective samples", "Share of samples that carry these estimates."),
    (
        "pareto_shape",
        "Tail of the weights",
        "Pareto's k; above 0.7 these estimates cannot be trusted.",
    ),
    ("distinct_2_ratio", "Variety kept", "Distinct pairs of tokens, relative to the reference."),
    ("self_bleu_before", "Self-BLEU before", "How alike the reference's answers to a prompt are."),
    ("self_bleu_after", "Self-BLEU after", "How alike the policy's answers to a prompt are."),
    ("entropy_before", "Entropy before", "Of the reference's answers."),
    ("entropy_after", "Entropy after", "Of the policy's answers."),
    ("constraints_met_before", "Constraints met before", "Share of the reference's answers."),
    ("constraints_met_after", "Constraints met after", "Share of the policy's answers."),
    ("length_before", "Length before", "Mean length of the reference's answers."),
    ("length_after", "Length after", "Mean length of the policy's answers."),
)
FEATURE = "feature_"  # begins the name of a wished mean's
SERVED = "_served"  # ends the name of what was measured of the policy as it will be served


def measures(summary: Mapping[str, object]) -> list[Measure]:
    """The numbers of an evaluation that are Estimates: known ones in a fixed order, then wished means and
    what was measured of the deployed policy.
    """
    estimates = {
        key: row for key, row in summary.items() if isinstance(row, Mapping) and "low" in row
    }
    known = [
        Measure(title, estimates[key], meaning)
        for key, title, meaning in MEASURES
        if key in estimates
    ]
    others = sorted(key for key in estimates if key.startswith(FEATURE) or key.endswith(SERVED))
    return known + [Measure(titled(key), estimates[key], meant(key)) for key in others]


def titled(key: str) -> str:
    """The title of a number that has none of its own."""
    base = key.removesuffix(SERVED)
    titles = {
        known.removesuffix("_after"): title.removesuffix(" after") for known, title, _ in MEASURES
    }
    title = titles.get(base) or base.removeprefix(FEATURE).replace("_", " ").capitalize()
    return f"{title}, served" if key.endswith(SERVED) else title


def meant(key: str) -> str:
    """What such a number is of."""
    return (
        "Of the policy as it will be served."
        if key.endswith(SERVED)
        else "Mean of what was wished for."
    )


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

    @property
    def texts(self) -> list[str]:
        """All completions of the page's samples."""
        return [text for each in self.page for text in (each.sample.before, each.sample.after)]


def evaluation_of(run: Run | None, query: Mapping[str, str]) -> Evaluation | None:
    """What an evaluation found, with a page of its samples in the order asked for; None before its end."""
    if run is None or run.kind != "evaluate" or run.state != State.SUCCEEDED or not run.summary:
        return None
    order = "loss" if query.get("order") == "loss" else "gain"
    samples = Paginator(changes(run, worst_first=order == "loss"), SAMPLES)
    page = samples.get_page(query.get("page"))
    return Evaluation(run.summary, verdict(run.summary), measures(run.summary), page, order)
