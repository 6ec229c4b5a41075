"""Experience replay: completions of earlier steps beside those of this one.

What was drawn keeps the log-probabilities it was drawn at, its rewards and the reference's
log-probabilities; only the policy is asked again. f-DPG corrects for the policy that drew it by
importance weights, or needs none with the surrogate; the clipped objectives by their ratios.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from alignment.kinds.align.settings import AlignConfig
from alignment.objectives.problem import Kept, Problem, Scored, State
from alignment.objectives.samples import Drawn, placed
from alignment.sampling.sampling import Rollouts
from alignment.targets.targets import Values


def replayed(config: AlignConfig) -> int:
    """How many of a step's prompts are those of earlier steps, as soon as there are some."""
    return min(round(config.replay_share * config.prompts_per_step), config.prompts_per_step - 1)


def others(config: AlignConfig) -> int:
    """How many of a step's prompts are those whose completions were there before the run."""
    most = config.prompts_per_step - 1 - replayed(config)
    return min(round(config.stored_share * config.prompts_per_step), most)


def answered_anew(config: AlignConfig) -> int:
    """How many of a step's prompts the policy answers."""
    return config.prompts_per_step - replayed(config) - others(config)


def mixed(problem: Problem, state: State, drawn: Drawn, chosen: Sequence[int]) -> Drawn:
    """A step's completions, then some of earlier ones and of others' (groups of a prompt, at most once)."""
    config = problem.config
    picked = [
        *some(state.replay, replayed(config), state.known.generator),
        *some(state.stored, others(config), state.known.generator),
    ]
    if not picked:
        return drawn
    parts = [drawn.scored, *(group_of(kept, place) for kept, place in picked)]
    places = [*chosen, *(kept.places[place] for kept, place in picked)]
    whole = placed(problem, state, places, joined(parts), drawn.term)
    return replace(whole, fresh=drawn.fresh)


def some(rows: Sequence[Kept], count: int, generator: torch.Generator) -> list[tuple[Kept, int]]:
    """So many groups of one prompt's completions, where there are as many: what holds each, and where."""
    groups = [(kept, place) for kept in rows for place in range(len(kept.places))]
    if not groups or not count:
        return []
    order = torch.randperm(len(groups), generator=generator).tolist()
    return [groups[number] for number in order[:count]]


def remember(config: AlignConfig, state: State, chosen: Sequence[int], scored: Scored) -> None:
    """Keep a step's completions for the next ones, and forget those that are too old."""
    if config.replay_share:
        state.replay = [*state.replay, Kept(tuple(chosen), scored)][-config.replay_steps :]


def group_of(kept: Kept, place: int) -> Scored:
    """All completions of one of the step's prompts."""
    size = len(kept.scored.log_weights) // len(kept.places)
    rows = torch.arange(place * size, (place + 1) * size, device=kept.scored.log_weights.device)
    return kept.scored.rows(rows)


def joined(parts: Sequence[Scored]) -> Scored:
    """The completions of all parts, in their order, padded to the longest."""
    tables = [tensors_of(part) for part in parts]
    length = max(part.rollouts.tokens.shape[1] for part in parts)
    whole = {
        name: torch.cat([widened(name, table[name], length) for table in tables])
        for name in tables[0]
    }
    return scored_of([prompt for part in parts for prompt in part.rollouts.prompts], whole)


def widened(name: str, tensor: Tensor, length: int) -> Tensor:
    """A tensor (n, shorter) of tokens padded on its right; any other as it is."""
    return pad(tensor, (0, length - tensor.shape[1])) if name in PER_TOKEN else tensor


PER_TOKEN = ("tokens", "mask", "token_logps", "reference_token_logps")


def tensors_of(scored: Scored) -> dict[str, Tensor]:
    """Everything about scored completions but their prompts, by name."""
    rollouts, values = scored.rollouts, scored.values
    return {
        "tokens": rollouts.tokens,
        "mask": rollouts.mask,
        "token_logps": rollouts.token_logps,
        "truncated": rollouts.truncated,
        "rewards": values.rewards,
        "satisfied": values.satisfied,
        "features": values.features,
        "coded": values.coded,
        "reference_token_logps": scored.reference_token_logps,
        "log_weights": scored.log_weights,
    }


def scored_of(prompts: Sequence[Sequence[int]], tensors: Mapping[str, Tensor]) -> Scored:
    """The inverse of `tensors_of`; one prompt per completion."""
    table = dict(tensors)
    rollouts = Rollouts(
        tuple(tuple(prompt) for prompt in prompts),
        table["tokens"],
        table["mask"],
        table["token_logps"],
        table["truncated"],
    )
    none = table["features"].new_zeros(len(table["features"]), 0)  # before there was code
    known = {name: table[name] for name in ("rewards", "satisfied", "features")}
    values = Values(**known, coded=table.get("coded", none))
    return Scored(rollouts, values, table["reference_token_logps"], table["log_weights"])


def restored(problem: Problem, places: Sequence[int], tensors: Mapping[str, Tensor]) -> Kept:
    """What a checkpoint says of a step's completions, where the reference is."""
    device = problem.reference.device
    size = len(tensors["log_weights"]) // len(places)
    prompts = [problem.ids[place] for place in places for _ in range(size)]
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Kept(tuple(places), scored_of(prompts, moved))
