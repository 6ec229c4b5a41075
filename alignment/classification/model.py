"""A classifier: a linear head on a causal or masked backbone, as transformers builds it.

It is stored so that `AutoModelForSequenceClassification` loads it: a causal backbone is read at its last token,
a masked one as its architecture does. What it reads, a text alone or behind its prompt, stands beside it.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.classify.settings import ReadsName
from alignment.models import checkpoints
from alignment.models.classifier_checks import CLASSIFIER, check_classifier_files
from alignment.models.devices import ONE, Placement, settled
from alignment.models.joining import Joiner
from alignment.models.loading import (
    naming,
    open_model,
    refusing,
    stored_names,
)
from alignment.models.policies import Policy, fuse_activations, padded
from alignment.models.sharding import load_whole
from alignment.models.texts import drawn_texts
from alignment.models.uses import is_masked
from alignment.reward.model import of_about_equal_length
from alignment.sampling.sampling import Rollouts
from alignment.seam.errors import ConfigError
from alignment.seam.progress import reach
from alignment.seam.records import ClassedRecord, Message
from alignment.seam.words import _
from alignment.targets.targets import Scorer, no_class

POOLER, KEPT = "pooler.", "classifier"


@dataclass(frozen=True)
class Classifier:
    """p(class | text), or p(class | prompt, text)."""

    trunk: Policy  # its model has a head for classes
    classes: tuple[str, ...]
    reads: ReadsName
    joiner: Joiner

    @classmethod
    def fresh(
        cls, folder: Path, classes: Sequence[str], reads: ReadsName, role: str = "backbone"
    ) -> "Classifier":
        """An untrained head on a stored model, in fp32; uses torch's RNG. Raises DataError naming folder and cause."""
        made, tokenizer = headed(folder, role, AutoModelForSequenceClassification, classes)
        return cls.of(made, tokenizer, reads, masked=is_masked(folder))

    @classmethod
    def load(
        cls, folder: Path, role: str = "classifier", placement: Placement = ONE
    ) -> "Classifier":
        """Read what `save` wrote, or what transformers did; raises DataError naming folder, role and cause."""
        with naming(folder, role):
            stored = check_classifier_files(folder, spread=placement.spread)
        opened, tokenizer = open_model(folder, "classifier", role, placement=placement)
        return cls.of(opened, tokenizer, stored["reads"], masked=is_masked(folder))

    @classmethod
    def of(cls, model: Any, tokenizer: Any, reads: ReadsName, *, masked: bool) -> "Classifier":  # noqa: ANN401 - transformers' own
        """A model with its head, ready to read."""
        fuse_activations(model)
        trunk = Policy(settled(model).eval(), tokenizer)
        names = model.config.id2label
        classes = tuple(names[place] for place in range(len(names)))
        return cls(trunk, classes, reads, Joiner.of(trunk, marked=masked))

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and what is read into an existing folder."""
        self.trunk.save(folder)
        (folder / CLASSIFIER).write_text(json.dumps({"reads": self.reads}), encoding="utf-8")

    @property
    def model(self) -> PreTrainedModel:
        """What learns."""
        return self.trunk.model

    def kept(self) -> tuple[Mapping[str, checkpoints.Saved], dict[str, Tensor]]:
        """What a checkpoint keeps of it: all."""
        return {KEPT: self}, {}

    def restore(self, checkpoint: Path, _tensors: Mapping[str, Tensor]) -> None:
        """Give the weights the values of a checkpoint."""
        load_whole(self.model, Classifier.load(checkpoint / KEPT).model.state_dict())

    def knowing(self, policy: Policy, prompts: Sequence[Sequence[Message]]) -> "Classifier":
        """The same, knowing these conversations by the tokens that a policy reads them as."""
        if self.reads == "answer":
            return self
        return replace(self, joiner=self.joiner.knowing(policy, prompts))

    def logits(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, classes) of token ids, with gradient, in one forward."""
        ids, mask = padded(self.trunk, sequences)
        arguments = {} if self.joiner.marked else {"use_cache": False}
        found: Tensor = self.trunk.model(input_ids=ids, attention_mask=mask, **arguments).logits
        return found

    @torch.no_grad()
    def probabilities(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, classes) of token ids, in fp64; forwards of about equal lengths."""
        parts, rows = [], list[int]()
        for batch in of_about_equal_length(sequences):
            parts.append(self.logits([sequences[row] for row in batch]).double().softmax(1))
            rows += batch
            reach(len(rows) / len(sequences))
        return torch.cat(parts)[torch.tensor(rows, device=self.trunk.device).argsort()]

    def read(self, rows: Sequence[ClassedRecord]) -> list[list[int]]:
        """Texts as token ids."""
        return self.read_texts(
            [row.prompt.messages for row in rows], [row.completion for row in rows]
        )

    def read_texts(
        self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]
    ) -> list[list[int]]:
        """Texts as token ids, behind their prompts where these are read."""
        if self.reads == "answer":
            return [self.joiner.alone(text) for text in texts]
        return self.joiner.read_all(prompts, texts)

    def of_texts(self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]) -> Tensor:
        """(n, classes) probabilities of answers to prompts."""
        return self.probabilities(self.read_texts(prompts, texts))

    def of_drawn(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n, classes) probabilities of a policy's completions."""
        if self.reads == "answer":
            texts = drawn_texts(policy, rollouts)
            return self.probabilities(self.read_texts([()] * len(texts), texts))
        return self.probabilities(self.joiner.read_drawn(policy, rollouts))


def headed(folder: Path, role: str, auto: Any, classes: Sequence[str]) -> tuple[Any, Any]:  # noqa: ANN401 - transformers' own
    """A stored model with an untrained head of one of transformers' kinds, and its tokenizer; raises DataError."""
    opened, tokenizer = open_model(folder, "backbone", role)
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    pad = next(one for one in known if one is not None)
    with naming(folder, role), refusing("The model takes no head for classes"):
        made = auto.from_config(with_classes(opened.config, classes, int(pad))).float()
        pooler = any(POOLER in name for name in stored_names(folder))
        take_weights(made.base_model, opened, pooler=pooler)
    return made, tokenizer


def class_chance(
    aim: AlignConfig,
    at: Mapping[str, Path],
    policies: Sequence[Policy],
    turns: Sequence[Sequence[Message]],
) -> Scorer:
    """The probability of the class that an alignment was aimed at; raises ConfigError where its classifier is missing."""
    if not aim.classed:
        return no_class
    if "classifier" not in at:
        raise ConfigError(_("The policy was aimed at a class; name the classifier that tells it."))
    model = Classifier.load(at["classifier"], placement=policies[0].placement)
    for policy in policies:
        model = model.knowing(policy, turns)
    return chance_of(model, aim.class_name)


def chance_of(one: Classifier, name: str) -> Scorer:
    """p(class | completion) of a policy's completions, of the last class where none is named; raises ConfigError.

    The parts of a target ask one after another about the same completions, so the last answer is remembered.
    """
    if name and name not in one.classes:
        raise ConfigError(
            _("The classifier knows no class “{name}”; it tells {classes}.").format(
                name=name, classes=", ".join(one.classes)
            )
        )
    place = one.classes.index(name) if name else len(one.classes) - 1
    remembered: list[tuple[Rollouts, Tensor]] = []

    def score(policy: Policy, rollouts: Rollouts) -> Tensor:
        if not remembered or remembered[0][0] is not rollouts:
            remembered[:] = [(rollouts, one.of_drawn(policy, rollouts)[:, place])]
        return remembered[0][1]

    return score


def with_classes(config: PretrainedConfig, classes: Sequence[str], pad: int) -> PretrainedConfig:
    """A configuration of the same model with a head for these classes; causal ones find a text's end by the padding."""
    changed = deepcopy(config)
    changed.id2label = dict(enumerate(classes))
    changed.label2id = {name: place for place, name in enumerate(classes)}
    changed.problem_type = "single_label_classification"
    changed.pad_token_id = pad
    return changed


def take_weights(model: PreTrainedModel, source: PreTrainedModel, *, pooler: bool) -> None:
    """Give a model the weights of another without a head; where that has no pooler of its own, it keeps its fresh one."""
    weights = {
        name: weight
        for name, weight in source.state_dict().items()
        if pooler or not name.startswith(POOLER)
    }
    found = model.load_state_dict(weights, strict=False)
    lacking = [name for name in found.missing_keys if not name.startswith(POOLER)]
    if lacking:
        raise ValueError(f"“{lacking[0]}” has no weights")
