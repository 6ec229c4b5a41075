"""A reward model's scores of answers, and the pairs of them in the order in which comparing them would teach most.

Writes `output/scores.jsonl`, a row an answer in their order; `output/pairs.jsonl`, a row for each pair that nobody was
asked about; and, where they are kept, `output/features.safetensors`: `features` (answers, width), what the heads read.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from alignment.kinds.score.settings import ScoreConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import grouped_interval
from alignment.models.overlong import Fitting, Reader, fitting_labels
from alignment.models.processors import default_device
from alignment.reward.candidates import Candidates, ordered_pairs, pairs_among
from alignment.reward.model import RewardModel, cautious
from alignment.seam.errors import DataError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import counting, in_batches
from alignment.seam.records import (
    AskedRecord,
    ProposedRecord,
    ScoredRecord,
    StoredRecord,
    read_jsonl,
    write_jsonl,
)
from alignment.seam.words import _

BATCH = 64  # answers of a step


@dataclass(frozen=True)
class ScoredAnswers:
    """Answers as a reward model sees them."""

    rows: Sequence[StoredRecord]
    features: Tensor  # (answers, width)
    heads: Tensor  # (answers, heads), in deviations of their mean
    scores: list[float]
    nats: Tensor  # (answers, heads), whose differences are margins of a preference

    @classmethod
    def by(
        cls, model: RewardModel, rows: Sequence[StoredRecord], features: Tensor
    ) -> "ScoredAnswers":
        """All of it from what the heads read."""
        raw = model.head(features)
        heads = model.standard(raw)
        scores = cautious(heads, model.caution).tolist()
        return cls(rows, features, heads, scores, raw / model.temperature)

    @property
    def groups(self) -> list[str]:
        """The prompt of each, the unit of every interval."""
        return [row.prompt.key for row in self.rows]

    def summary(self) -> dict[str, object]:
        """What they are like."""
        found: dict[str, object] = {"answers": len(self.rows), "heads": self.heads.shape[1]}
        found["score"] = grouped_interval(self.scores, self.groups).model_dump()
        if self.heads.shape[1] > 1:
            spread = self.heads.std(1, correction=0).tolist()
            found["disagreement"] = grouped_interval(spread, self.groups).model_dump()
        return found

    def records(self) -> Iterator[ScoredRecord]:
        """Each answer with its score, and with those of the heads where there are several."""
        several = self.heads.shape[1] > 1
        for row, score, heads in zip(self.rows, self.scores, self.heads.tolist(), strict=True):
            yield ScoredRecord(
                prompt=row.prompt,
                completion=row.completion,
                key=row.key,
                score=score,
                heads=tuple(heads) if several else (),
            )


@torch.no_grad()
def score_answers(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Score `completions` by `reward`; pairs that are `asked` about already are not proposed. Raises DataError."""
    config = ScoreConfig.stored(spec.config)
    rows, told = fitting_answers(spec, folder, config)
    yield from () if told.all_fit else (told,)
    model = RewardModel.load(folder / spec.inputs["reward"])
    total = math.ceil(len(rows) / BATCH)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=str(default_device()))
    yield PhaseStarted(name=_("scoring"))
    scored = ScoredAnswers.by(model, rows, (yield from read_features(model, rows, total)))
    summary = scored.summary() | {"rows": [told.counts]}
    pairs: list[ProposedRecord] = []
    if config.pairs:
        yield PhaseStarted(name=_("choosing pairs"))
        generator = torch.Generator().manual_seed(spec.seed)
        with counting(config.pairs, _("pairs")):
            among = pairs_among(rows, asked_of(spec, folder), generator)
            pairs = ordered_pairs(among, scored.features, scored.nats, config.pairs)
        summary |= pairs_in_numbers(pairs, among, scored.groups)
    with committed(folder / "output") as output:
        write_jsonl(output / "scores.jsonl", scored.records())
        write_jsonl(output / "pairs.jsonl", (_named(one, rows) for one in pairs))
        if config.keep == "features":
            features = scored.features.contiguous().cpu()
            save_file({"features": features}, output / "features.safetensors")
    yield Finished(summary=summary)


def fitting_answers(spec: RunSpec, folder: Path, config: ScoreConfig) -> Fitting:
    """The answers that fit the reward model's context, each with a key; raises DataError where there are none."""
    rows = list(read_jsonl(folder / spec.inputs["completions"], StoredRecord))
    if not rows:
        raise DataError(_("There are no answers to score."))
    for place, row in enumerate(rows):
        rows[place] = row if row.key else row.model_copy(update={"key": str(place)})
    reader = Reader.of_reward(folder / spec.inputs["reward"])
    return fitting_labels(rows, "completions", [reader], config.overlong)


def read_features(
    model: RewardModel, rows: Sequence[StoredRecord], total: int
) -> Generator[Event, str | None, Tensor]:
    """(answers, width) what the heads read of each; the mean score is told on the way."""
    found = []
    for step, part in enumerate(in_batches(rows, BATCH, _("answers")), start=1):
        started = time.perf_counter()
        prompts, texts = [row.prompt.messages for row in part], [row.completion for row in part]
        found.append(model.features(model.read_all(prompts, texts)))
        mean = cautious(model.standard(model.head(found[-1])), model.caution).mean().item()
        metrics = {"score/mean": mean, "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    return torch.cat(found)


def asked_of(spec: RunSpec, folder: Path) -> list[AskedRecord]:
    """What people were asked already, where somebody says so."""
    path = spec.inputs.get("asked")
    return list(read_jsonl(folder / path, AskedRecord)) if path else []


def pairs_in_numbers(
    pairs: Sequence[ProposedRecord], among: Candidates, groups: Sequence[str]
) -> dict[str, object]:
    """What the pairs are like, over the prompts that they are about."""
    found: dict[str, object] = {
        "pairs_free": len(pairs),
        "pairs_ordered": sum(one.by_design is not None for one in pairs),
        "pairs_asked": len(among.asked),
    }
    ordered = [one for one in pairs if one.by_ensemble is not None]
    for name, some in (("information", pairs), ("information_ordered", ordered)):
        if ordered:
            prompts = [groups[int(one.first)] for one in some]
            values = [one.information for one in some]
            found[name] = grouped_interval(values, prompts, unit="nats").model_dump()
    return found


def _named(one: ProposedRecord, rows: Sequence[StoredRecord]) -> ProposedRecord:
    """The same by the keys of its answers instead of their places."""
    keys = {"first": rows[int(one.first)].key, "second": rows[int(one.second)].key}
    return one.model_copy(update=keys)
