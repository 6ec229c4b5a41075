"""A population: agents that minimise a divergence each, from one pool of completions.

Every step each agent draws its share of the completions of the same prompts, reward and reference are
asked once, and every agent learns from all of them by the weights of `pool`. Z_c is shared too: P/m
averages to it whoever drew. Given the estimate of Z_c every agent's gradient is unbiased.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from alignment.kinds.align.run import (
    Course,
    Progress,
    Stage,
    check_processes,
    draw_samples,
    followed,
    read_inputs,
    read_problem,
    ready,
    shown,
    with_chosen,
)
from alignment.kinds.population.settings import PopulationConfig, SharingName
from alignment.kinds.spec import RunSpec
from alignment.maths.bandits import Bandit
from alignment.maths.divergences import divergence_of
from alignment.maths.losses import score_loss
from alignment.models.control_tokens import controls, counted
from alignment.models.distributed import all_max, all_sum, gathered, own, world
from alignment.models.sharding import SHARDING
from alignment.objectives.pool import Pool, lesson, log_mixture, pooled
from alignment.objectives.problem import (
    Problem,
    State,
    begin,
    learn_z,
    score,
)
from alignment.objectives.receipts import pool_receipts, with_contract, worst
from alignment.objectives.result import choose_result, measured
from alignment.objectives.saving import restore_all, save_all
from alignment.objectives.start import start_facts, start_of
from alignment.objectives.steps import (
    MISMATCH,
    Turn,
    descend,
    described,
    guarded,
    prompts_of_step,
    step_of,
    watch_budget,
    way_left,
)
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import logps_to_learn_from
from alignment.seam.errors import ConfigError
from alignment.seam.events import (
    Checked,
    Finished,
    PhaseStarted,
    SampleDrawn,
)
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split, through
from alignment.seam.records import Receipts
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _
from alignment.targets.targets import parts, save_target


@dataclass(frozen=True)
class Agent:
    """A policy on its way to the target by a divergence of its own; all else its state shares."""

    name: str  # of its divergence
    problem: Problem
    state: State


def align(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind population: one aligned policy per divergence, in `output/<divergence>`."""
    config = PopulationConfig.stored(spec.config)
    lead = config.agent(config.divergences[0])
    inputs = read_inputs(spec, folder, lead)
    yield from (told for told in inputs.told if not told.all_fit)
    inputs = yield from with_chosen(inputs, lead, spec.seed)
    first = read_problem(spec, folder, lead, inputs)
    problems: dict[str, Problem] = {
        name: replace(first, config=config.agent(name)) for name in config.divergences
    }
    resume = folder / spec.resume_from if spec.resume_from else None
    yield from tune(problems, folder, resume, config.sharing)


def begin_all(problems: Mapping[str, Problem], rule: SharingName = "equal") -> list[Agent]:
    """Every agent before anything was drawn; completions are to be shared out by this rule."""
    agents = sharing(problems, {name: begin(problem) for name, problem in problems.items()})
    agents[0].state.known.bandit = Bandit(rule)
    return agents


def sharing(problems: Mapping[str, Problem], states: Mapping[str, State]) -> list[Agent]:
    """Agents of fresh states, which from here on share what they know of the target."""
    lead = next(iter(states.values()))
    for state in states.values():
        state.known = lead.known
    return [Agent(name, problems[name], state) for name, state in states.items()]


def tune(
    problems: Mapping[str, Problem],
    folder: Path,
    resume: Path | None = None,
    rule: SharingName = "equal",
) -> Progress:
    """Train from the start or from a checkpoint; the policies become folders of `folder/output`.

    "save" sent where `followed` hears it saves a checkpoint and ends the run.
    """
    started = time.perf_counter()
    check_together(next(iter(problems.values())))
    if resume:
        states, bit_exact = restore_all(problems, resume)
        agents = [Agent(name, problems[name], state) for name, state in states.items()]
    else:
        agents, bit_exact = begin_all(problems, rule), True
    lead = agents[0]
    course = course_of(agents, folder, new=resume is None)
    yield ready(course, bit_exact=bit_exact)
    if (yield from followed(course, new=resume is None)) == "save":
        return
    yield PhaseStarted(name=_("measuring the results"))
    count, drawn = measured(lead.problem), len(shown(lead.problem))
    with counting(len(agents) * (count + drawn), _("completions")):
        *measuring, showing = split(*[count] * len(agents), len(agents) * drawn)
        found = {}
        for agent, share in zip(agents, measuring, strict=True):
            with share:
                found[agent.name] = choose_result(agent.problem, agent.state)
        with showing:
            yield from samples_of(agents, "after")
    whole = worst(with_contract(receipts_of(agents), agent.state) for agent in agents)
    save_results(agents, whole, folder)
    yield Finished(
        summary={
            "agents": found,
            **lead.problem.counts,
            "steps": lead.state.step,
            "receipts": whole.model_dump(),
            **start_facts(lead.state),
            "seconds": time.perf_counter() - started,
            **counted(controls(lead.state.policy.tokenizer).held, lead.problem.prompts),
        }
    )


def course_of(agents: Sequence[Agent], folder: Path, *, new: bool) -> Course:
    """What the agents do together at each point of their course, which ends where none is within its KL budget."""
    return Course(
        agents[0].problem,
        agents[0].state,
        look=lambda: checked(agents, new=new),
        show=lambda stage: samples_of(agents, stage),
        take=lambda: guarded(
            lambda: train_step(agents),
            agents[0].state.step + 1,
            _("divergences, fewer completions per prompt"),
        ),
        save=lambda: save_all({agent.name: agent.state for agent in agents}, folder),
        over=lambda: not _learning(agents),
        policies=len(agents),
    )


def checked(agents: Sequence[Agent], *, new: bool) -> Checked:
    """What is known before the first step, of which new agents look where they start; raises StartError."""
    lead = agents[0].state
    if new:
        for agent in agents:
            agent.state.start = lead.start or start_of(agent.problem, agent.state)
    return Checked(receipts=receipts_of(agents), kl_start=lead.start)


def receipts_of(agents: Sequence[Agent]) -> Receipts:
    """The worst of what the agents' settings are checked for."""
    return worst(pool_receipts(agent.problem.config) for agent in agents)


def check_together(problem: Problem) -> None:
    """Raise ConfigError where several processes cannot share a step of a population."""
    check_processes(problem)
    if world().size > 1 and read(EngineVariables).sharding:
        raise ConfigError(
            _("A population keeps whole models in every process; unset {sharding}.").format(
                sharding=SHARDING
            )
        )


def save_results(agents: Sequence[Agent], receipts: Receipts, folder: Path) -> None:
    """Commit `output`, in which every policy is a committed folder of its own with all agents' receipts."""
    with committed(folder / "output") as output:
        for agent in agents:
            with committed(output / agent.name) as own:
                agent.state.policy.save(own)
                save_target(agent.problem.config, agent.state.lambdas, own)
                receipts.store(own)


def samples_of(agents: Sequence[Agent], stage: Stage) -> Iterator[SampleDrawn]:
    """One completion of each fixed prompt by every agent, or by the reference for all of them."""
    for agent in through(agents, len(agents)):
        for drawn in draw_samples(agent.problem, agent.state, stage):
            yield drawn.model_copy(update={"agent": agent.name})


def _learning(agents: Sequence[Agent]) -> list[Agent]:
    """The agents within their KL budget; the others neither draw nor learn any more."""
    return [agent for agent in agents if not agent.state.over_budget]


def train_step(agents: Sequence[Agent]) -> dict[str, float]:
    """Draw, score, and move every agent; the step's metrics, those of one agent as `name@agent`."""
    return step_of(agents[0].problem.config, lambda: shared_turn(agents))


def shared_turn(agents: Sequence[Agent]) -> Turn:
    """The step's pool, and what every agent within its budget learns from it."""
    problem, state = agents[0].problem, agents[0].state
    chosen, active = prompts_of_step(problem, state.step), _learning(agents)
    pool = draw(active, chosen)
    for place, agent in enumerate(active):
        scored = pool.scored.rows(pool.own(place))
        watch_budget(agent.problem, agent.state, scored, len(chosen))
    mixture: Tensor | None = None  # of the policies that drew, which the first update finds

    def move(_number: int) -> list[dict[str, float]]:
        nonlocal mixture
        mixture, moved = _update(active, pool, mixture)
        return moved

    def learn_beside() -> None:
        assert mixture is not None
        learn_z(problem, state.known.z, chosen, pool.scored.log_scores - mixture)

    def tell(moved: Sequence[dict[str, float]]) -> dict[str, float]:
        facts = [described_agent(agent, pool, place) for place, agent in enumerate(active)]
        drawn = share_by_progress(active, pool, [row["divergence/target"] for row in facts])
        return {
            f"{name}@{agent.name}": value
            for place, agent in enumerate(active)
            for name, value in (moved[place] | facts[place] | drawn[place]).items()
            if name != MISMATCH
        }

    states, learning = ([agent.state for agent in some] for some in (agents, active))
    taught = int(pool.known.sum())
    return Turn(states, learning, pool.known, pool.log_z, taught, move, learn_beside, tell)


def share_by_progress(
    agents: Sequence[Agent], pool: Pool, divergences: Sequence[float]
) -> list[dict[str, float]]:
    """Tell the bandit where the agents stand; how many completions of a prompt each drew, where that is its doing."""
    bandit, names = agents[0].state.known.bandit, [agent.name for agent in agents]
    counts = pool.owners.bincount().tolist()
    if bandit.rule == "equal":
        return [{} for _ in agents]
    told = dict(zip(names, divergences, strict=True))
    bandit.learn(told, dict(zip(names, counts, strict=True)))
    return [{"completions/drawn": float(count)} for count in counts]


def draw(agents: Sequence[Agent], chosen: Sequence[int]) -> Pool:
    """Every agent's share of the completions of the chosen prompts, scored once."""
    problem, state = agents[0].problem, agents[0].state
    total, names = problem.config.completions_per_prompt, [agent.name for agent in agents]
    counts = state.known.bandit.shares(total, names, state.known.generator)
    parts = [
        sample(
            agent.state.policy,
            [problem.ids[place] for place in chosen],
            completions=count,
            max_new_tokens=problem.config.max_new_tokens,
            generator=state.known.generator,
        )
        for agent, count in zip(agents, counts, strict=True)
    ]
    scored = score(problem, pooled(parts, len(chosen)), state.lambdas)
    device = scored.log_weights.device
    log_z = torch.tensor([state.known.z.log_z(problem.prompts[place].key) for place in chosen])
    log_z = log_z.to(device, torch.float64)
    owners = torch.arange(len(agents)).repeat_interleave(torch.tensor(counts)).to(device)
    return Pool(scored, owners, log_z, log_z != -math.inf)


def _update(
    agents: Sequence[Agent], pool: Pool, mixture: Tensor | None = None
) -> tuple[Tensor, list[dict[str, float]]]:
    """One optimizer update of every agent; log m of the pool's rows, and the metrics by agent.

    log m is that of the policies that drew the pool: the first update finds it, later ones are told.
    """
    for agent in agents:
        agent.state.optimizer.zero_grad()
    count, found, groups = len(pool.scored.log_weights), [], []
    for rows in pool.groups(own(len(pool.known))):
        known = None if mixture is None else mixture[rows]
        mixed, facts = learn(agents, pool, rows, known)
        found.append(mixed)
        groups.append((len(rows) / count, facts))
    metrics = [
        _together([(share, facts[k]) for share, facts in groups]) for k in range(len(agents))
    ]
    for place, (agent, row) in enumerate(zip(agents, metrics, strict=True)):
        drawn = pool.scored.log_weights[pool.own(place)].view(len(pool.known), -1)
        told, again = [(pool.log_z[:, None] - drawn, pool.known)], mixture is not None
        way = way_left(agent.problem.config, agent.state.noise, told, again=again)
        row |= descend(agent.problem.config, agent.state, row["loss"], way, again=again)
    return gathered(torch.cat(found)), metrics


def learn(
    agents: Sequence[Agent], pool: Pool, rows: Tensor, mixture: Tensor | None
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Add every agent's gradient of a group of prompts; log m of the rows, and facts by agent.

    All agents' forwards come before the first backward, as the weights of each need all of them.
    """
    rollouts = pool.scored.rollouts.rows(rows)
    read = [logps_to_learn_from(agent.state.policy.model, rollouts) for agent in agents]
    if mixture is None:
        totals = torch.stack([one.detach().sum(1).double() for one, _ in read])
        mixture = log_mixture(totals, pool.log_shares)
    facts = []
    for place, agent in enumerate(agents):
        one, hand_on = read[place]
        drawn = pool.owners.repeat(len(rows) // len(pool.owners)) == place
        weights, fact = lesson(agent.problem.config, pool, rows, one.detach().sum(1), mixture)
        loss = score_loss(one.sum(1), weights.to(one.dtype))
        (loss * len(rows) / len(pool.scored.log_weights)).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        hand_on()
        fact["loss"] = loss.detach()
        fact[MISMATCH] = (one.detach() - rollouts.token_logps)[drawn].abs().max()
        facts.append(fact)
    return mixture, facts


def _together(parts: Sequence[tuple[float, dict[str, Tensor]]]) -> dict[str, float]:
    """The facts of groups of prompts as those of the step: means by their shares, the largest mismatch.

    The groups are this process's own; the step's facts are over those of all.
    """
    found = {}
    for name in sorted(parts[0][1]):
        values = torch.stack([facts[name].double() for _, facts in parts])
        shares = values.new_tensor([share for share, _ in parts])
        largest = name == MISMATCH
        found[name] = (all_max(values.max()) if largest else all_sum(values @ shares)).item()
    return found


def described_agent(agent: Agent, pool: Pool, place: int) -> dict[str, float]:
    """The metrics of the completions that an agent drew itself."""
    scored = pool.scored.rows(pool.own(place))
    u = pool.log_z[:, None] - scored.log_weights.view(len(pool.known), -1)
    values = parts(agent.problem.target, scored.values)
    return {
        **described(scored, u, divergence_of(agent.problem.config), pool.known),
        **{name: column.mean().item() for name, column in values},
    }
