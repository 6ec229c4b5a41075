"""A pool: completions of the same prompts by several agents, each of which learns from all of them.

With n_j of a prompt's n completions by agent j, the pool is drawn from the mixture
m = sum_j (n_j / n) policy_j, and for every agent k and any g

    E[mean over the pool of w_k g] = E_{policy_k}[g],     w_k = policy_k / m <= n / n_k

the balance heuristic of multiple importance sampling (Veach and Guibas, 1995).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.estimators import ess_fraction
from alignment.maths.losses import importance
from alignment.objectives.fdpg import pseudo_rewards
from alignment.objectives.problem import Scored
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import TOKENS

AT_ONCE = 2 * TOKENS  # padded tokens of a group: every agent reads its prompts anew for each


@dataclass(frozen=True)
class Pool:
    """Scored completions, prompt after prompt; within a prompt agent after agent, always alike."""

    scored: Scored
    owners: Tensor  # (n,) which agent drew each of a prompt's completions
    log_z: Tensor  # (prompts,) fp64
    known: Tensor  # (prompts,) bool: some sample with P > 0 was seen

    @property
    def log_shares(self) -> Tensor:
        """(agents,) log of each agent's share of a prompt's completions."""
        counts = self.owners.bincount().double()
        return (counts / len(self.owners)).log()

    def of_rows(self, values: Tensor) -> Tensor:
        """(rows,) a prompt's value at each of its completions."""
        return values.repeat_interleave(len(self.owners))

    def own(self, agent: int) -> Tensor:
        """Numbers of the rows that this agent drew."""
        return (self.owners == agent).repeat(len(self.known)).nonzero()[:, 0]

    def groups(self, prompts: range, tokens: int = AT_ONCE) -> Iterator[Tensor]:
        """Rows of these prompts, whole ones, as many as fit into about this many padded tokens."""
        size, rollouts = len(self.owners), self.scored.rollouts
        longest = rollouts.lengths.view(-1, size).amax(1).tolist()
        first, widest = prompts.start, 0
        for place in prompts:
            width = len(rollouts.prompts[size * place]) + longest[place]
            if place > first and max(widest, width) * size * (place + 1 - first) > tokens:
                yield torch.arange(size * first, size * place, device=self.owners.device)
                first, widest = place, 0
            widest = max(widest, width)
        yield torch.arange(size * first, size * prompts.stop, device=self.owners.device)


def pooled(parts: Sequence[Rollouts], prompts: int) -> Rollouts:
    """One pool of the agents' completions of the same prompts, prompt after prompt."""
    length = max(part.tokens.shape[1] for part in parts)

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([t.view(prompts, -1, *t.shape[1:]) for t in tensors], 1).flatten(0, 1)

    def padded(name: str) -> Tensor:
        tensors = [getattr(part, name) for part in parts]
        return joined([pad(t, (0, length - t.shape[1])) for t in tensors])

    counts = [len(part.prompts) // prompts for part in parts]
    rows = tuple(
        part.prompts[n * place]
        for place in range(prompts)
        for part, n in zip(parts, counts, strict=True)
        for _ in range(n)
    )
    return Rollouts(
        rows,
        padded("tokens"),
        padded("mask"),
        padded("token_logps"),
        joined([part.truncated for part in parts]),
    )


def log_mixture(logps: Tensor, log_shares: Tensor) -> Tensor:
    """(n,) log m of a pool's completions from every agent's log-probabilities (agents, n)."""
    return (logps + log_shares[:, None]).logsumexp(0)


def held_out_mean(values: Tensor, owners: Tensor) -> Tensor:
    """(prompts, n) for every completion an estimate of E_m from the pool's others; owners (n,).

    The mean over each agent's completions, this one left out, weighted by the agents' shares. Its
    expectation is the same whoever drew the completion, so as a baseline it leaves no bias; the plain
    mean of the others, in which one's own agent counts for less, would leave one.
    """
    assert values.shape[1] == len(owners)
    ones = torch.nn.functional.one_hot(owners).to(values)
    counts = ones.sum(0)
    own = (values @ (ones / counts))[:, owners]  # mean over the agent that drew each
    size = counts[owners]
    return values.mean(1, keepdim=True) + size / len(owners) * (own - values) / (size - 1)


def lesson(
    config: AlignConfig, pool: Pool, rows: Tensor, logps: Tensor, mixture: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """What each row's log-probability is multiplied by in an agent's loss, and facts about it.

    `logps` are the agent's and `mixture` the pool's log-probabilities of whole prompts' rows.
    """
    count = len(pool.owners)
    log_weights = logps.double() - mixture
    u = logps.double() - pool.scored.log_scores[rows] + pool.of_rows(pool.log_z)[rows]
    rho, clipped = pseudo_rewards(config, u, pool.of_rows(pool.known)[rows])
    facts = {"weights/ess": ess_fraction(log_weights.view(-1, count)).mean()}
    if config.pseudo_reward_limit:
        facts["rho/clipped"] = clipped.double().mean()
    if config.estimator == "surrogate":
        return rho, facts
    weights, truncated = importance(log_weights, config.weight_limit)
    if config.weight_limit:
        facts["weights/truncated"] = truncated.double().mean()
    baseline = held_out_mean((weights * rho).view(-1, count), pool.owners).flatten()
    return weights * (rho - baseline), facts
