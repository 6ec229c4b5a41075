"""f-DPO's loss of people's pairs, beside a policy's own completions: the policy learns from both at once.

Added to an update's loss: weight * mean over pairs of -log sigma(beta (s(u_chosen) - s(u_rejected))), u = log
policy - log reference and s of a divergence. With reverse KL, s(u) = u, and people who judge by the reward r,
the minimum is the policy with beta u = r + a constant of the prompt: the target p itself, which is the minimum
of D_f(policy || p) too. One term learns from what the policy writes, the other from what people were shown.
"""

from alignment.maths.preferences import f_dpo_margins, logistic_losses, score_of
from alignment.models.distributed import all_sums, shard
from alignment.models.training import in_parts
from alignment.objectives.laps import places_of_turn
from alignment.objectives.pairs import sides_of
from alignment.objectives.problem import Problem, State


def learn_pairs(problem: Problem, state: State, turn: int) -> dict[str, float]:
    """Add the gradient of the term to the policy's; the pairs' loss, without its weight, and how many are told.

    `turn` counts updates: every pair comes once before any comes again.
    """
    config, pairs = problem.config, problem.preferences
    places = places_of_turn(turn, config.preferences_per_update, len(pairs), problem.seed + 1)
    mine, share = shard(places)
    ours, score = (
        [pairs[place] for place in mine],
        score_of(config.preference_divergence, config.alpha),
    )
    told = {"preference/loss": 0.0, "preference/accuracy": 0.0}
    for part in in_parts(state.policy, [2 * pair.length for pair in ours]):
        weight = share * len(part) / len(ours)
        sides = sides_of(state.policy, [ours[place] for place in part])
        margins = f_dpo_margins(sides, score, config.beta)
        loss = weight * logistic_losses(margins).mean()
        (config.preference_weight * loss).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        told["preference/loss"] += loss.item()
        told["preference/accuracy"] += weight * (margins > 0).float().mean().item()
    return all_sums(told)
