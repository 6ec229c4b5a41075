"""The result of an alignment: which of its weights are kept, and what is measured of them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import divergence_of
from alignment.maths.estimators import estimate, paired_estimate
from alignment.models.control_tokens import controls, counted
from alignment.models.forms.form import make_plain
from alignment.models.lora import forget, load_trained, size_of
from alignment.models.policies import Policy
from alignment.models.sharding import load_whole
from alignment.objectives.looks import ANSWERS, held_estimate, looks_of
from alignment.objectives.problem import DRAWING, Problem, Scored, State, score
from alignment.objectives.steps import token_kls
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError
from alignment.seam.progress import split
from alignment.seam.records import Estimate
from alignment.seam.words import _
from alignment.targets.targets import parts

MEASURED_PROMPTS, MEASURED_COMPLETIONS = 64, 4  # of the final KL
FIRST_WILL_DO = (8, 1, 1)  # shares of the candidates for the result in what there is to measure


def choose_result(problem: Problem, state: State) -> dict[str, Any]:
    """Leave the newest policy within the KL budget in the state; its measurements.

    Raises ConfigError where no step had anything to learn from.
    """
    check_taught(problem.config, state)
    found: dict[str, Any] = {}
    for share, told in zip(split(*FIRST_WILL_DO), candidates(problem, state), strict=False):
        with share:
            found = {**told, **measure(problem, state)}
        if not found["kl_reference"]["value"] > problem.config.kl_budget:
            break
    read = {"stored_completions": len(problem.stored)} if problem.stored else {}
    held = counted(controls(state.policy.tokenizer).held, problem.prompts)
    return {
        "steps": state.step,
        **read,
        **found,
        **held,
        "parameters": size_of(state.policy.model),
    }


def candidates(problem: Problem, state: State) -> Iterator[Mapping[str, Any]]:
    """Put one policy after another into the state, and say what ended its training.

    The weights of the best look where these are kept, else the newest; the last ones that a step saw within the
    budget; the start.
    """
    ended = state.progress.ended_by(problem.config, looks_of(problem, state)) or "steps"
    ended = "kl_budget" if state.over_budget else ended
    best = state.progress.best
    if best and best.weights:
        load_trained(state.policy.model, best.weights)
        yield {"stopped_by": ended, "best_step": best.step}
    elif not state.over_budget:
        yield {"stopped_by": ended}
    load_trained(state.policy.model, state.measured)
    yield {"stopped_by": "kl_budget"}
    back_to_start(problem, state)
    yield {"stopped_by": "kl_budget"}


def check_taught(config: AlignConfig, state: State) -> None:
    """Raise ConfigError where every prompt was skipped in every step: the policy is what it was."""
    if state.taught or not state.step or config.demonstration_weight:
        return
    raise ConfigError(
        _(
            "Nothing was learned in {step:,} steps: no completion of any prompt was in the "
            "target, so that all prompts were skipped. Ask for what the model writes now and "
            "then, soften the constraint (soften), or draw more completions per prompt."
        ).format(step=state.step)
    )


def back_to_start(problem: Problem, state: State) -> None:
    """Undo all training."""
    if state.adapter is not None:
        forget(state.policy.model)
    else:
        start = make_plain(Policy.load(problem.start).model)
        load_whole(state.policy.model, start.state_dict())


def measured(problem: Problem) -> int:
    """Of how many completions a result is measured."""
    return min(MEASURED_PROMPTS, problem.trained) * MEASURED_COMPLETIONS + of_held(problem)


def of_held(problem: Problem) -> int:
    """How many of these are of held-out prompts."""
    return len(problem.held) * ANSWERS


def measure(problem: Problem, state: State) -> dict[str, Any]:
    """KL to the reference (Rao-Blackwell) and reward, from fresh completions of training prompts; of held-out ones D_f."""
    places = range(min(MEASURED_PROMPTS, problem.trained))
    more = (DRAWING + 2) * of_held(problem) / (len(places) * MEASURED_COMPLETIONS)
    drawing, reading, judging, looking = split(DRAWING, 1, 1, more)
    with drawing:
        rollouts = sample(
            state.policy,
            [problem.ids[place] for place in places],
            completions=MEASURED_COMPLETIONS,
            max_new_tokens=problem.config.max_new_tokens,
            generator=torch.Generator().manual_seed(problem.seed + 2),
        )
    with reading:
        kls = token_kls(problem, state, rollouts).sum(1)
    with judging:
        scored = score(problem, rollouts, state.lambdas)
    with looking:
        held = held_estimate(problem, state)
    kl, reward = (t.view(len(places), -1).mean(1).tolist() for t in (kls, scored.rewards))
    before = state.known.reference_rewards[: len(places)]
    return {
        "kl_reference": estimate(kl, "nats").model_dump(),
        "reward": estimate(reward).model_dump(),
        "reward_gain": paired_estimate(before, reward).model_dump(),
        **_distance(problem, state, scored),
        **({"divergence_heldout": held.model_dump()} if held else {}),
        "objective": problem.config.objective,
        "divergence": problem.config.minimised,
        "beta": problem.config.beta,
        **{
            name.replace("/", "_"): estimate(
                column.view(len(places), -1).mean(1).tolist()
            ).model_dump()
            for name, column in parts(problem.target, scored.values)
        },
        **fit_summary(problem, state),
    }


def _distance(problem: Problem, state: State, scored: Scored) -> dict[str, Any]:
    """D_f(policy || target) given the estimates of Z, over those of the first prompts that have one."""
    places = range(len(scored.rewards) // MEASURED_COMPLETIONS)
    log_z = torch.tensor([state.known.z.log_z(problem.prompts[place].key) for place in places])
    u = log_z.double()[:, None] - scored.log_weights.cpu().view(len(places), -1)
    terms = divergence_of(problem.config).terms(u[log_z != -math.inf])
    return (
        {"divergence_target": estimate(terms.mean(1).tolist()).model_dump()} if len(terms) else {}
    )


def fit_summary(problem: Problem, state: State) -> dict[str, Any]:
    """Lambda of every wished mean with its interval, and what it achieved on the reference."""
    found: dict[str, Any] = {}
    for row in state.known.fit.get("wishes", []):
        name, count = row["name"], problem.trained
        found[f"lambda_{name}"] = Estimate(
            value=row["lambda"], low=row["low"], high=row["high"], n=count
        ).model_dump()
        found[f"wished_{name}"], found[f"achieved_{name}"] = row["wished"], row["achieved"]
    return found | ({"fit_ess_fraction": state.known.fit["ess_fraction"]} if found else {})
