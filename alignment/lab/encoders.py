"""An encoder and its student: hidden tokens of texts, told by both, and what the smaller one costs and saves.

Texts are prompts, with people's preferred answers where these are read: an encoder has no answers of its own. In each
step other tokens of them are hidden; where both are measured, the same ones for both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.lab.costs import times_in_turn, times_told, transformed
from alignment.lab.distilling import TeacherPair, held_apart
from alignment.maths.distillation import soft_losses
from alignment.maths.estimators import estimate, paired_estimate
from alignment.models.loading import open_model
from alignment.models.policies import Policy, fuse_activations
from alignment.models.processors import default_device
from alignment.models.training import Parts, in_parts
from alignment.pretraining.prediction import (
    IGNORED,
    Objective,
    Prediction,
    label_logits,
    objective_for,
)
from alignment.pretraining.vocabularies import end_of, read_texts
from alignment.sampling.scoring import token_kl
from alignment.seam.errors import ConfigError
from alignment.seam.progress import in_batches
from alignment.seam.records import Estimate, PairRecord, PromptRecord, read_jsonl
from alignment.seam.words import _

AT_ONCE = 64  # texts that are measured together
SEED = 0  # of what is hidden while measuring
SHORTEST = 2  # tokens


def load_encoder(folder: Path, role: str) -> Policy:
    """An encoder with its tokenizer; raises DataError naming its folder, its role and the cause."""
    model, tokenizer = open_model(folder, "masked", role)
    fuse_activations(model)
    placed: Any = model.to(default_device())  # type: ignore[arg-type]  # as Policy.load
    return Policy(placed.eval(), tokenizer)


class ReadTexts(NamedTuple):
    """Texts to learn from, and texts that only measure."""

    fitted: list[str]
    held: list[str]


def texts_read(at: Mapping[str, Path], config: DistilConfig) -> ReadTexts:
    """Training and held-out prompts; or people's preferred answers with their prompts, a fifth of which measures."""
    if config.answers == "chosen":
        if "pairs" not in at:
            raise ConfigError(_("Name the snapshot whose preferred answers are to be read."))
        pairs = list(read_jsonl(at["pairs"], PairRecord))[: config.prompts]
        texts = [(f"{one.prompt.text}\n{one.chosen}", one.prompt.key) for one in pairs]
    else:
        rows = list(read_jsonl(at["prompts"], PromptRecord))[: config.prompts]
        texts = [(row.text, row.key) for row in rows]
        if "held_out" in at:
            held = list(read_jsonl(at["held_out"], PromptRecord))[: config.held_out_prompts]
            return ReadTexts([text for text, _key in texts], [row.text for row in held])
    apart = held_apart([key for _text, key in texts])
    sides = [[text for text, key in texts if (key in apart) is held] for held in (False, True)]
    return ReadTexts(*sides)


@dataclass(frozen=True)
class HiddenTokens:
    """Texts as tokens, of which some only measure, and how tokens are hidden."""

    fitted: Sequence[Tensor]
    held: Sequence[Tensor]
    objective: Objective

    @classmethod
    def of(cls, policy: Policy, fitted: Sequence[str], held: Sequence[str]) -> "HiddenTokens":
        """Raises ConfigError where nothing is left to learn from or to measure by."""
        sides = [text_rows(policy, texts) for texts in (fitted, held)]
        if not all(sides):
            raise ConfigError(_("The texts have too few tokens to hide some; add longer prompts."))
        config = PretrainConfig.stored({"source": "file", "objective": "mlm"})
        return cls(sides[0], sides[1], objective_for(config, policy))


def text_rows(policy: Policy, texts: Sequence[str]) -> list[Tensor]:
    """Texts as tokens with their end, as far as the encoder reads; those that have next to none are left out."""
    end, room = (
        end_of(policy.tokenizer),
        min(policy.context_length, policy.tokenizer.model_max_length),
    )
    rows = [[*ids[: room - 1], end] for ids in read_texts(policy.tokenizer, texts)]
    return [torch.tensor(row) for row in rows if len(row) > SHORTEST]


def hidden_step(
    pair: TeacherPair, texts: HiddenTokens, config: DistilConfig, seed: int
) -> Callable[[int], Parts]:
    """The loss of a step, by its number: hidden tokens of some texts, which step and seed alone decide."""

    def step(number: int) -> Parts:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
        some = torch.randperm(len(texts.fitted), generator=generator)[: config.batch]
        rows = [texts.fitted[place] for place in some.tolist()]
        yield from hidden_losses(pair, texts.objective.examples(rows, generator), config)

    return step


def hidden_losses(pair: TeacherPair, examples: Sequence[Prediction], config: DistilConfig) -> Parts:
    """The mean loss of the hidden tokens, by the teacher's chances and by the tokens themselves."""
    weight = config.answer_weight
    count = max(1, sum(int((one.labels != IGNORED).sum()) for one in examples))
    for part in in_parts(pair.student, [len(one.inputs) for one in examples]):
        some = [examples[place] for place in part]
        with torch.no_grad():
            known, _labels = label_logits(pair.teacher, some, masked=True)
        told, labels = label_logits(pair.student, some, masked=True)
        losses = soft_losses(told, known, labels, config.temperature)
        near, own = losses.divergence.sum() / count, losses.entropy.sum() / count
        loss = (1 - weight) * near + weight * own
        yield loss, {"kl/teacher": near.item(), "nll/answers": own.item()}


class ToldTokens(NamedTuple):
    """Of each text in which tokens were hidden: KL(teacher || student) and the losses of both, a token."""

    kl: list[float]
    before: list[float]
    after: list[float]

    @property
    def distance(self) -> Estimate:
        """The mean KL over texts."""
        return estimate(self.kl, "nats")


@torch.no_grad()
def told_by(pair: TeacherPair, texts: HiddenTokens) -> ToldTokens:
    """How both tell hidden tokens of the texts that only measure, the same ones whenever it is asked."""
    examples = texts.objective.examples(texts.held, torch.Generator().manual_seed(SEED))
    found = ToldTokens([], [], [])
    for some in in_batches(
        [one for one in examples if (one.labels != IGNORED).any()], AT_ONCE, _("texts")
    ):
        counts = [int((one.labels != IGNORED).sum()) for one in some]
        known, labels = label_logits(pair.teacher, some, masked=True)
        told, _labels = label_logits(pair.student, some, masked=True)
        p, q = known.double().log_softmax(-1), told.double().log_softmax(-1)
        columns = token_kl(p, q).sum(-1), -picked(p, labels), -picked(q, labels)
        for column, values in zip(found, columns, strict=True):
            column += [part.mean().item() for part in torch.split(values, counts)]
    return found


def picked(logps: Tensor, labels: Tensor) -> Tensor:
    """(n,) of log-probabilities (n, vocab) those of labels (n,)."""
    return logps.gather(1, labels[:, None])[:, 0]


def encoder_costs(pair: TeacherPair, told: ToldTokens, seed: int) -> dict[str, Any]:
    """What the student costs and how much faster it is, as far as an encoder can say it."""
    generator = torch.Generator().manual_seed(seed)
    numbers = {
        "kl_token": told.distance,
        "perplexity_before": transformed(estimate(told.before), math.exp),
        "perplexity_after": transformed(estimate(told.after), math.exp),
        "perplexity_change": transformed(paired_estimate(told.before, told.after), math.expm1),
        **times_told(times_in_turn(pair.teacher, pair.student, generator)),
    }
    return {name: one.model_dump() for name, one in numbers.items()} | {"perplexity_of": "hidden"}
