"""Somebody's model, once it is here: whether its files make a model, and whether that can answer.

What is loaded was checked before by `modelfiles`: no pickle, no code, no links.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment import memory
from alignment.config.models import TemplateName
from alignment.errors import AlignmentError, ConfigError, DataError, OutOfMemoryError
from alignment.modelfiles import Tensors, printable, read_object
from alignment.policies import Policy, default_device
from alignment.records import Message
from alignment.sampling import sample

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
DEEPEST = 512  # layers
AHEAD = 1e-5  # of the largest logit: more than rounding
UNLIMITED = 1_000_000_000  # tokens; tokenizers write 1e30 where a model has no limit
FEWEST = 0.5  # share of the described weights that the files must hold; ties may halve nothing more
TRIED = (Message(role="user", content="Hello"),)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNREAD = "pooler."  # of encoders, which reward models read without it
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")


def check_description(folder: Path, tensors: Tensors) -> None:
    """Whether config.json describes a causal or a masked language model that these files hold."""
    config = read_object(folder / "config.json")
    kind = str(config.get("model_type"))
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not is_masked(folder):
        raise DataError(
            f"config.json says “{printable(kind)}”, which is no causal and no masked language model "
            "known here."
        )
    if config.get("quantization_config"):
        raise DataError("config.json says the weights are quantised; add the full-precision model.")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise DataError(f"There is no tokenizer: none of {', '.join(VOCABULARIES)}.")
    if not tensors.elements:
        raise DataError("There is no model.safetensors, nor shards of it.")
    _drop_paths(folder / "tokenizer_config.json")
    with refusing("config.json cannot be understood"):
        parameters = described_parameters(folder)
    if tensors.elements < FEWEST * parameters:
        raise DataError(
            f"config.json describes {parameters:,} weights; the files hold {tensors.elements:,}."
        )
    refuse_too_large(parameters)


def is_masked(folder: Path) -> bool:
    """Whether config.json describes an encoder such as BERT: it reads both ways and cannot write."""
    config = read_object(folder / "config.json")
    writes = config.get("is_decoder") or config.get("is_encoder_decoder")
    return config.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not writes


def auto_class(folder: Path) -> Any:  # noqa: ANN401 - transformers' auto classes are untyped
    """What loads the model: with its head where it writes, without where it only reads."""
    return AutoModel if is_masked(folder) else AutoModelForCausalLM


def described_parameters(folder: Path) -> int:
    """How many weights config.json describes, without making them."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if layers > DEEPEST:
        raise DataError(f"config.json describes {layers:,} layers.")
    with torch.device("meta"):
        model = auto_class(folder).from_config(config, trust_remote_code=False)
    return int(model.num_parameters())


def refuse_too_large(parameters: int) -> None:
    """Say before loading what the machine would only answer with an end."""
    needed = memory.FLOAT * parameters
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise OutOfMemoryError(
            f"The weights alone take {needed / 1e9:.0f} GB in fp32, and this machine has "
            f"{there / 1e9:.0f} GB of memory."
        )


def load(folder: Path) -> Policy:
    """Model and tokenizer of checked files; raises DataError for what does not fit together."""
    with refusing("The tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    with refusing("The model cannot be loaded"):
        model, info = auto_class(folder).from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith(UNREAD)):
        raise DataError(
            f"The files lack {len(missing)} of the model's weights, “{printable(missing[0])}” first."
        )
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise DataError(
            f"The tokenizer has {len(tokenizer):,} tokens and the model knows {rows:,}; they do not "
            "belong together."
        )
    return Policy(model.to(default_device()).eval(), tokenizer)


def apply_template(tokenizer: PreTrainedTokenizerBase, template: TemplateName) -> None:
    """Set the chosen chat template; raises ConfigError where the model cannot use it."""
    if template == "own" and tokenizer.chat_template is None:
        raise ConfigError(
            "The model has no chat template. Add it again and choose one: “plain” for a model that "
            "was trained on text alone."
        )
    if template == "plain":
        tokenizer.chat_template = None  # what policies.Policy then writes is the plain form
    if template == "chatml":
        known = tokenizer.get_vocab()
        if lacking := [token for token in CHATML_TOKENS if token not in known]:
            raise ConfigError(f"The tokenizer does not know {lacking[0]}; ChatML needs it.")
        tokenizer.chat_template, tokenizer.eos_token = CHATML, CHATML_TOKENS[1]


def try_out(policy: Policy) -> None:
    """Let the model answer once; raises DataError where it cannot."""
    prompt = policy.prompt_ids(TRIED)
    with refusing("The model cannot answer a prompt"):
        rollouts = sample(
            policy,
            [prompt],
            completions=2,
            max_new_tokens=4,
            generator=torch.Generator().manual_seed(0),
        )
    if not rollouts.token_logps.isfinite().all():
        raise DataError("The model answers with what is not a number; its weights are damaged.")
    if looks_ahead(policy, prompt):
        raise DataError(
            "What the model says of a word depends on the words after it; it is no causal model."
        )


@torch.no_grad()
def try_reading(policy: Policy) -> None:
    """Let an encoder read once; raises DataError where it cannot."""
    with refusing("The model cannot read a prompt"):
        ids = torch.tensor([policy.prompt_ids(TRIED)], device=policy.device)
        states = policy.model(input_ids=ids).last_hidden_state
    if not states.isfinite().all():
        raise DataError("The model reads what is not a number; its weights are damaged.")


@torch.no_grad()
def looks_ahead(policy: Policy, prompt: Sequence[int]) -> bool:
    """Whether another last token changes what is predicted before it."""
    ids = torch.tensor([[*prompt, 0], [*prompt, policy.turn_end or 1]], device=policy.device)
    one, other = policy.model(input_ids=ids, use_cache=False).logits[:, : len(prompt)]
    return bool((one - other).abs().max() > AHEAD * max(1.0, float(one.abs().max())))


def described(policy: Policy) -> dict[str, object]:
    """What a card says about a model."""
    shape = shape_of(policy)
    return {
        "parameters": shape.parameters,
        "layers": shape.layers,
        "context_length": shape.context if shape.context < UNLIMITED else "without a limit",
        "vocabulary": len(policy.tokenizer),
        "architecture": type(policy.model).__name__,
        "chat_template": policy.tokenizer.chat_template is not None,
        "memory": dict(memory.needed(shape)),
    }


def described_encoder(policy: Policy) -> dict[str, object]:
    """What a card says about a model that only reads."""
    card = described(policy)
    reward = memory.needed(shape_of(policy))["reward"]
    return card | {"encoder": True, "memory": {"reward": reward}}


def shape_of(policy: Policy) -> memory.Shape:
    """What decides the model's memory, from its configuration."""
    config: Any = policy.model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1))
    head_width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return memory.Shape(
        parameters=int(policy.model.num_parameters()),
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        heads=heads,
        key_width=head_width * int(getattr(config, "num_key_value_heads", None) or heads),
        vocabulary=int(config.vocab_size),
        context=policy.context_length,
    )


@contextmanager
def refusing(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Tell a foreign loader's error as a refusal: whatever it is, the files are why it was raised."""
    try:
        yield
    except (AlignmentError, MemoryError, torch.OutOfMemoryError):
        raise
    except kind as error:
        reason = printable(str(error).partition("\n")[0])
        raise DataError(f"{what}: {type(error).__name__}: {reason}") from error


def _drop_paths(path: Path) -> None:
    """Forget where files lay on somebody's machine: a tokenizer may open what such a key names."""
    if path.is_file():
        kept = {key: value for key, value in read_object(path).items() if not _is_path(key)}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")


def _is_path(key: str) -> bool:
    return key.endswith(("_file", "_files", "name_or_path"))
