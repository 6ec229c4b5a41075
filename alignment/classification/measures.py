"""How well a classifier tells texts that it did not learn from, beside rulers that read nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from alignment.classification.words import ReadRow, WordModel, answer_of
from alignment.maths.classification import (
    Figure,
    bootstrapped,
    calibration_error,
    confusion,
    f1_by_class,
    macro_auc,
    macro_f1,
)
from alignment.maths.estimators import clipped, grouped_interval
from alignment.maths.overlap import exact_match, token_f1
from alignment.seam.records import ClassedRecord, Estimate, SpanRecord, TaggedRecord
from alignment.seam.words import _

PARTS = 10  # of the training texts by length
SHOWN = 12  # classes of a table
REST = "others"


@dataclass(frozen=True)
class ToldTexts:
    """Held-out texts: the share of votes that each class has, and the probability that it was given."""

    rows: Sequence[ClassedRecord]
    shares: Tensor  # (n, classes), fp64
    probabilities: Tensor  # (n, classes), fp64
    classes: Sequence[str]

    @cached_property
    def said(self) -> Tensor:
        """(n,) the class with most votes, of a tie the first."""
        return self.shares.argmax(1)

    @cached_property
    def told(self) -> Tensor:
        """(n,) the class that is told."""
        return self.probabilities.argmax(1)

    @property
    def groups(self) -> list[str]:
        """The prompt of each, the unit of every interval."""
        return [row.prompt.key for row in self.rows]

    def table(self, weights: Tensor) -> Tensor:
        """(classes, classes) what was said by what was told."""
        return confusion(self.said, self.told, len(self.classes), weights)

    def right(self, told: Tensor) -> list[float]:
        """1 where a class is the one that was said."""
        return (told == self.said).double().tolist()

    def share(self, told: Tensor) -> Estimate:
        """The accuracy of some classes."""
        return clipped(grouped_interval(self.right(told), self.groups))


def measures(found: ToldTexts, seed: int) -> dict[str, object]:
    """Every figure of held-out texts with its interval over prompts."""
    figures: dict[str, Figure] = {
        "macro_f1": lambda weights: macro_f1(found.table(weights)),
        "auc": lambda weights: macro_auc(found.probabilities, found.said, weights),
        "ece": lambda weights: calibration_error(found.probabilities, found.said, weights),
    }
    generator = torch.Generator().manual_seed(seed)
    told = {name: bootstrapped(one, found.groups, generator) for name, one in figures.items()}
    losses = -(found.shares * found.probabilities.clamp(min=1e-300).log()).sum(1)
    nll = grouped_interval(losses.tolist(), found.groups, unit="nats")
    estimates = {"accuracy": found.share(found.told), **told, "nll": nll}
    return {name: one.model_dump() for name, one in estimates.items() if one is not None}


def rulers(found: ToldTexts, fitted: Sequence[ClassedRecord], shares: Tensor) -> dict[str, object]:
    """What is right without reading, and by the length alone; how far the classifier is above the better of both."""
    said = shares.argmax(1)
    told = {
        "majority": torch.full_like(found.said, int(said.bincount().argmax())),
        "length": by_length(fitted, said, found.rows),
    }
    return beside_rulers(found, told)


def beside_rulers(found: ToldTexts, told: Mapping[str, Tensor]) -> dict[str, object]:
    """The accuracy of rulers by name, and how far the classifier is above the best of them, paired."""
    shared = {name: found.share(one) for name, one in told.items()}
    better = told[max(shared, key=lambda name: shared[name].value)]
    pairs = zip(found.right(found.told), found.right(better), strict=True)
    gain = grouped_interval([own - ruler for own, ruler in pairs], found.groups)
    estimates = {f"accuracy_{name}": one for name, one in shared.items()} | {"gain_rulers": gain}
    return {name: one.model_dump() for name, one in estimates.items()}


def by_length(
    fitted: Sequence[ClassedRecord], said: Tensor, rows: Sequence[ClassedRecord]
) -> Tensor:
    """(n,) the commonest class among the training texts of about each row's length, in so many parts."""
    known = torch.tensor([len(row.completion) for row in fitted], dtype=torch.float64)
    borders = known.quantile(torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)[1:-1])
    borders = torch.unique_consecutive(borders)
    parts = torch.bucketize(known, borders)
    whole = said.bincount().argmax()
    common = torch.stack(
        [
            said[parts == part].bincount().argmax() if (parts == part).any() else whole
            for part in range(len(borders) + 1)
        ]
    )
    lengths = torch.tensor([len(row.completion) for row in rows], dtype=torch.float64)
    return common[torch.bucketize(lengths, borders)]


def tables(found: ToldTexts) -> dict[str, object]:
    """Each class by itself, and what was said by what was told, the commonest classes first."""
    table = found.table(torch.ones(len(found.rows)))
    of_each = zip(
        found.classes, table.diagonal(), table.sum(0), table.sum(1), f1_by_class(table), strict=True
    )
    by_class = [
        {
            "class": name,
            "texts": int(said),
            "precision": _ratio(right, told),
            "recall": _ratio(right, said),
            "f1": float(f1) if f1 == f1 else None,
        }
        for name, right, told, said, f1 in of_each
    ]
    return {"by_class": by_class, "confusion": _confused(found)}


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return float(part / whole) if whole else None


def _confused(found: ToldTexts) -> list[dict[str, object]]:
    """A row for each class that was said, a column for each that was told; rare ones of many together."""
    names = [found.classes[place] for place in found.said.tolist()]
    shown = [name for name, _count in Counter(names).most_common()]
    shown += [name for name in found.classes if name not in shown]
    kept = shown if len(shown) <= SHOWN + 1 else shown[:SHOWN]
    columns = [*kept, *([] if kept is shown else [_(REST)])]

    def of(place: int) -> str:
        name = found.classes[place]
        return name if name in kept else columns[-1]

    cells = Counter(zip(map(of, found.said.tolist()), map(of, found.told.tolist()), strict=True))
    return [
        {"said": said, **{f"told_as_{told}": cells[said, told] for told in columns}}
        for said in columns
    ]


def tag_measures(
    one: WordModel, fitted: Sequence[ReadRow], held: Sequence[ReadRow], seed: int
) -> dict[str, object]:
    """Every figure of the tags of held-out words, beside the commonest tag and the commonest one of each word."""
    chances = torch.cat([scores.softmax(1) for scores in one.told(held)])
    found = ToldTexts(
        [row for read in held for row in each_word(read)],
        shares_of(one, held),
        chances,
        one.classes,
    )
    known = Counter(row.completion for read in fitted for row in each_word(read))
    seen = Counter(
        (row.completion, tag)
        for read in fitted
        for row, tag in zip(each_word(read), read.wanted, strict=True)
    )
    said = shares_of(one, fitted).argmax(1)
    common = int(said.bincount().argmax())
    by_word = [
        commonest_tag(seen, row.completion, len(one.classes)) if known[row.completion] else common
        for row in found.rows
    ]
    told = {"majority": torch.full_like(found.said, common), "word": torch.tensor(by_word)}
    return measures(found, seed) | beside_rulers(found, told) | tables(found)


def commonest_tag(seen: Mapping[tuple[str, int], int], word: str, count: int) -> int:
    """The tag that a word has most often; of equal ones the first."""
    return max(range(count), key=lambda tag: seen[word, tag])


def each_word(row: ReadRow) -> list[ClassedRecord]:
    """The words of a tagged text, each as a text of its own that shares the text's key."""
    assert isinstance(row.record, TaggedRecord)
    pairs = zip(row.record.words, row.record.tags, strict=True)
    return [
        ClassedRecord(prompt=row.prompt, completion=word, votes={tag: 1}) for word, tag in pairs
    ]


def shares_of(one: WordModel, rows: Sequence[ReadRow]) -> Tensor:
    """(words, classes) 1 for the tag of each word."""
    wanted = torch.tensor([tag for row in rows for tag in row.wanted])
    return torch.eye(len(one.classes), dtype=torch.float64)[wanted]


def span_measures(one: WordModel, held: Sequence[ReadRow]) -> dict[str, object]:
    """Exact match and token F1 of answers to held-out questions, beside the whole text as an answer."""
    keys = [row.prompt.key for row in held]
    rows = [row.record for row in held if isinstance(row.record, SpanRecord)]
    known = [row.text[row.start : row.end] for row in rows]
    told = [answer_of(row, scores) for row, scores in zip(rows, one.told(held), strict=True)]
    columns = {
        "exact_match": [
            exact_match(*both) for both in zip(told, ([text] for text in known), strict=True)
        ],
        "token_f1": [
            token_f1(*both) for both in zip(told, ([text] for text in known), strict=True)
        ],
        "token_f1_whole": [
            token_f1(row.text, [text]) for row, text in zip(rows, known, strict=True)
        ],
    }
    pairs = zip(columns["token_f1"], columns["token_f1_whole"], strict=True)
    columns["gain_rulers"] = [own - ruler for own, ruler in pairs]
    found = {name: grouped_interval(column, keys) for name, column in columns.items()}
    shares = {name: one if name == "gain_rulers" else clipped(one) for name, one in found.items()}
    return {name: one.model_dump() for name, one in shares.items()}
