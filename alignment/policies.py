"""A policy: a causal language model with the tokenizer that speaks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.distributed import world
from alignment.errors import ConfigError, DataError
from alignment.records import Message
from alignment.sharding import whole

TURN = "Assistant:"  # after which a model without a template answers


@dataclass(frozen=True)
class Policy:
    """A model in evaluation mode (no dropout, also while it is trained) and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, folder: Path) -> "Policy":
        """Read a model folder in fp32, safetensors only; raises DataError where it is not one."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder} does not hold a model that can be loaded: {error}"
            ) from error
        fuse_activations(model)
        return cls(model.to(default_device()).eval(), tokenizer)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer in the Hugging Face layout; of several processes, the first does."""
        weights = whole(self.model)
        if world().rank:
            return
        self.model.save_pretrained(folder, state_dict=weights)
        self.tokenizer.save_pretrained(folder)

    @property
    def eos_id(self) -> int:
        """The token that ends a completion."""
        if self.tokenizer.eos_token_id is None:
            raise ConfigError("The tokenizer has no end-of-text token; set its eos_token.")
        return int(self.tokenizer.eos_token_id)

    @property
    def context_length(self) -> int:
        """Longest prompt and completion together, in tokens."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", self.tokenizer.model_max_length))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def check_tokens(self, reference: "Policy") -> None:
        """Raise ConfigError where the reference reads other tokens: then no ratio of the two means anything."""
        if self.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
            raise ConfigError(
                "The policy and the reference have different tokenizers; take the model that the policy was "
                "trained from as the reference."
            )

    def check_prompts(self, reference: "Policy") -> None:
        """Raise ConfigError where the reference does not read a conversation as the same tokens."""
        self.check_tokens(reference)
        if self.tokenizer.chat_template != reference.tokenizer.chat_template:
            raise ConfigError(
                "The policy and the reference write prompts by different templates; take a model that was "
                "fine-tuned with the policy's as the reference, or the policy itself."
            )

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The conversation as the model reads it, up to where its answer begins."""
        return prompt_ids(self.tokenizer, messages)

    def text(self, ids: Sequence[int]) -> str:
        """The tokens as text, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def roles_in(turns: Sequence[Mapping[str, str]]) -> str:
    """Who speaks in a conversation, in turn."""
    return ", ".join(turn["role"] for turn in turns)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The conversation as a model with this tokenizer reads it, up to where its answer begins."""
    turns = [message.model_dump() for message in messages]
    if tokenizer.chat_template is None:
        lines = [f"{turn['role'].capitalize()}: {turn['content']}\n" for turn in turns]
        text, special = "".join(lines) + TURN, True
    else:
        # A template writes its own special tokens.
        try:
            rendered = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"The model's chat template does not work for a conversation of {roles_in(turns)}: {reason}"
            ) from error
        text, special = str(rendered), False
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def answer_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """An answer as a model with this tokenizer writes it after `prompt_ids`, without an end token.

    Without a template a space stands before it, as in all text of that form.
    """
    if tokenizer.chat_template is not None or not text:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    before, whole = (
        tokenizer(said, add_special_tokens=False)["input_ids"] for said in (TURN, f"{TURN} {text}")
    )
    return list(whole[len(before) :])


def fuse_activations(model: PreTrainedModel) -> None:
    """GPT-2's own tanh GELU passes over memory eight times; torch's, the same function, once."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def output_layer(model: PreTrainedModel) -> torch.nn.Linear:
    """The layer that turns the last hidden states into logits."""
    found = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    assert isinstance(found, torch.nn.Linear)
    return found


def default_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
