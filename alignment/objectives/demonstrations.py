"""A term that keeps a policy able to write given texts: PPO-ptx (Ouyang et al., 2022, equation 2).

Added to an update's loss: -weight * mean over tokens of log policy(text | prompt).
"""

import torch

from alignment.models.distributed import all_sum, shard
from alignment.models.texts import rollouts_of
from alignment.objectives.laps import places_of_turn
from alignment.objectives.problem import Problem, State
from alignment.sampling.scoring import completion_logits, shared_batches, token_logps


def imitate(problem: Problem, state: State, turn: int) -> float:
    """Add the gradient of the term to the policy's; the texts' loss per token, without its weight.

    `turn` counts updates: every text comes once before any comes again.
    """
    config, texts = problem.config, problem.demonstrations
    places = places_of_turn(turn, config.demonstrations_per_update, len(texts), problem.seed)
    model = state.policy.model
    mine, share = shard(places)
    tokens = sum(len(texts[place].completion) for place in places)
    total = torch.zeros((), device=state.policy.device)
    for batch in shared_batches(model, rollouts_of(state.policy, [texts[place] for place in mine])):
        logps = token_logps(completion_logits(model, batch), batch)
        loss = -logps.sum() * (share > 0) / tokens
        (config.demonstration_weight * loss).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        total = total + loss.detach()
    return all_sum(total).item()
