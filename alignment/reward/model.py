"""A reward model: a scalar head, or several, on a causal or masked backbone.

A completion is read as annotators saw it: its text without special tokens. A causal backbone is read
at its last token, where a language model knows most of what it has read (it never learned to read
its own end token); so the score of a text and that of the rollout it came from are the same. An
encoder-decoder is read there too, by its decoder, which reads the completion alone. A masked backbone, which
reads both ways, gets prompt and completion between its own marks, and is read at the first mark or on average.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignment.kinds.reward.settings import PoolingName
from alignment.models.conversations import Answered
from alignment.models.encoder_decoders import starts_of
from alignment.models.loading import (
    HEAD,
    REWARD,
    check_finite,
    check_reward_files,
    naming,
    open_model,
    refusing,
)
from alignment.models.policies import Policy, default_device, fuse_activations
from alignment.models.sharding import is_spread
from alignment.sampling.encoded import Encoded
from alignment.sampling.sampling import Rollouts
from alignment.seam.progress import reach
from alignment.seam.records import Message

TOKENS = 2048  # padded tokens of one forward
PROMPT_SHARE = 4  # a prompt that is too long keeps at least this fraction of the context
AHEAD = 1e-5  # of the largest hidden state: more than rounding
BORDER = -1  # no token: what stands between prompt and completion for an encoder-decoder


@dataclass(frozen=True)
class RewardModel:
    """r(prompt, completion): a hidden state through linear heads, each centred, scaled in common."""

    trunk: Policy  # its model has no language-model head
    head: nn.Linear
    pooling: PoolingName | None = None  # None: a backbone that writes, read at its last token
    center: tuple[float, ...] = (0.0,)  # one per head
    scale: float = 1.0
    caution: float = 0.0  # deviations among heads that are taken off their mean
    temperature: float = 1.0  # labels follow sigma(scale * difference of rewards / temperature)
    asked: Mapping[tuple[int, ...], Sequence[Message]] = field(default_factory=dict)  # see knowing

    @classmethod
    def fresh(
        cls,
        folder: Path,
        *,
        heads: int = 1,
        pooling: PoolingName = "mean",
        role: str = "model",
    ) -> "RewardModel":
        """An untrained head on a stored model, in fp32; only safetensors are read.

        One head starts at zero, several at random: they differ most where no label reaches.
        Raises DataError naming folder, role and cause where it holds no model that can read.
        """
        opened, tokenizer = open_model(folder, "backbone", role)
        model: Any = opened
        fuse_activations(model)
        trunk = Policy(model.to(default_device()).eval(), tokenizer)
        width = model.config.get_text_config().hidden_size
        head = nn.Linear(width, heads, bias=False)
        nn.init.normal_(head.weight, std=0.0 if heads == 1 else width**-0.5)
        with naming(folder, role), refusing("The model cannot read a text"):
            both = None if trunk.apart or not reads_both_ways(trunk) else pooling
        return cls(trunk, head.to(trunk.device), both, center=(0.0,) * heads)

    @classmethod
    def load(cls, folder: Path, role: str = "reward model") -> "RewardModel":
        """Read what `save` wrote, ready to score; raises DataError naming folder, role and cause."""
        with naming(folder, role):
            stored = check_reward_files(folder)
        pooling, heads = stored["pooling"], len(stored["center"])
        model = cls.fresh(folder, heads=heads, pooling=pooling or "mean", role=role)
        with naming(folder, role), refusing(f"{HEAD} cannot be read"):
            model.head.load_state_dict(load_file(folder / HEAD))
            check_finite(model.head)
        return replace(
            model,
            pooling=pooling,
            center=tuple(stored["center"]),
            scale=stored["scale"],
            caution=stored["caution"],
            temperature=stored["temperature"],
        )

    def save(self, folder: Path) -> None:
        """Write trunk, tokenizer, heads and scale into an existing folder."""
        self.trunk.save(folder)
        save_file(self.head.state_dict(), folder / HEAD)
        names = ("pooling", "center", "scale", "caution", "temperature")
        stored = json.dumps({name: getattr(self, name) for name in names})
        (folder / REWARD).write_text(stored, encoding="utf-8")

    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [*self.trunk.model.parameters(), *self.head.parameters()]

    def raw(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, heads) head outputs, not centred, with gradient; forwards of about equal lengths.

        With gradient there is one forward of a model that is held in parts, as each process has other rows.
        """
        if torch.is_grad_enabled() and is_spread(self.trunk.model):
            return self._read(sequences)
        return self._in_parts(self._read, sequences)

    @torch.no_grad()
    def features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) what the heads read of whole sequences."""
        return self._in_parts(self._features, sequences)

    def _in_parts(
        self,
        read: Callable[[Sequence[Sequence[int]]], Tensor],
        sequences: Sequence[Sequence[int]],
    ) -> Tensor:
        parts, rows = [], []
        for batch in of_about_equal_length(sequences):
            parts.append(read([sequences[row] for row in batch]))
            rows += batch
            reach(len(rows) / len(sequences))
        return torch.cat(parts)[torch.tensor(rows, device=self.trunk.device).argsort()]

    def _read(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        scores: Tensor = self.head(self._features(sequences))
        return scores

    def _features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        return (self._decoded if self.trunk.apart else self._whole_states)(sequences)

    def _decoded(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) what a decoder knows of its last tokens, once an encoder has read the prompts."""
        model, device = self.trunk.model, self.trunk.device
        parts = [parted_at_border(row) for row in sequences]
        prompts = Encoded([prompt for prompt, _ in parts], device)
        starts = starts_of(model)
        rows = [torch.tensor([*starts, *completion]) for _, completion in parts]
        states = model(
            input_ids=prompts.ids,
            attention_mask=prompts.seen,
            decoder_input_ids=pad_sequence(rows, batch_first=True).to(device),
            use_cache=False,
        ).last_hidden_state
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        found: Tensor = states[torch.arange(len(rows), device=device), last]
        return found

    def _whole_states(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        device = self.trunk.device
        width = max(map(len, sequences))
        pad = int(self.trunk.tokenizer.pad_token_id or 0)
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in sequences]).to(device)
        lengths = torch.tensor([len(row) for row in sequences], device=device)
        real = torch.arange(width, device=device) < lengths[:, None]
        # Padding is on the right: no real token of a causal model sees it, and a mask of ones takes
        # the attention path without a mask. A masked model needs to be told, where there is any.
        padded = self.pooling is not None and min(map(len, sequences)) < width
        mask = real.long() if padded else torch.ones_like(ids)
        arguments = {} if self.pooling else {"use_cache": False}
        states = self.trunk.model(input_ids=ids, attention_mask=mask, **arguments).last_hidden_state
        return pooled(states, real, lengths, self.pooling)

    @torch.no_grad()
    def heads_of(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, heads) rewards of whole sequences, in standard deviations of their mean over heads."""
        return self.standard(self.raw(sequences))

    def standard(self, raw: Tensor) -> Tensor:
        """Head outputs (n, heads), centred and scaled."""
        return (raw - raw.new_tensor(self.center)) / self.scale

    def score_ids(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n,) rewards: the heads' mean, less `caution` times their deviation from each other."""
        return cautious(self.heads_of(sequences), self.caution)

    def score_texts(self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]) -> Tensor:
        """(n,) rewards of completions given as text, one prompt each."""
        return self.score_ids(self.read_all(prompts, texts))

    def knowing(self, policy: Policy, prompts: Sequence[Sequence[Message]]) -> "RewardModel":
        """The same model that knows these conversations by the tokens a policy reads them as."""
        asked = {tuple(policy.prompt_ids(turns)): turns for turns in prompts}
        return replace(self, asked={**self.asked, **asked})

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n,) rewards of a policy's completions: those of their texts, with whatever tokens they were drawn.

        A prompt that it was not told of by `knowing` is taken as its tokens, or read as one turn of the
        user's where the policy has another tokenizer.
        """
        rows = list(zip(rollouts.prompts, rollouts.completion_ids(), strict=True))
        turns = [self._turns_of(policy, prompt) for prompt, _ in rows]
        texts = [policy.text(ids, prompt) for prompt, ids in rows]
        known = [(found, text) for found, text in zip(turns, texts, strict=True) if found]
        read = iter(self.read_all([found for found, _ in known], [text for _, text in known]))
        return self.score_ids(
            [
                next(read) if found else self._joined(policy, *row)
                for found, row in zip(turns, rows, strict=True)
            ]
        )

    def _turns_of(self, policy: Policy, prompt: tuple[int, ...]) -> Sequence[Message]:
        """The conversation that a policy reads as these tokens; none where they can be taken themselves."""
        if (turns := self.asked.get(prompt)) is not None:
            return turns
        if self._reads_as(policy):
            return []
        return [Message(role="user", content=policy.text(prompt))]

    def _reads_as(self, policy: Policy) -> bool:
        """Whether a policy's tokens mean the same here."""
        return policy.apart == self.trunk.apart and same_tokens(
            policy.tokenizer, self.trunk.tokenizer
        )

    def _joined(self, policy: Policy, prompt: tuple[int, ...], ids: Sequence[int]) -> list[int]:
        """Token ids of a prompt and of a completion of a policy with the same tokenizer."""
        special = set(policy.tokenizer.all_special_ids)
        seen = [token for token in policy.without_end(ids) if token not in special]
        return self.join(prompt, seen)[0]

    def read_all(
        self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]
    ) -> list[list[int]]:
        """Token ids of each prompt with its completion, as `read` gives them."""
        found = self.trunk.tokenization.all_answered(self.trunk.tokenizer, prompts, texts)
        return [self._whole(one)[0] for one in found]

    def read(self, prompt: Sequence[Message], text: str) -> tuple[list[int], bool]:
        """Token ids of prompt and completion, and whether they were cut to the context."""
        return self._whole(self.trunk.tokenization.answered(self.trunk.tokenizer, prompt, text))

    def _whole(self, found: Answered) -> tuple[list[int], bool]:
        """Prompt and completion in one, without the token that closes the turn."""
        completion = found.completion[:-1] if found.closed else found.completion
        return self.join(found.prompt, completion)

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and completion in one, the first cut on its left, the second on its right to fit."""
        if self.trunk.apart:
            return self._with_border(prompt, completion)
        first, last = self._marks()
        if self.pooling is not None:
            prompt = [token for token in prompt if token not in (*first, *last)]
        context = self.context_length - len(first) - 2 * len(last)
        room = context - min(len(prompt), context // PROMPT_SHARE)
        kept = completion[:room]
        over = max(0, len(prompt) + len(kept) - context)
        begin = self._begins(prompt)
        cut = over > 0 or len(kept) < len(completion)
        return [*first, *prompt[:begin], *prompt[begin + over :], *last, *kept, *last], cut

    def _with_border(
        self, prompt: Sequence[int], completion: Sequence[int]
    ) -> tuple[list[int], bool]:
        """Prompt and completion as an encoder-decoder reads them, each cut to the context by itself."""
        room = self.context_length - len(starts_of(self.trunk.model))
        over, begin = max(0, len(prompt) - self.context_length), self._begins(prompt)
        kept = [*prompt[:begin], *prompt[begin + over :]]
        return [*kept, BORDER, *completion[:room]], over > 0 or len(completion) > room

    def _begins(self, prompt: Sequence[int]) -> int:
        """How many tokens a prompt begins with that a cut spares: the one that every text begins with."""
        return int(bool(prompt) and prompt[0] == self.trunk.tokenizer.bos_token_id)

    @property
    def context_length(self) -> int:
        """Longest sequence: some masked models count more positions than they can use."""
        limit = self.trunk.context_length
        return min(limit, self.trunk.tokenizer.model_max_length) if self.pooling else limit

    def _marks(self) -> tuple[list[int], list[int]]:
        """What a masked backbone expects first, and after each of the two texts."""
        tokenizer = self.trunk.tokenizer
        ids = (tokenizer.cls_token_id, tokenizer.sep_token_id) if self.pooling else (None, None)
        first, last = ([] if one is None else [int(one)] for one in ids)
        return first, last


def parted_at_border(sequence: Sequence[int]) -> tuple[list[int], list[int]]:
    """The prompt and the completion of a sequence with a border."""
    place = list(sequence).index(BORDER)
    return list(sequence[:place]), list(sequence[place + 1 :])


def pooled(states: Tensor, real: Tensor, lengths: Tensor, pooling: PoolingName | None) -> Tensor:
    """(n, width) one state of each row of states (n, length, width), of its real tokens only."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "mean":
        return (states * real[:, :, None]).sum(1) / lengths[:, None]
    return states[torch.arange(len(states), device=states.device), lengths - 1]


def cautious(heads: Tensor, caution: float) -> Tensor:
    """(n,) from (n, heads): a lower confidence bound of the reward, its mean where `caution` is 0."""
    return heads.mean(1) - caution * heads.std(1, correction=0)


def of_about_equal_length(sequences: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Rows by length, the longest first, in batches of at most about TOKENS padded tokens."""
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]), reverse=True)
    while order:
        size = max(1, TOKENS // max(1, len(sequences[order[0]])))
        yield order[:size]
        order = order[size:]


@torch.no_grad()
def reads_both_ways(trunk: Policy) -> bool:
    """Whether another last token changes the states before it: a masked model, such as BERT."""
    special = set(trunk.tokenizer.all_special_ids)
    count = int(trunk.model.config.get_text_config().vocab_size)
    known = [token for token in range(min(count, len(special) + 3)) if token not in special]
    ids = torch.tensor([[known[0], known[0]], [known[0], known[-1]]], device=trunk.device)
    model: PreTrainedModel = trunk.model
    one, other = model(input_ids=ids).last_hidden_state[:, 0]
    return bool((one - other).abs().max() > AHEAD * max(1.0, float(one.abs().max())))


@lru_cache(maxsize=8)
def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether token ids and prompts mean the same to both; asked at every step, so remembered."""
    same_template = one.chat_template == other.chat_template
    return same_template and (one is other or one.get_vocab() == other.get_vocab())
