"""RLOO, GRPO and PPO: raise E[r] - beta KL(policy || reference), whose optimum is the target p.

The reward is that of the whole target, beta (log P - log reference): a softened constraint and a
wished mean count as they do in f-DPG. Departures: 1. A completion counts with the probability of its
end; one that was cut at the length limit is a whole outcome. 2. Ratios are taken to the sampler's own
log-probabilities; while the policy is the sampler they are 1 exactly. 3. PPO divides its KL in the
loss by the advantages' deviation, as it does the advantages, so that beta keeps its unit.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.advantages import advantages, generalised, group_normalised, whitened
from alignment.maths.losses import clipped_losses, k3, token_entropies, value_losses
from alignment.objectives.problem import Problem, Scored, State
from alignment.objectives.samples import Drawn, Loss, Pass, Rated
from alignment.objectives.values import completion_values


def rloo(problem: Problem, state: State, drawn: Drawn) -> Rated:
    """REINFORCE with the leave-one-out baseline, KL in the reward (Ahmadian et al., 2024).

    Sample by sample beta times reverse-KL f-DPG; later updates clip the completion's ratio.
    """
    config = problem.config
    weights = advantages(config.beta * drawn.scored.log_weights.view(drawn.u.shape))
    counts, bonus = counted_rows(config, drawn.scored), entropy_bonus(config, drawn.scored)

    def loss(done: Pass) -> Loss:
        shift = done.shift.sum(1)
        worth = weights[done.batch.rows].to(shift.dtype)
        losses, cut = clipped_losses(shift, worth, config.clip, config.clip_above)
        counted = counts[done.batch.rows].to(shift.dtype)
        metrics = {"ratio/clipped": cut.double().mean()}
        return Loss((losses * counted).mean() - bonus(done, metrics), metrics)

    return Rated(loss, {"advantage/std": weights.std().item()})


def grpo(problem: Problem, state: State, drawn: Drawn) -> Rated:
    """Rewards normalised among a prompt's completions, each token's ratio clipped (Shao et al., 2024)."""
    config, scored = problem.config, drawn.scored
    rewards = energies(config, scored)
    if config.kl_in == "reward":
        rewards = config.beta * scored.log_weights
    weights = group_normalised(rewards.view(drawn.u.shape), scale=config.group_scaling)
    counts, bonus = counted_rows(config, scored), entropy_bonus(config, scored)
    per_row = tokens_per_row(scored, counts)

    def loss(done: Pass) -> Loss:
        batch = done.batch
        worth = weights[batch.rows, None].to(done.logps.dtype).expand_as(done.shift)
        losses, metrics = token_losses(config, scored, done, worth, config.beta)
        sums = losses.sum(1) * counts[batch.rows].to(losses.dtype)
        if config.averaged == "tokens":
            return Loss(per_row * sums.mean() - bonus(done, metrics), metrics)
        lengths = batch.mask.sum(1) if config.group_scaling else config.max_new_tokens
        return Loss((sums / lengths).mean() - bonus(done, metrics), metrics)

    return Rated(loss, {"advantage/std": weights.std().item()})


def ppo(problem: Problem, state: State, drawn: Drawn) -> Rated:
    """Each token's ratio clipped, its advantage by a learned value (Schulman et al., 2017).

    The loss is a mean over the step's tokens, the value's loss with it.
    """
    config, scored = problem.config, drawn.scored
    head, mask = state.value_head, scored.rollouts.mask
    assert head is not None
    old = completion_values(state.policy.model, head, scored.rollouts)
    rewards = token_rewards(config, scored).to(old.dtype)
    gains = generalised(rewards, old, mask, config.discount, config.gae_lambda)
    returns = gains + old
    weights, spread = whitened(gains, mask)
    counts, bonus = counted_rows(config, scored), entropy_bonus(config, scored)
    per_row = tokens_per_row(scored, counts)

    def loss(done: Pass) -> Loss:
        rows, length = done.batch.rows, done.logps.shape[1]
        assert done.values is not None
        worth = weights[rows, :length].to(done.logps.dtype)
        losses, metrics = token_losses(config, scored, done, worth, config.beta / spread)
        before, wanted = old[rows, :length], returns[rows, :length]
        missed = value_losses(done.values, before, wanted, config.value_clip)
        missed = missed.masked_fill(~done.batch.mask, 0.0)
        metrics["value/loss"] = per_row * missed.detach().sum(1).mean()
        sums = (losses + missed).sum(1) * counts[rows].to(losses.dtype)
        return Loss(per_row * sums.mean() - bonus(done, metrics), metrics)

    values = {
        "value/mean": old[mask].mean().item(),
        "value/explained": _explained(gains, returns, mask),
    }
    return Rated(loss, {"advantage/std": spread.item(), **values})


def _explained(gains: Tensor, returns: Tensor, mask: Tensor) -> float:
    """The share of the returns' variance that the values foresaw, at most 1."""
    left, whole = gains[mask].var(unbiased=False), returns[mask].var(unbiased=False)
    return 1 - (left / whole.clamp(min=1e-12)).item()


def counted_rows(config: AlignConfig, scored: Scored) -> Tensor:
    """(n,) 1 for completions that are learned from, 0 for those that were cut, where these are left out."""
    cut = scored.rollouts.truncated
    return ~cut if config.leave_cut_out else torch.ones_like(cut)


def entropy_bonus(
    config: AlignConfig, scored: Scored
) -> Callable[[Pass, dict[str, Tensor]], Tensor | float]:
    """What the next token's entropy, a mean over a step's tokens, takes off the loss of a batch; its mean is told.

    Nothing where it has no weight, or where the step's samples are wide enough.
    """
    if not config.entropy_weight or 0 < config.least_entropy <= sampled_entropy(scored):
        return lambda _done, _metrics: 0.0
    counts = counted_rows(config, scored)
    per_row = tokens_per_row(scored, counts)

    def bonus(done: Pass, metrics: dict[str, Tensor]) -> Tensor | float:
        batch = done.batch
        found = token_entropies(done.logits).gather(1, batch.places).masked_fill(~batch.mask, 0.0)
        mean = per_row * (found.sum(1) * counts[batch.rows].to(found.dtype)).mean()
        metrics["entropy/exact"] = mean.detach().double()
        return config.entropy_weight * mean

    return bonus


def sampled_entropy(scored: Scored) -> float:
    """The entropy of the next token, by a step's own tokens, in nats."""
    rollouts = scored.rollouts
    return -(rollouts.token_logps.sum() / rollouts.mask.sum()).item()


def tokens_per_row(scored: Scored, counts: Tensor) -> Tensor:
    """() what makes of a mean over completions, of each the sum of its tokens, one over all tokens that count."""
    return len(counts) / (scored.rollouts.lengths * counts).sum().clamp(min=1)


def energies(config: AlignConfig, scored: Scored) -> Tensor:
    """(n,) beta (log P - log reference): the reward, and what else the target asks in its unit."""
    return config.beta * (scored.log_scores - scored.reference_logps.double())


def token_rewards(config: AlignConfig, scored: Scored) -> Tensor:
    """(n, length) rewards of tokens: the KL's share of each unless it is in the loss, r at the last."""
    rollouts = scored.rollouts
    found = torch.zeros(rollouts.mask.shape, dtype=torch.float64, device=rollouts.mask.device)
    if config.kl_in == "reward":
        found -= config.beta * (rollouts.token_logps - scored.reference_token_logps).double()
    last = rollouts.lengths[:, None] - 1
    return found.scatter_add(1, last, energies(config, scored)[:, None])


def token_losses(
    config: AlignConfig, scored: Scored, done: Pass, worth: Tensor, penalty: Tensor | float
) -> tuple[Tensor, dict[str, Tensor]]:
    """(b, length) clipped losses of tokens, with k3 by its penalty if the KL is in the loss; metrics."""
    mask, length = done.batch.mask, done.logps.shape[1]
    counted = mask.sum(1)
    losses, cut = clipped_losses(done.shift, worth, config.clip, config.clip_above)
    metrics = {"ratio/clipped": ((cut & mask).sum(1) / counted).double().mean()}
    if config.kl_in == "loss":
        reference = scored.reference_token_logps[done.batch.rows, :length]
        distance = k3(done.logps, reference).masked_fill(~mask, 0.0)
        losses = losses + penalty * distance
        metrics["kl/k3"] = distance.detach().sum(1).double().mean()
    return losses.masked_fill(~mask, 0.0), metrics
