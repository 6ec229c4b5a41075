"""Completions that were there before a run, of any model: learned from beside those it draws.

Nothing sure is known of how likely their sampler found them: a server may not tell, a text may have been
drawn as other tokens, and of equal texts only one was kept. So they get no weights, they teach nobody Z,
and only the surrogate learns from them, whose minimum is the target whoever drew the samples.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.objectives.problem import Kept, Problem, State, Stored, score
from alignment.seam.errors import DataError
from alignment.seam.records import PromptRecord, StoredRecord, read_jsonl
from alignment.seam.words import _


def stored(
    path: Path, policy: Policy, prompts: Sequence[PromptRecord], config: AlignConfig
) -> list[Stored]:
    """The stored completions that the policy might have drawn: of these prompts, whole and short enough.

    Raises DataError where no prompt has as many as a step takes of one.
    """
    places = {prompt.key: place for place, prompt in enumerate(prompts)}
    by_prompt: dict[int, list[Stored]] = {}
    for record in read_jsonl(path, StoredRecord):
        place = places.get(record.prompt.key)
        if place is None or record.truncated:
            continue
        messages = prompts[place].messages
        if len(policy.answered(messages, record.completion)[1]) <= config.max_new_tokens:
            text = written(policy, messages, record.completion)
            by_prompt.setdefault(place, []).append(Stored(place, text))
    size = config.completions_per_prompt
    whole = (
        rows[: len(rows) // size * size] for rows in by_prompt.values()
    )  # groups of a step's size
    found = [one for rows in whole for one in rows]
    if not found:
        raise DataError(
            _(
                "No prompt has {size} stored completions that end within {max_new_tokens} tokens; "
                "ask for fewer completions per prompt, allow longer ones, or generate more."
            ).format(size=size, max_new_tokens=config.max_new_tokens)
        )
    return found


def groups(problem: Problem, state: State) -> list[Kept]:
    """The stored completions, as many of a prompt as a step draws, scored by the run's target.

    The reference stands for their unknown sampler: the surrogate's u does not depend on it.
    """
    policy, size = problem.reference, problem.config.completions_per_prompt
    rollouts = rollouts_of(policy, [one.text for one in problem.stored])
    scored = score(problem, rollouts, state.lambdas)
    drawn = replace(rollouts, token_logps=scored.reference_token_logps)
    weights = scored.log_scores - scored.reference_logps.double()
    scored = replace(scored, rollouts=drawn, log_weights=weights)
    starts = range(0, len(problem.stored), size)
    return [
        Kept(
            (problem.stored[start].place,),
            scored.rows(torch.arange(start, start + size, device=policy.device)),
        )
        for start in starts
    ]
