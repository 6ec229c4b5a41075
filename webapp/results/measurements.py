"""The numbers and the samples of an evaluation, as pages show them."""

from collections.abc import Mapping
from typing import NamedTuple

from django.http import QueryDict

from alignment.kinds.evaluate.results import EvaluateResults
from alignment.seam.records import ScoredSample, read_jsonl
from webapp.artifacts.models import Artifact
from webapp.results.verdict import Verdict, verdict
from webapp.results.words import entry_of
from webapp.runs.models import Run, State
from webapp.site.pages import Page, page_of_list

SAMPLES = 10  # of a page


class Measure(NamedTuple):
    """One number of an evaluation, and what it means."""

    title: str
    estimate: Mapping[str, object] | None
    meaning: str


def measures(summary: Mapping[str, object]) -> list[Measure]:
    """The numbers of an evaluation that are Estimates and say something of the policy: known ones in their order,
    then wished means and what was measured of the deployed policy.
    """
    found = {key: row for key, row in summary.items() if isinstance(row, Mapping) and "low" in row}
    known = [
        name for name, entry in EvaluateResults.entries().items() if entry.meaning and name in found
    ]
    others = sorted(key for key in found if key not in EvaluateResults.entries())
    rows = ((entry_of("evaluate", name), found[name]) for name in (*known, *others))
    return [Measure(entry.title, estimate, entry.meaning) for entry, estimate in rows]


class _Change(NamedTuple):
    """One held-out prompt before and after, and by how much its judge (or reward) moved."""

    sample: ScoredSample
    by: str  # judge or reward
    before: float
    after: float

    @property
    def change(self) -> float:
        """What was gained."""
        return self.after - self.before


def changes(run: Run, *, worst_first: bool = False) -> list[_Change]:
    """An evaluation's samples by what they gained; empty while it has not ended."""
    scores = run.outputs.filter(type=Artifact.Type.SCORES).first()
    if scores is None or not (path := scores.path / "samples.jsonl").is_file():
        return []
    found = [change_of(sample) for sample in read_jsonl(path, ScoredSample)]
    return sorted(found, key=lambda change: change.change, reverse=not worst_first)


def change_of(sample: ScoredSample) -> _Change:
    """What the judge saw, or the reward model where nobody judged."""
    if sample.judge_before is None or sample.judge_after is None:
        return _Change(sample, "reward", sample.reward_before, sample.reward_after)
    return _Change(sample, "judge", sample.judge_before, sample.judge_after)


class Evaluation(NamedTuple):
    """All that a page shows of a finished evaluation."""

    summary: Mapping[str, object]
    verdict: Verdict
    measures: list[Measure]
    page: Page[_Change]
    order: str  # gain or loss

    @property
    def texts(self) -> list[str]:
        """All completions of the page's samples."""
        return [text for each in self.page for text in (each.sample.before, each.sample.after)]


def evaluation_of(run: Run | None, query: QueryDict) -> Evaluation | None:
    """What an evaluation found, with a page of its samples in the order asked for; None before its end."""
    if (
        run is None
        or run.kind != "evaluate"
        or run.state != State.SUCCEEDED
        or not run.summary
        or run.dry
    ):
        return None
    order = "loss" if query.get("order") == "loss" else "gain"
    page = page_of_list(changes(run, worst_first=order == "loss"), query, SAMPLES)
    return Evaluation(run.summary, verdict(run.summary), measures(run.summary), page, order)
