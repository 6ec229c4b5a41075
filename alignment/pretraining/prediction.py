"""What is predicted from what: rows of a corpus as inputs and labels, and the loss of the labels alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.models.control_tokens import controls
from alignment.models.policies import Policy
from alignment.pretraining.infilling import Marks, cut, infill_row, infilled
from alignment.pretraining.masking import Shares, fates_of, mask_tokens
from alignment.pretraining.packing import padded
from alignment.pretraining.spans import Spans, corrupt, first_spans, span_mask
from alignment.pretraining.vocabularies import end_of, infilling_marks, span_marks
from alignment.sampling.encoded import Encoded

IGNORED = -100  # label of a position that is not predicted
APART = len(Marks._fields)  # tokens that infilling adds to a document


class Prediction(NamedTuple):
    """What a model reads (length,), and what it should tell at each position (length,), IGNORED where nothing.

    Of an encoder-decoder they are what its encoder reads and what its decoder writes, each of its own length.
    """

    inputs: Tensor
    labels: Tensor

    @property
    def size(self) -> int:
        """Tokens that a forward of it takes, one more or less."""
        return max(len(self.inputs), len(self.labels))


@dataclass(frozen=True)
class Objective:
    """How rows become examples; `apart` is how many tokens more a document may have then than before."""

    examples: Callable[[Sequence[Tensor], torch.Generator], list[Prediction]]
    masked: bool = False
    apart: int = 0
    drawn: bool = False  # what is told is drawn by a generator, in measuring too
    counts: dict[str, int] = field(default_factory=dict)  # of masked tokens so far, by their fate


def objective_for(config: PretrainConfig, policy: Policy) -> Objective:
    """The objective of the settings, by the policy's tokens."""
    if config.objective == "mlm":
        counts: dict[str, int] = {}
        return Objective(_masking(config, policy, counts), masked=True, drawn=True, counts=counts)
    if config.objective == "span_corruption":
        return Objective(_corrupting(config, policy), drawn=True)
    if config.objective == "infilling":
        end, marks = end_of(policy.tokenizer), infilling_marks(policy.tokenizer)
        change = partial(infill_row, end=end, marks=marks, share=config.infilled_share)

        def examples(rows: Sequence[Tensor], generator: torch.Generator) -> list[Prediction]:
            return [next_tokens(change(row, generator=generator)) for row in rows]

        return Objective(examples, apart=APART)
    return Objective(lambda rows, _generator: [next_tokens(row) for row in rows])


def next_tokens(row: Tensor) -> Prediction:
    """Each token of a row from those before it."""
    return Prediction(row[:-1], row[1:])


def _masking(
    config: PretrainConfig, policy: Policy, counts: dict[str, int]
) -> Callable[[Sequence[Tensor], torch.Generator], list[Prediction]]:
    """What hides tokens, and counts them; control tokens are neither hidden nor put in a token's place."""
    shares = Shares(config.chosen_share, config.masked_share, config.random_share)
    special = torch.tensor(sorted({*controls(policy.tokenizer).ids, end_of(policy.tokenizer)}))
    words = torch.arange(len(policy.tokenizer))
    words = words[~torch.isin(words, special)]
    mask = int(policy.tokenizer.mask_token_id or 0)

    def examples(rows: Sequence[Tensor], generator: torch.Generator) -> list[Prediction]:
        found = []
        for row in rows:
            free = ~torch.isin(row, special)
            made = mask_tokens(row, free, shares, mask, words, generator)
            for name, count in fates_of(made, free).items():
                counts[name] = counts.get(name, 0) + count
            found.append(Prediction(made.seen, torch.where(made.chosen, row, IGNORED)))
        return found

    return examples


def _corrupting(
    config: PretrainConfig, policy: Policy
) -> Callable[[Sequence[Tensor], torch.Generator], list[Prediction]]:
    """What cuts spans out of rows, none across an end of a document."""
    spans = Spans(config.span_share, config.span_length)
    marks, end = span_marks(policy.tokenizer), end_of(policy.tokenizer)

    def examples(rows: Sequence[Tensor], generator: torch.Generator) -> list[Prediction]:
        found = []
        for row in rows:
            text = row[1:]  # the first token belongs to what stands before
            free = text != end
            gone = torch.zeros_like(free)
            gone[free] = span_mask(int(free.sum()), spans, generator)
            gone = first_spans(gone, len(marks) - 1)
            found.append(Prediction(*corrupt(text, gone, marks, end)))
        return found

    return examples


def middle_of(row: Tensor, end: int, marks: Marks, generator: torch.Generator) -> Prediction:
    """A row's first document with its middle last, of which the middle's tokens alone are told."""
    ids = [token for token in row.tolist() if token != end]
    parted = cut(ids, generator)
    whole = torch.tensor([end, *infilled(parted, marks)])
    inputs, labels = next_tokens(whole)
    told = torch.arange(len(labels)) >= len(labels) - len(parted.middle)
    return Prediction(inputs, torch.where(told, labels, IGNORED))


def label_losses(policy: Policy, examples: Sequence[Prediction], *, masked: bool) -> list[Tensor]:
    """(labels,) for each example the loss of its labels, in nats; one forward of all."""
    if policy.apart:
        return _written_losses(policy, examples)
    logits, labels = label_logits(policy, examples, masked=masked)
    losses = cross_entropy(logits, labels, reduction="none")
    return list(torch.split(losses, [int((one.labels != IGNORED).sum()) for one in examples]))


def label_logits(
    policy: Policy, examples: Sequence[Prediction], *, masked: bool
) -> tuple[Tensor, Tensor]:
    """(labels, vocab) logits where something is to be told, example after example, and (labels,) what; one forward."""
    device = policy.device
    ids = padded([one.inputs for one in examples], int(policy.tokenizer.pad_token_id or 0))
    labels = padded([one.labels for one in examples], IGNORED)
    lengths = torch.tensor([len(one.inputs) for one in examples])
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    # Padding is on the right: no real token of a causal model sees it; a masked model has to be told of it.
    mask = real.long() if masked and not real.all() else torch.ones_like(ids)
    more = {} if masked else {"use_cache": False}
    logits = policy.model(input_ids=ids.to(device), attention_mask=mask.to(device), **more).logits
    told = labels != IGNORED
    return logits[told.to(device)].float(), labels[told].to(device)


def _written_losses(policy: Policy, examples: Sequence[Prediction]) -> list[Tensor]:
    """The losses of what a decoder writes, once an encoder has read the inputs."""
    device = policy.device
    lengths = torch.tensor([len(one.labels) for one in examples], device=device)
    targets = padded([one.labels for one in examples], 0).to(device)
    logits = Encoded([one.inputs.tolist() for one in examples], device).logits(
        policy.model, targets[:, :-1], None, targets.shape[1]
    )
    told = torch.arange(targets.shape[1], device=device) < lengths[:, None]
    losses = cross_entropy(logits[told].float(), targets[told], reduction="none")
    return list(torch.split(losses, lengths.tolist()))
