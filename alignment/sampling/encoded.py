"""Encoder-decoders, sampled and scored: an encoder reads each prompt once, a decoder writes its completions.

Both ways ask the model's own forward, so that what changes that (a precision, an adapter that is switched off) changes
them alike. Prompts are padded on the right and the encoder is told of it, as it reads both ways; completions
begin in one column.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from alignment.models.devices import device_of
from alignment.models.encoder_decoders import starts_of
from alignment.sampling.caching import keep, repeat


class Encoded:
    """Prompts for an encoder: completions are told from its states.

    Where there are gradients, those of the prompts gather until `backward`, so that the batches of
    completions can be differentiated one by one.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], device: torch.device) -> None:
        self.width = max(map(len, prompts))
        padded = [[*prompt, *[0] * (self.width - len(prompt))] for prompt in prompts]
        self.ids = torch.tensor(padded, device=device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.seen = (torch.arange(self.width, device=device) < lengths[:, None]).long()
        self._states: dict[PreTrainedModel, Tensor] = {}
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def logits(
        self, model: PreTrainedModel, ids: Tensor, owners: Tensor | None, keep: int
    ) -> Tensor:
        """(b, keep, vocab) behind the last tokens of completions (b, length); the first is behind what they begin with.

        `owners` (b,) are the prompts' rows, read once for all completions; without, each row has its own prompt.
        """
        decoded = torch.cat([begun(model, len(ids), ids.device), ids], 1)
        if owners is None:
            read: dict[str, Any] = {"input_ids": self.ids, "attention_mask": self.seen}
        else:
            states = self._encoded(model).index_select(0, owners)
            read = {
                "encoder_outputs": BaseModelOutput(states),
                "attention_mask": self.seen[owners],
            }
        logits: Tensor = model(**read, decoder_input_ids=decoded, use_cache=False).logits
        return logits[:, -keep:]

    def before(self, last: Tensor) -> Tensor:
        """Of the prompts' last tokens (b,) those that stand before a completion: none."""
        return last[:, None][:, :0]

    def backward(self) -> None:
        """Hand on to the encoder what gradient the completions have left at its states."""
        for states, leaf in self._leaves:
            if leaf.grad is not None:
                states.backward(leaf.grad)  # type: ignore[no-untyped-call]  # torch has no type for it

    def _encoded(self, model: PreTrainedModel) -> Tensor:
        """(prompts, width, hidden) what the encoder makes of them."""
        if model not in self._states:
            states = encode(model, self)
            if states.requires_grad:
                leaf = states.detach().requires_grad_()
                self._leaves.append((states, leaf))
                states = leaf
            self._states[model] = states
        return self._states[model]


class EncodedDecoder:
    """The cache of the rows that are still decoded, and the logits (rows, vocab) of their next token."""

    kept = None  # of its activations

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], copies: int, room: int
    ) -> None:
        """Read each prompt once, then share what is kept of it among its completions."""
        self.model = model
        device = device_of(model)
        encoded = Encoded(prompts, device)
        found = model(
            input_ids=encoded.ids,
            attention_mask=encoded.seen,
            decoder_input_ids=begun(model, len(prompts), device),
            use_cache=True,
        )
        self.cache: EncoderDecoderCache = found.past_key_values
        repeat(self.cache.self_attention_cache, len(prompts), copies, room)
        repeat(self.cache.cross_attention_cache, len(prompts), copies, 0)
        self.states = found.encoder_last_hidden_state.repeat_interleave(copies, 0)
        self.seen = encoded.seen.repeat_interleave(copies, 0)
        self.logits = precise(found.logits[:, -1]).repeat_interleave(copies, 0)

    def advance(self, tokens: Tensor) -> None:
        """Read one more token (rows,) per row."""
        found = self.model(
            encoder_outputs=BaseModelOutput(self.states),
            attention_mask=self.seen,
            decoder_input_ids=tokens[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits = precise(found.logits[:, -1])

    def keep(self, rows: Tensor) -> Tensor:
        """Forget the rows that are False; which of the former ones the rows are now."""
        kept = keep(self.cache.self_attention_cache, rows, self.seen.device)
        keep(self.cache.cross_attention_cache, rows, self.seen.device)
        self.states, self.seen = self.states[kept], self.seen[kept]
        return kept


def begun(model: PreTrainedModel, rows: int, device: torch.device) -> Tensor:
    """(rows, starts) what the decoder reads first."""
    return torch.tensor([starts_of(model)], device=device).expand(rows, -1)


def encode(model: PreTrainedModel, prompts: Encoded) -> Tensor:
    """(prompts, width, hidden) the encoder's last states; the decoder takes its first step meanwhile."""
    found: Tensor = model(
        input_ids=prompts.ids,
        attention_mask=prompts.seen,
        decoder_input_ids=begun(model, len(prompts.ids), prompts.ids.device),
        use_cache=False,
    ).encoder_last_hidden_state
    return found


def precise(logits: Tensor) -> Tensor:
    """Logits in fp32, or better."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
