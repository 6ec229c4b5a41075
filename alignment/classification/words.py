"""Heads for each word of a text: tags (sequence labelling), and where in it a question is answered.

A word is what stands between spaces, and is read at its last token; transformers' `AutoModelForTokenClassification`
and `AutoModelForQuestionAnswering` load what is stored.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from alignment.classification.model import KEPT, headed
from alignment.kinds.classify.settings import HeadName
from alignment.models import checkpoints
from alignment.models.classifier_checks import CLASSIFIER
from alignment.models.conversations import text_ids
from alignment.models.distributed import shard
from alignment.models.joining import Joiner
from alignment.models.loading import open_model
from alignment.models.policies import Policy, fuse_activations, padded
from alignment.models.processors import default_device
from alignment.models.sharding import load_whole
from alignment.models.training import StepLoss, in_parts
from alignment.models.uses import Use, is_masked
from alignment.reward.model import of_about_equal_length
from alignment.rows.classed import alone
from alignment.seam.progress import reach
from alignment.seam.records import PromptRecord, SpanRecord, TaggedRecord

WORD = re.compile(r"\S+")
ENDS = ("start", "end")  # what the head of a span tells of each word
LONGEST = 30  # words of an answer
HEADS: Mapping[HeadName, tuple[Use, Any]] = {
    "word": ("tagger", AutoModelForTokenClassification),
    "span": ("answerer", AutoModelForQuestionAnswering),
}


@dataclass(frozen=True)
class ReadRow:
    """A row as a model reads it: its tokens, where each word ends in them, and what is wanted.

    Wanted is a tag for each word, or the first and the last word of an answer.
    """

    prompt: PromptRecord  # in place of one: equal texts share it
    record: TaggedRecord | SpanRecord
    ids: list[int]
    places: list[int]
    wanted: list[int]


@dataclass(frozen=True)
class WordModel:
    """Scores of each word of a text: of its tags, or of being an answer's first and last."""

    trunk: Policy
    head: HeadName
    classes: tuple[str, ...]
    joiner: Joiner

    @classmethod
    def fresh(
        cls, folder: Path, head: HeadName, classes: Sequence[str], role: str = "backbone"
    ) -> "WordModel":
        """An untrained head on a stored model; uses torch's RNG. Raises DataError naming folder and cause."""
        made, tokenizer = headed(folder, role, HEADS[head][1], classes)
        return cls.of(made, tokenizer, head, masked=is_masked(folder))

    @classmethod
    def load(cls, folder: Path, head: HeadName, role: str = "classifier") -> "WordModel":
        """Read what `save` wrote, or what transformers did; raises DataError naming folder, role and cause."""
        opened, tokenizer = open_model(folder, HEADS[head][0], role)
        return cls.of(opened, tokenizer, head, masked=is_masked(folder))

    @classmethod
    def of(cls, model: Any, tokenizer: Any, head: HeadName, *, masked: bool) -> "WordModel":  # noqa: ANN401 - transformers' own
        """A model with its head, ready to read."""
        fuse_activations(model)
        trunk = Policy(model.to(default_device()).eval(), tokenizer)
        names = model.config.id2label
        classes = tuple(names[place] for place in range(len(names)))
        return cls(trunk, head, classes, Joiner.of(trunk, marked=masked))

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and what it tells into an existing folder."""
        self.trunk.save(folder)
        (folder / CLASSIFIER).write_text(json.dumps({"head": self.head}), encoding="utf-8")

    @property
    def model(self) -> PreTrainedModel:
        """What learns."""
        return self.trunk.model

    def kept(self) -> tuple[Mapping[str, checkpoints.Saved], dict[str, Tensor]]:
        """What a checkpoint keeps of it: all."""
        return {KEPT: self}, {}

    def restore(self, checkpoint: Path, _tensors: Mapping[str, Tensor]) -> None:
        """Give the weights the values of a checkpoint."""
        load_whole(self.model, WordModel.load(checkpoint / KEPT, self.head).model.state_dict())

    def read(self, record: TaggedRecord | SpanRecord) -> ReadRow:
        """A row as tokens, however long they are."""
        first, last = self.joiner.marks
        if isinstance(record, TaggedRecord):
            ids, places = self._words(record.words, first)
            wanted = [self.classes.index(tag) for tag in record.tags]
            return ReadRow(alone(" ".join(record.words)), record, [*ids, *last], places, wanted)
        asked = [*first, *text_ids(self.trunk.tokenizer, record.question), *last]
        ids, places = self._words(WORD.findall(record.text), asked)
        return ReadRow(alone(record.text), record, [*ids, *last], places, ends_of(record))

    def _words(self, words: Sequence[str], before: Sequence[int]) -> tuple[list[int], list[int]]:
        """Tokens of words behind others, and the place of each word's last."""
        ids, places = list(before), list[int]()
        for word in words:
            ids += text_ids(self.trunk.tokenizer, f" {word}" if ids else word)
            places.append(len(ids) - 1)
        return ids, places

    def scores(self, rows: Sequence[ReadRow]) -> list[Tensor]:
        """(words, classes) of each row, with gradient, in one forward."""
        ids, mask = padded(self.trunk, [row.ids for row in rows])
        found = self.trunk.model(input_ids=ids, attention_mask=mask)
        if self.head == "span":
            logits = torch.stack([found.start_logits, found.end_logits], 2)
        else:
            logits = found.logits
        return [one[row.places] for one, row in zip(logits, rows, strict=True)]

    @torch.no_grad()
    def told(self, rows: Sequence[ReadRow]) -> list[Tensor]:
        """(words, classes) scores of each row, in fp64; forwards of about equal lengths."""
        found: dict[int, Tensor] = {}
        for batch in of_about_equal_length([row.ids for row in rows]):
            scores = self.scores([rows[place] for place in batch])
            found |= {place: one.double().cpu() for place, one in zip(batch, scores, strict=True)}
            reach(len(found) / len(rows))
        return [found[place] for place in range(len(rows))]


def ends_of(record: SpanRecord) -> list[int]:
    """The first and the last word of an answer, those that it begins or ends within included."""
    spans = [match.span() for match in WORD.finditer(record.text)]
    within = [n for n, (low, high) in enumerate(spans) if low < record.end and high > record.start]
    return [within[0], within[-1]]


def answer_of(record: SpanRecord, scores: Tensor) -> str:
    """The part of the text whose first and last word have the largest scores (words, 2) together."""
    both = scores[:, 0][:, None] + scores[:, 1][None, :]
    allowed = torch.ones_like(both).triu() - torch.ones_like(both).triu(LONGEST)
    best = int(both.masked_fill(allowed == 0, -torch.inf).argmax())
    first, last = divmod(best, len(scores))
    spans = [match.span() for match in WORD.finditer(record.text)]
    return record.text[spans[first][0] : spans[last][1]]


def word_step(one: WordModel, rows: Sequence[ReadRow]) -> StepLoss:
    """The mean loss of a batch: of its words' tags, or of both ends of its answers."""

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        mine, share = shard(batch)
        count = sum(len(rows[place].wanted) for place in batch)
        for part in in_parts(one.trunk, [len(rows[place].ids) for place in mine]):
            some = [rows[mine[place]] for place in part]
            found = [
                wanted_logps(one.head, *row) for row in zip(one.scores(some), some, strict=True)
            ]
            loss = (
                -torch.stack([logps.sum() for logps, _right in found]).sum() * (share > 0) / count
            )
            right = sum(right for _logps, right in found) * (share > 0) / count
            yield loss, {"class/accuracy": float(right)}

    return step


def wanted_logps(head: HeadName, scores: Tensor, row: ReadRow) -> tuple[Tensor, float]:
    """Log-probabilities of what is wanted of a row's words by scores (words, classes), and how many are told so.

    Of tags a distribution for each word over classes, of an answer's ends one for each end over words.
    """
    table = scores if head == "word" else scores.T
    wanted = torch.tensor(row.wanted, device=scores.device)
    logps = table.log_softmax(1)[torch.arange(len(wanted), device=scores.device), wanted]
    return logps, float((table.argmax(1) == wanted).sum())
