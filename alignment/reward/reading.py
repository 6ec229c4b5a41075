"""A reward's heads on the reference's own states: where its backbone is the reference's, one forward gives both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignment.models.computation import computes_in_bf16
from alignment.models.lora import WithoutAdapter
from alignment.models.policies import Policy, output_layer
from alignment.reward.features import digest_of
from alignment.reward.forks import EXACT, Fork, fork_rows, forks_of, states_of
from alignment.reward.model import RewardModel, cautious
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import budget, packed
from alignment.seam.progress import reach


@dataclass(frozen=True)
class SharedReading:
    """Reads completions once for the reference's log-probabilities and for the reward, which asks for them next."""

    model: RewardModel  # its backbone is the reference's, without any adapter
    reference: Policy
    head: nn.Module  # from states to logits
    known: dict[bytes, Tensor] = field(default_factory=dict)  # features of what was read last

    @classmethod
    def of(cls, model: RewardModel, reference: Policy) -> "SharedReading | None":
        """The two in one, where they have the same weights and the reference reads forks by them; None elsewhere."""
        base: Any = reference.model
        base = base.base if isinstance(base, WithoutAdapter) else base
        inner = base.base_model
        if model.trunk.placement.spread or not model.forks or computes_in_bf16(base):
            return None
        if not same_weights(model.trunk.model, inner):
            return None
        trunk = Policy(cast(PreTrainedModel, WithoutAdapter(inner)), model.trunk.tokenizer)
        found = cls(replace(model, trunk=trunk), reference, output_layer(base))
        return found if found.agrees() else None

    @torch.no_grad()
    def agrees(self) -> bool:
        """Whether its logits are the reference's: some models do more to states than their last layer says."""
        ids = [token % self.reference.width for token in range(8)]
        layout = fork_rows([ids], [Fork([0], len(ids) - 1, len(ids))])
        logits = self._logits(states_of(self.model.trunk, layout)[0])
        asked = torch.tensor([ids], device=self.reference.device)
        expected = self.reference.model(input_ids=asked, use_cache=False).logits[0]
        most = EXACT * max(1.0, float(expected.abs().max()))
        return float((logits - expected).abs().max()) <= most

    @torch.no_grad()
    def token_logps(self, rollouts: Rollouts) -> Tensor:
        """(n, length) log-probabilities of the completions' tokens under the reference, 0 where masked."""
        prompts, completions = rollouts.prompts, rollouts.completion_ids()
        sequences = [[*one, *other] for one, other in zip(prompts, completions, strict=True)]
        found = torch.zeros(rollouts.tokens.shape, device=rollouts.tokens.device)
        self.known.clear()
        most, done = budget(self.reference.device), 0
        forks = forks_of(sequences, min(most, self.reference.context_length))
        for group in packed([fork.size for fork in forks], most):
            chosen = [forks[place] for place in group]
            for row, logps in self._read(sequences, list(map(len, prompts)), chosen).items():
                found[row, : len(logps)] = logps
                done += 1
            reach(done / len(sequences))
        return found

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n,) rewards of a policy's completions; what was not just read as the reward reads it, is now."""
        sequences = self.model.joiner.read_drawn(policy, rollouts)
        names = [digest_of(ids) for ids in sequences]
        left = [ids for name, ids in zip(names, sequences, strict=True) if name not in self.known]
        if left:
            rows = self.model.features(left)
            self.known.update(zip(map(digest_of, left), rows, strict=True))
        with torch.no_grad():
            raw = self.model.head(torch.stack([self.known[name] for name in names]))
        return cautious(self.model.standard(raw), self.model.caution)

    def _read(
        self, sequences: Sequence[Sequence[int]], prompts: Sequence[int], forks: Sequence[Fork]
    ) -> Mapping[int, Tensor]:
        """Log-probabilities of each sequence's tokens behind its prompt, whose features are noted."""
        layout = fork_rows(sequences, forks)
        states = states_of(self.model.trunk, layout)
        numbers = [row for fork in forks for row in fork.rows]
        rows, columns, targets = list[int](), list[int](), list[int]()
        for at, row in enumerate(numbers):
            length, first = len(sequences[row]), prompts[row]
            places = layout.columns(at, first - 1, length - 1)
            rows += [layout.tails[at][0]] * len(places)
            columns += places
            targets += sequences[row][first:]
            self._note(sequences[row], states[layout.tails[at][0]], layout.columns(at, 0, length))
        logits = self._logits(states[rows, columns])
        wanted = torch.tensor(targets, device=logits.device)
        logps = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)
        sizes = [len(sequences[row]) - prompts[row] for row in numbers]
        return dict(zip(numbers, torch.split(logps, sizes), strict=True))

    def _note(self, sequence: Sequence[int], states: Tensor, columns: Sequence[int]) -> None:
        """Keep what the heads read of a sequence, which is without the token that ends it."""
        seen = self.reference.without_end(sequence)
        self.known[digest_of(seen)] = states[columns[len(seen) - 1]].clone()

    def _logits(self, states: Tensor) -> Tensor:
        """(…, vocabulary) of states, in fp32 or better."""
        logits: Tensor = self.head(states)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two backbones are the same, weight by weight."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        weight.shape == theirs[name].shape and torch.equal(weight, theirs[name])
        for name, weight in mine.items()
    )
