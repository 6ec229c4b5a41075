"""A file of documents as tokens: those that are learned from, and those that only measure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.pretraining.packing import Stream, StreamWriter
from alignment.pretraining.vocabularies import end_of, read_texts
from alignment.rows.corpora import TEXT, BadLine, Layout, Passage, passages_of
from alignment.seam.errors import DataError
from alignment.seam.progress import reach
from alignment.seam.words import _

SEEN_BY_TOKENIZER = 100_000_000  # characters: more change nothing and take hours
NAMED = 5  # bad lines in a refusal
TOGETHER = 64  # parts that are read at once
FEWEST = 2  # documents


@dataclass
class Corpus:
    """Documents as tokens, and what of the file is none."""

    train: Stream
    held: Stream
    bad: list[BadLine]  # the first ones
    bad_lines: int


@dataclass
class CorpusFile:
    """A file, read once for each pass over it; bad lines are counted, or refused together at its end."""

    path: Path
    config: PretrainConfig
    bad: list[BadLine] = field(default_factory=list)
    bad_lines: int = 0

    def parts(self) -> Iterator[Passage]:
        """Its documents; raises DataError naming the first bad lines, unless they are to be left out."""
        config, size = self.config, max(1, self.path.stat().st_size)
        self.bad, self.bad_lines = [], 0
        how = Layout(config.document, config.column or TEXT, int(config.limit_gib * 2**30))
        for part in passages_of(self.path, how, lambda seen: reach(seen / size)):
            if isinstance(part, Passage):
                yield part
                continue
            self.bad_lines += 1
            self.bad += [part] * (len(self.bad) < NAMED)
        if self.bad and config.bad_lines == "refuse":
            raise DataError(self.refusal)

    def texts(self) -> Iterator[str]:
        """The beginning of it, for a tokenizer to learn from."""
        left = SEEN_BY_TOKENIZER
        for part in self.parts():
            if left <= 0:
                return
            left -= len(part.text)
            yield part.text

    @property
    def refusal(self) -> str:
        """What is wrong with it, and where."""
        named = "; ".join(f"{one.place}: {one.reason}" for one in self.bad)
        return _(
            "Lines of the corpus cannot be read, {n:,} in all ({named}); mend them, or leave them out."
        ).format(n=self.bad_lines, named=named)


def tokenized(source: CorpusFile, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Corpus:
    """Read all documents into files of this folder; raises DataError where there are too few.

    Which of them only measure is decided by their text, so that equal ones are on the same side.
    """
    end = end_of(tokenizer)
    train, held = (StreamWriter(folder / f"{name}.tokens", end) for name in ("train", "held"))
    writer, began = train, True
    parts = source.parts()
    while some := list(islice(parts, TOGETHER)):
        read = read_texts(tokenizer, [part.text for part in some])
        for part, ids in zip(some, read, strict=True):
            if began:
                writer = held if is_held(part.text, source.config.held_out) else train
            writer.add(ids, last=part.last)
            began = part.last
    corpus = Corpus(train.finish(), held.finish(), source.bad, source.bad_lines)
    return balanced(corpus)


def is_held(text: str, share: float) -> bool:
    """Whether a document that begins with this text only measures."""
    number = int.from_bytes(sha256(text.encode()).digest()[:8], "big")
    return number < share * 2**64


def balanced(corpus: Corpus) -> Corpus:
    """The corpus with a document on either side; raises DataError where there are not so many."""
    train, held = corpus.train, corpus.held
    if train.documents + held.documents < FEWEST:
        raise DataError(
            _(
                "The corpus holds {n} documents, and one at least has to be held out; choose what a "
                "document is, or add some."
            ).format(n=train.documents + held.documents)
        )
    if not held.documents:
        train, held = without_last(train)
    elif not train.documents:
        held, train = without_last(held)
    return Corpus(train, held, corpus.bad, corpus.bad_lines)


def without_last(stream: Stream) -> tuple[Stream, Stream]:
    """All documents but the last, and the last one."""
    cut = int(stream.ends[-2])
    last = Stream(stream.ids[cut:], stream.ends[-2:] - cut)
    return Stream(stream.ids[: cut + 1], stream.ends[:-1]), last


def tokens_of(stream: Stream) -> int:
    """How many tokens of a stream are predicted in one pass."""
    return int(stream.ends[-1] - stream.ends[0]) if len(stream.ends) else 0


def order_of(rows: int, epoch: int, seed: int) -> list[int]:
    """The rows of an epoch in their order, which the seed decides alone."""
    generator = torch.Generator().manual_seed(2_654_435_761 * (epoch + 1) + seed)
    found: list[int] = torch.randperm(rows, generator=generator).tolist()
    return found
