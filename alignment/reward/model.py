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
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from alignment.kinds.adopt.settings import EndingName
from alignment.kinds.reward.settings import PoolingName
from alignment.models.devices import ONE, Placement, settled
from alignment.models.encoder_decoders import starts_of
from alignment.models.joining import Joiner, behind_turn, parted_at_border
from alignment.models.loading import (
    HEAD,
    REWARD,
    check_finite,
    check_reward_files,
    naming,
    open_model,
    refusing,
)
from alignment.models.policies import Policy, fuse_activations, padded
from alignment.models.sharding import is_spread
from alignment.models.uses import is_masked
from alignment.reward.forks import forked_batches, forked_states, forks_of, reads_forks
from alignment.sampling.encoded import Encoded
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import budget
from alignment.seam.progress import reach
from alignment.seam.records import Message

TOKENS = 2048  # padded tokens of one forward
AHEAD = 1e-5  # of the largest hidden state: more than rounding


@dataclass(frozen=True)
class RewardModel:
    """r(prompt, completion): a hidden state through linear heads, each centred, scaled in common."""

    trunk: Policy  # its model has no language-model head
    head: nn.Linear
    pooling: PoolingName | None = None  # None: a backbone that writes, read at its last token
    center: tuple[float, ...] = (0.0,)  # one per head
    scale: float = 1.0
    caution: float = 0.0  # deviations among heads that are taken off their mean
    output: int | None = None  # of a model for classes, of others: which of them is the reward
    reads: EndingName = "open"  # of such a model: up to where an answer is read
    forks: bool = False  # whether sequences that begin alike are read as one row
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
        placement: Placement = ONE,
    ) -> "RewardModel":
        """An untrained head on a stored model, in fp32; only safetensors are read.

        Raises DataError naming folder, role and cause where it holds no model that can read.
        """
        opened, tokenizer = open_model(folder, "backbone", role, placement=placement)
        model: Any = opened
        fuse_activations(model)
        trunk = Policy(settled(model).eval(), tokenizer, placement)
        head = fresh_head(model.config.get_text_config().hidden_size, heads)
        with naming(folder, role), refusing("The model cannot read a text"):
            both = None if trunk.apart or not reads_both_ways(trunk) else pooling
        forks = both is None and not trunk.apart and reads_forks(trunk)
        return cls(trunk, head.to(trunk.device), both, center=(0.0,) * heads, forks=forks)

    @classmethod
    def load(
        cls, folder: Path, role: str = "reward model", placement: Placement = ONE
    ) -> "RewardModel":
        """Read what `save` wrote, ready to score; raises DataError naming folder, role and cause."""
        with naming(folder, role):
            stored = check_reward_files(folder, spread=placement.spread)
        if stored["output"] is not None:
            return cls._of_others(folder, stored, role, placement)
        pooling, heads = stored["pooling"], len(stored["center"])
        how: PoolingName = pooling or "mean"
        model = cls.fresh(folder, heads=heads, pooling=how, role=role, placement=placement)
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

    @classmethod
    def of_classes(
        cls,
        folder: Path,
        output: int,
        reads: EndingName,
        role: str,
        placement: Placement = ONE,
    ) -> "RewardModel":
        """A model for classes, or for a number, one of whose outputs is the reward; raises DataError as `load`.

        What a head reads is then the outputs of all classes, of which it takes this one.
        """
        opened, tokenizer = open_model(folder, "rater", role, placement=placement)
        model: Any = opened
        fuse_activations(model)
        if model.config.pad_token_id is None:  # by which a causal one finds where a text ends
            model.config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id or 0
        trunk = Policy(settled(model).eval(), tokenizer, placement)
        head = nn.Linear(int(model.config.num_labels), 1, bias=False)
        with torch.no_grad():
            head.weight.copy_(torch.eye(head.in_features)[output : output + 1])
        pooling: PoolingName | None = "mean" if is_masked(folder) else None
        return cls(trunk, head.to(trunk.device), pooling, output=output, reads=reads)

    @classmethod
    def _of_others(
        cls, folder: Path, stored: Mapping[str, Any], role: str, placement: Placement
    ) -> "RewardModel":
        numbers = {name: stored[name] for name in ("scale", "caution", "temperature")}
        model = cls.of_classes(folder, stored["output"], stored["reads"], role, placement)
        return replace(model, center=tuple(stored["center"]), **numbers)

    def save(self, folder: Path) -> None:
        """Write trunk, tokenizer, heads and scale into an existing folder."""
        self.trunk.save(folder)
        self.save_heads(folder)

    def save_heads(self, folder: Path) -> None:
        """Write the heads alone, and how their scores are read."""
        names = ["pooling", "center", "scale", "caution", "temperature"]
        if self.output is None:
            save_file(self.head.state_dict(), folder / HEAD)
        else:
            names += ["output", "reads"]
        stored = json.dumps({name: getattr(self, name) for name in names})
        (folder / REWARD).write_text(stored, encoding="utf-8")

    def parameters(self) -> list[nn.Parameter]:
        """Everything that may be trained."""
        return [*self.trunk.model.parameters(), *self.head.parameters()]

    def raw(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, heads) head outputs, not centred, with gradient; forwards of about equal lengths.

        With gradient there is one forward of a model that is held in parts, as each process has other rows.
        """
        if torch.is_grad_enabled() and is_spread(self.trunk.model):
            scores: Tensor = self.head(self._features(sequences))
            return scores
        return self._in_parts(self.head, sequences)

    @torch.no_grad()
    def features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) what the heads read of whole sequences."""
        return self._in_parts(lambda features: features, sequences)

    def tokens_of(self, sequences: Sequence[Sequence[int]]) -> int:
        """How many tokens one forward over these sequences reads, padding included."""
        if self.forks:
            return sum(fork.size for fork in forks_of(sequences, self.context_length))
        return len(sequences) * max(map(len, sequences))

    def _in_parts(
        self, finish: Callable[[Tensor], Tensor], sequences: Sequence[Sequence[int]]
    ) -> Tensor:
        """(n, …) what is made of the features (some, width) of each forward, in the order of the sequences."""
        parts, rows = [], list[int]()
        for batch, features in self._parts(sequences):
            parts.append(finish(features))
            rows += batch
            reach(len(rows) / len(sequences))
        return torch.cat(parts)[torch.tensor(rows, device=self.trunk.device).argsort()]

    def _parts(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor]]:
        """Numbers of sequences with their features, a forward after the other."""
        most = tokens_at_once(self.trunk.device)
        longest = min(most, self.context_length)
        forked = forked_batches(sequences, longest, most) if self.forks else None
        if forked is None:
            for batch in of_about_equal_length(sequences, most):
                yield batch, self._features([sequences[row] for row in batch])
            return
        for forks in forked:
            states = forked_states(self.trunk, sequences, forks)
            yield [row for fork in forks for row in fork.rows], self._as_read(states)

    def _features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        if self.output is not None:
            return self._as_read(self._outputs(sequences))
        return self._as_read((self._decoded if self.trunk.apart else self._whole_states)(sequences))

    def _as_read(self, states: Tensor) -> Tensor:
        """States as the heads read them: a backbone may compute in bf16."""
        return states.to(self.head.weight.dtype)

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

    def _outputs(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, classes) of a model for classes, which finds a causal text's end by its padding."""
        ids, mask = padded(self.trunk, sequences)
        arguments = {} if self.pooling else {"use_cache": False}
        found: Tensor = self.trunk.model(input_ids=ids, attention_mask=mask, **arguments).logits
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

    @property
    def joiner(self) -> Joiner:
        """How it reads texts."""
        plain = Joiner.of(self.trunk, marked=self.pooling is not None)
        if self.reads == "open" or plain.marked:
            return replace(plain, asked=self.asked)
        behind = behind_turn(self.trunk.tokenizer, ended=self.reads == "ended")
        return replace(plain, asked=self.asked, behind=behind)

    def knowing(self, policy: Policy, prompts: Sequence[Sequence[Message]]) -> "RewardModel":
        """The same model that knows these conversations by the tokens a policy reads them as."""
        return replace(self, asked=self.joiner.knowing(policy, prompts).asked)

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n,) rewards of a policy's completions, read as `Joiner.read_drawn` says."""
        return self.score_ids(self.joiner.read_drawn(policy, rollouts))

    def read_all(
        self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]
    ) -> list[list[int]]:
        """Token ids of each prompt with its completion, as `read` gives them."""
        return self.joiner.read_all(prompts, texts)

    def read(self, prompt: Sequence[Message], text: str) -> tuple[list[int], bool]:
        """Token ids of prompt and completion, and whether they were cut to the context."""
        return self.joiner.read(prompt, text)

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and completion in one, the first cut on its left, the second on its right to fit."""
        return self.joiner.join(prompt, completion)

    @property
    def context_length(self) -> int:
        """Longest sequence: some masked models count more positions than they can use."""
        return self.joiner.context


def fresh_head(width: int, heads: int) -> nn.Linear:
    """One head that starts at zero, or several at random: they differ most where no label reaches."""
    head = nn.Linear(width, heads, bias=False)
    nn.init.normal_(head.weight, std=0.0 if heads == 1 else width**-0.5)
    return head


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


def tokens_at_once(device: torch.device) -> int:
    """Padded tokens of one forward: on a CPU few enough that their activations stay in its caches."""
    return min(TOKENS, budget(device))


def of_about_equal_length(sequences: Sequence[Sequence[int]], most: int = 0) -> Iterator[list[int]]:
    """Rows by length, the longest first, in batches of at most about so many padded tokens, or TOKENS."""
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]), reverse=True)
    while order:
        size = max(1, (most or TOKENS) // max(1, len(sequences[order[0]])))
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
