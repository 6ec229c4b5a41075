"""Somebody's model, once it is loaded: whether it can answer, and means the same by every way of asking.

Loading has checked before that its files make a model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.kinds import memory_by_kind
from alignment.kinds.bring.settings import TemplateName
from alignment.models.devices import ONE, Placement
from alignment.models.loading import is_sealed, naming, refusing
from alignment.models.lora import size_of
from alignment.models.policies import Policy
from alignment.sampling.caching import check_cache
from alignment.sampling.encoded import Encoded
from alignment.sampling.sampling import Rollouts, decoded_token_logps, sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam import memory
from alignment.seam.architectures import family_of
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.modelfiles import read_object
from alignment.seam.records import Message, Receipts
from alignment.seam.words import _

AHEAD = 1e-5  # of the largest logit: more than rounding
UNLIMITED = 1_000_000_000  # tokens; tokenizers write 1e30 where a model has no limit
TRIED = (Message(role="user", content="Hello"),)
LENGTHS = ((1, 8), (5, 2), (8, 1))  # tokens of two completions of a prompt each: they end apart
TOLERANCE = float(Receipts.model_fields["tolerance"].default)  # nats per token
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")


def sampler(folder: Path, role: str = "model", placement: Placement = ONE) -> Policy:
    """A policy that will be sampled from; raises DataError where sampler and scorer would not agree.

    One that a run of ours committed was tried before.
    """
    policy = Policy.load(folder, role, placement=placement)
    with naming(folder, role):
        check_cache(policy.model)
        if not is_sealed(folder):
            try_contract(policy)
    return policy


def apply_template(tokenizer: PreTrainedTokenizerBase, template: TemplateName) -> None:
    """Set the chosen chat template; raises ConfigError where the model cannot use it."""
    if template == "own" and tokenizer.chat_template is None:
        raise ConfigError(
            _(
                "The model has no chat template. Add it again and choose one: “plain” for a model "
                "that was trained on text alone."
            )
        )
    if template == "plain":
        tokenizer.chat_template = None  # what policies.Policy then writes is the plain form
    if template == "chatml":
        known = tokenizer.get_vocab()
        if lacking := [token for token in CHATML_TOKENS if token not in known]:
            raise ConfigError(
                _("The tokenizer does not know {lacking}; ChatML needs it.").format(
                    lacking=lacking[0]
                )
            )
        tokenizer.chat_template, tokenizer.eos_token = CHATML, CHATML_TOKENS[1]


def try_out(policy: Policy) -> None:
    """Let the model answer, and check what it is said to have answered; raises DataError."""
    check_cache(policy.model)
    with refusing("The model cannot answer a prompt"):
        rollouts = sample(
            policy,
            [policy.prompt_ids(TRIED)],
            completions=2,
            max_new_tokens=4,
            generator=torch.Generator().manual_seed(0),
        )
    if not rollouts.token_logps.isfinite().all():
        raise DataError(_("The model answers with what is not a number; its weights are damaged."))
    conversing(policy)
    try_contract(policy)


@torch.no_grad()
def try_contract(policy: Policy) -> None:
    """Raise DataError where sampler and scorer do not speak of the same distribution.

    With prompts of different lengths, padded on the left, and completions that end at different times.
    """
    if looks_ahead(policy, policy.prompt_ids(TRIED)):
        raise DataError(
            _("What the model says of a word depends on the words after it; it is no causal model.")
        )
    rollouts = tried_rollouts(policy)
    with refusing("The model cannot answer several prompts at once"):
        drawn = decoded_token_logps(policy.model, rollouts)
    with refusing("The model cannot read an answer"):
        read = completion_token_logps(policy.model, rollouts)
    distance = (drawn - read).abs().nan_to_num(torch.inf).max().item()
    if distance > TOLERANCE:
        raise DataError(
            _(
                "What the model says of an answer differs by {distance:.2g} nats a token between "
                "writing it, token by token beside answers to other prompts, and reading it at once; "
                "a model of this kind cannot be sampled from here."
            ).format(distance=distance)
        )


def tried_rollouts(policy: Policy) -> Rollouts:
    """Completions, of words that the model's prompts have, whose probability both ways must give."""
    ids = policy.prompt_ids(TRIED)
    longest = max(map(max, LENGTHS))
    room = max(1, policy.room(longest))
    ids = (ids * longest)[: min(room, max(longest, len(ids)))]
    asked = [tuple(ids[:1]), tuple(ids[:3]), tuple(ids)]
    prompts = tuple(prompt for prompt in asked for _ in LENGTHS[0])
    lengths = torch.tensor([length for pair in LENGTHS for length in pair])
    tokens = torch.tensor([(ids[row:] + ids)[:longest] for row in range(len(prompts))])
    mask = torch.arange(longest) < lengths[:, None]
    device = policy.device
    return Rollouts(
        prompts,
        tokens.to(device),
        mask.to(device),
        token_logps=torch.zeros(tokens.shape, device=device),
        truncated=torch.ones(len(prompts), dtype=torch.bool, device=device),
    )


@torch.no_grad()
def try_reading(policy: Policy) -> None:
    """Let an encoder read once; raises DataError where it cannot."""
    with refusing("The model cannot read a prompt"):
        ids = torch.tensor([policy.prompt_ids(TRIED)], device=policy.device)
        states = policy.model(input_ids=ids).last_hidden_state
    if not states.isfinite().all():
        raise DataError(_("The model reads what is not a number; its weights are damaged."))


@torch.no_grad()
def try_rating(policy: Policy) -> None:
    """Let a model for classes read once; raises DataError where it cannot."""
    with refusing("The model cannot read a prompt"):
        ids = torch.tensor([policy.prompt_ids(TRIED)], device=policy.device)
        logits = policy.model(input_ids=ids).logits
    if not logits.isfinite().all():
        raise DataError(_("The model reads what is not a number; its weights are damaged."))


@torch.no_grad()
def looks_ahead(policy: Policy, prompt: Sequence[int]) -> bool:
    """Whether another last token changes what is predicted before it; of an encoder-decoder, where it writes."""
    ids = torch.tensor([[*prompt, 0], [*prompt, policy.turn_end or 1]], device=policy.device)
    if policy.apart:
        encoded = Encoded([prompt, prompt], policy.device)
        one, other = encoded.logits(policy.model, ids, None, ids.shape[1])[:, :-1]
    else:
        one, other = policy.model(input_ids=ids, use_cache=False).logits[:, : len(prompt)]
    return bool((one - other).abs().max() > AHEAD * max(1.0, float(one.abs().max())))


def described(policy: Policy) -> dict[str, object]:
    """What a card says about a model that writes."""
    return {**measured(policy), **conversing(policy)}


def conversing(policy: Policy) -> dict[str, str]:
    """What ends an answer and who says so, and how a conversation is written; raises what `try_out` does."""
    facts = policy.tokenization.check(policy.tokenizer)
    ends = [f"{policy.names([end])} ({', '.join(said)})" for end, said in policy.named_ends.items()]
    return {"answers_end_with": "; ".join(ends), **facts}


def measured(policy: Policy) -> dict[str, object]:
    """What a card says about any model."""
    shape = _shape_of(policy)
    return {
        "parameters": shape.parameters,
        "layers": shape.layers,
        "context_length": shape.context if shape.context < UNLIMITED else "without a limit",
        "vocabulary": len(policy.tokenizer),
        "architecture": type(policy.model).__name__,
        "chat_template": policy.tokenizer.chat_template is not None,
        "memory": dict(memory_by_kind(shape, family_of(policy.model.config.to_dict()))),
        "shape": shape._asdict(),
    }


def described_rater(policy: Policy) -> dict[str, object]:
    """What a card says about a model for classes, or for a number."""
    return measured(policy) | {"rater": True, "memory": {}}


def described_encoder(policy: Policy) -> dict[str, object]:
    """What a card says about a model that only reads."""
    card = measured(policy)
    reward = memory_by_kind(_shape_of(policy))["reward"]
    return card | {"encoder": True, "memory": {"reward": reward}}


def _shape_of(policy: Policy) -> memory.Shape:
    """What decides the model's memory, from its configuration."""
    found = shape_from(policy.model.config, size_of(policy.model))
    return found._replace(context=policy.context_length)


def shape_from(whole: PretrainedConfig, parameters: int) -> memory.Shape:
    """The same from a configuration alone."""
    config: Any = whole.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1))
    head_width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return memory.Shape(
        parameters=parameters,
        layers=layers_of(config),
        width=int(config.hidden_size),
        heads=heads,
        key_width=head_width * int(getattr(config, "num_key_value_heads", None) or heads),
        vocabulary=int(config.vocab_size),
        context=int(getattr(config, "max_position_embeddings", None) or UNLIMITED),
    )


def layers_of(config: Any) -> int:  # noqa: ANN401 - a model's own
    """How many blocks there are, of an encoder-decoder on both sides."""
    beside = ("num_decoder_layers", "decoder_layers") if config.is_encoder_decoder else ()
    decoding = next((found for name in beside if (found := getattr(config, name, None))), 0)
    return int(config.num_hidden_layers) + int(decoding)


def drop_paths(path: Path) -> None:
    """Forget where files lay on somebody's machine: a tokenizer may open what such a key names."""
    if path.is_file():
        kept = {key: value for key, value in read_object(path).items() if not _is_path(key)}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")


def _is_path(key: str) -> bool:
    return key.endswith(("_file", "_files", "name_or_path"))
