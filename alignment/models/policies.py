"""A policy: a language model that writes, causal or an encoder-decoder, with the tokenizer that speaks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.models import conversations
from alignment.models.devices import ONE, Placement, device_of, settled
from alignment.models.distributed import world
from alignment.models.encoder_decoders import (
    Tokenization,
    reads_apart,
    starts_of,
    tokenization_of,
)
from alignment.models.forms.factors import Budget
from alignment.models.forms.form import prepare
from alignment.models.loading import (
    check_same_reading,
    check_same_template,
    check_same_tokens,
    check_same_width,
    open_model,
)
from alignment.models.sharding import whole
from alignment.seam.errors import ConfigError
from alignment.seam.records import Message
from alignment.seam.words import _


@dataclass(frozen=True)
class Policy:
    """A model in evaluation mode (no dropout, also while it is trained) and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    placement: Placement = ONE

    @classmethod
    def load(
        cls,
        folder: Path,
        role: str = "model",
        budget: Budget | None = None,
        placement: Placement = ONE,
    ) -> "Policy":
        """Read a model folder in fp32, safetensors only; raises DataError naming it, its role and the cause.

        A factorised model is used by its own budget, or by another one; of another model ConfigError is raised.
        """
        model, tokenizer = open_model(folder, "policy", role, budget, placement)
        fuse_activations(model)
        placed = settled(model)
        prepare(placed)
        return cls(placed.eval(), tokenizer, placement)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer in the Hugging Face layout; of several processes, the first does."""
        weights = whole(self.model)
        if world().rank:
            return
        self.model.save_pretrained(folder, state_dict=weights)
        self.tokenizer.save_pretrained(folder)

    @property
    def ends(self) -> tuple[int, ...]:
        """Every token that ends an answer, the one that closes an answer of somebody's first."""
        found = self.named_ends
        if not found:
            raise ConfigError(
                _(
                    "No end-of-text token is known: the chat template closes an answer with none, the "
                    "tokenizer has no eos_token, and generation_config.json no eos_token_id. Set the "
                    "eos_token."
                )
            )
        return tuple(found)

    @property
    def turn_end(self) -> int:
        """The token that closes an answer of somebody's: the template's own where it has one."""
        return self.ends[0]

    @property
    def named_ends(self) -> dict[int, list[str]]:
        """The tokens that end an answer, each with all that say so."""
        told = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        size = int(self.model.config.get_text_config().vocab_size)
        return conversations.named_ends(self.tokenizer, told, size)

    @property
    def context_length(self) -> int:
        """Longest prompt and completion together, in tokens; of an encoder-decoder, each of them."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", self.tokenizer.model_max_length))

    def room(self, answer: int) -> int:
        """How many tokens a prompt may have beside an answer of so many; 0 and less where none fits."""
        if not self.apart:
            return self.context_length - answer
        read = len(starts_of(self.model)) + answer - 1  # nobody reads an answer's last token
        return self.context_length if read <= self.context_length else 0

    @property
    def device(self) -> torch.device:
        """Where the weights are; of layers that are spread, where tokens are given."""
        return device_of(self.model)

    def check_tokens(self, reference: "Policy") -> None:
        """Raise ConfigError where the reference reads other tokens: then no ratio of the two means anything."""
        check_same_reading(self.apart, reference.apart)
        check_same_tokens(self.tokenizer, reference.tokenizer)
        check_same_width(self.width, reference.width)

    def check_prompts(self, reference: "Policy") -> None:
        """Raise ConfigError where the reference does not read a conversation as the same tokens."""
        self.check_tokens(reference)
        check_same_template(self.tokenizer, reference.tokenizer)
        if set(self.ends) != set(reference.ends):
            raise ConfigError(
                _(
                    "The policy and the reference end an answer with different tokens ({names}; "
                    "{others}); take a model that was fine-tuned with the policy's as the reference, or "
                    "let the generation_config.json of both name the same ones."
                ).format(names=self.names(self.ends), others=reference.names(reference.ends))
            )

    def names(self, ids: Sequence[int]) -> str:
        """Tokens as the tokenizer writes them."""
        return ", ".join(map(str, self.tokenizer.convert_ids_to_tokens(list(ids))))

    @property
    def width(self) -> int:
        """How many outputs have a probability, with those that pad the vocabulary."""
        return int(self.model.config.get_text_config().vocab_size)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The conversation as the model reads it, up to where its answer begins."""
        return self.tokenization.prompt_ids(self.tokenizer, messages)

    def answered(self, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """Prompt and completion of a conversation that somebody answered, up to and with its end."""
        found = self.tokenization.answered(self.tokenizer, messages, answer)
        end = [] if found.closed else [self.turn_end]
        return found.prompt, [*found.completion, *end]

    def text(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """Tokens as the text that is written behind those of a prompt, without special ones and the end."""
        kept = self.without_end(ids)
        before = () if self.apart else after
        return conversations.answer_text(self.tokenizer, kept, before, ended=len(kept) < len(ids))

    @property
    def apart(self) -> bool:
        """Whether it is an encoder-decoder, which reads a prompt apart from what it writes."""
        return reads_apart(self.model)

    @property
    def tokenization(self) -> Tokenization:
        """How conversations become its tokens."""
        return tokenization_of(apart=self.apart)

    def without_end(self, ids: Sequence[int]) -> list[int]:
        """The tokens without the one that ends them, if one does."""
        return list(ids[:-1] if ids and ids[-1] in self.named_ends else ids)


def fuse_activations(model: PreTrainedModel) -> None:
    """GPT-2's own tanh GELU passes over memory eight times; torch's, the same function, once."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def output_layer(model: PreTrainedModel) -> torch.nn.Module:
    """The layer that turns the last hidden states into logits."""
    found = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers has no types for it
    assert isinstance(found, torch.nn.Module)
    return found


def padded(policy: Policy, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(n, longest) token ids, padded on the right, and which of them are real."""
    device, width = policy.device, max(map(len, sequences))
    pad = int(policy.model.config.pad_token_id or 0)
    rows = [[*row, *[pad] * (width - len(row))] for row in sequences]
    lengths = torch.tensor([len(row) for row in sequences], device=device)
    mask = (torch.arange(width, device=device) < lengths[:, None]).long()
    return torch.tensor(rows, device=device), mask
