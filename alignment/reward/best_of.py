"""The best of several completions by a reward model: a policy moved towards the reward with nothing trained.

The best of n is drawn from a distribution at most log n - (n - 1) / n nats from the sampler's (Stiennon et al., 2020;
Beirami et al., 2024: a bound, which is met where no two completions are alike). What is kept was drawn by that
distribution and not by the sampler: nobody knows its log-probability.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from alignment.maths.estimators import grouped_interval
from alignment.reward.model import RewardModel
from alignment.sampling.engines import Draw
from alignment.seam.memory import SAMPLED_AT_ONCE
from alignment.seam.progress import split, through
from alignment.seam.records import CandidateRecord, CompletionRecord, PromptRecord

DRAWING = 9  # of ten parts of the time


def kl_bound(n: int) -> float:
    """The most nats that the best of n can be from what it is drawn from."""
    return math.log(n) - (n - 1) / n


@dataclass(frozen=True)
class BestOf:
    """Draws so many completions for each one that it keeps; all of them are noted with their scores."""

    sampler: Draw  # gives each prompt n completions for each one that is kept
    model: RewardModel
    n: int
    noted: list[CandidateRecord] = field(default_factory=list)

    def draw(self, prompts: Sequence[PromptRecord]) -> list[list[CompletionRecord]]:
        """The best of each n completions of every prompt, the first of several."""
        size = max(1, SAMPLED_AT_ONCE // self.n)
        parts = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        return [row for part in through(parts, len(parts)) for row in self._kept(part)]

    def _kept(self, prompts: Sequence[PromptRecord]) -> list[list[CompletionRecord]]:
        """The same of a few prompts."""
        drawing, scoring = split(DRAWING, 1)
        with drawing:
            rows = self.sampler(prompts)
        with scoring:
            scores = self._scores(prompts, rows)
        return [self._best(*each) for each in zip(prompts, rows, scores, strict=True)]

    def _scores(
        self, prompts: Sequence[PromptRecord], rows: Sequence[Sequence[CompletionRecord]]
    ) -> list[list[float]]:
        """Of every completion of every prompt."""
        asked = [prompt.messages for prompt, row in zip(prompts, rows, strict=True) for _ in row]
        texts = [one.text for row in rows for one in row]
        found = iter(self.model.score_texts(asked, texts).tolist())
        return [[next(found) for _ in row] for row in rows]

    def _best(
        self, prompt: PromptRecord, row: Sequence[CompletionRecord], scores: Sequence[float]
    ) -> list[CompletionRecord]:
        """The best of each n; all of the row are noted."""
        starts = range(0, len(row), self.n)
        best = [max(range(start, start + self.n), key=scores.__getitem__) for start in starts]
        for place, (one, score) in enumerate(zip(row, scores, strict=True)):
            self.noted.append(
                CandidateRecord(
                    prompt_key=prompt.key,
                    text=one.text,
                    logps=one.logps,
                    score=score,
                    best=place in best,
                )
            )
        return [row[place].model_copy(update={"logps": None}) for place in best]

    def summary(self) -> dict[str, object]:
        """What keeping the best did to the score, and how far it can have led from the sampler."""
        found: dict[str, object] = {"kl_bound": kl_bound(self.n)}
        for name, some in (
            ("score_drawn", self.noted),
            ("score_kept", [one for one in self.noted if one.best]),
        ):
            scores, groups = [one.score for one in some], [one.prompt_key for one in some]
            found[name] = grouped_interval(scores, groups).model_dump()
        return found
