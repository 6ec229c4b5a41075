"""Several divergences from one pool: exact gradients, one draw, and runs that go on where they were."""

import json
from dataclasses import replace
from itertools import islice, product

import pytest
import torch

from alignment.kinds.population.run import (
    Agent,
    begin_all,
    draw,
    learn,
    train_step,
    tune,
)
from alignment.kinds.population.settings import PopulationConfig
from alignment.kinds.settings.divergences import DivergenceName
from alignment.maths.divergences import divergence_of
from alignment.objectives.pool import Pool, held_out_mean, lesson, pooled
from alignment.objectives.problem import Problem, Scored, prepare
from alignment.objectives.steps import prompts_of_step
from alignment.objectives.toy import listing, toy_policy, toy_problem, toy_state
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.events import (
    Checked,
    CheckpointSaved,
    Finished,
    PhaseProgressed,
    PhaseStarted,
    SampleDrawn,
    StepDone,
)
from alignment.seam.folders import verify
from alignment.seam.records import Receipts
from alignment.targets.targets import Values
from tests.alignment.test_loop import (
    SMALL,
    exact_divergence,
    loaded,
    never,
    of,
    records,
    says_sun,
    weights,
)
from tests.cases import cases

TRIO = ("jensen_shannon", "reverse_kl", "forward_kl")
POPULATION = SMALL | {"divergences": TRIO, "completions_per_prompt": 9}


# Enough completions that all come nearer in few steps, and nothing beside.
MANY = {
    "steps": 14,
    "prompts_per_step": 6,
    "completions_per_prompt": 24,
    "max_new_tokens": 2,
    "learning_rate": 6e-3,
    "beta": 0.2,
    "sample_prompts": 0,
    "checkpoint_every": 1000,
}

OLD = {"pseudo_reward_limit": 2, "weight_limit": 2.5, "kl_budget": 999, "sample_prompts": 0}


@pytest.fixture
def problems(policy_folder):
    return about(policy_folder)


@pytest.fixture(scope="module")
def whole(saved_policy, tmp_path_factory):
    """The events of a whole run with the usual settings, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return list(tune(about(saved_policy)(), folder)), folder


def about(policy_folder):
    """Makes problems about the policy of a folder, by their agents, with these settings."""

    def make(count=6, reward=says_sun, **settings):
        config = PopulationConfig(**{**POPULATION, **settings})
        reference, own = loaded(policy_folder), config.agent(config.divergences[0])
        first = Problem(records(count), policy_folder, reference, reward, own, seed=5)
        return {name: replace(first, config=config.agent(name)) for name in config.divergences}

    return make


# Every pool that two agents could draw of a prompt with three outcomes, as if each were a prompt.

LOG_Z = 0.4  # an estimate: not the truth


def toy_agents(*names):
    """Two agents with policies of their own, and all outcomes of the first prompt."""
    config = PopulationConfig(divergences=names, max_new_tokens=2, completions_per_prompt=4, beta=2)
    first = toy_problem(config.agent(names[0]), words=1, prompts=("a a",))
    agents = []
    for seed, name in enumerate(names, start=1):
        problem = replace(first, config=config.agent(name))
        agents.append(Agent(name, problem, toy_state(problem, toy_policy(1, seed=seed))))
    return agents, listing(first)


def every_pool(agents, every, owners):
    """All pools, the numbers of their outcomes (pools, n), and the chance of each."""
    picks = torch.tensor(list(product(range(3), repeat=len(owners))))
    logps = torch.cat([every.log_policy(agent.state.policy) for agent in agents]).detach()
    rollouts = every.rollouts.rows(picks.flatten())
    sampled = [completion_token_logps(a.state.policy.model, rollouts).detach() for a in agents]
    drawn = owners.repeat(len(picks))
    token_logps = torch.stack(sampled)[drawn, torch.arange(len(drawn))]
    log_weights = every.log_scores[0, picks].flatten() - token_logps.sum(1)
    values = Values(log_weights, *[torch.zeros(0)] * 3)
    scored = Scored(replace(rollouts, token_logps=token_logps), values, log_weights, log_weights)
    known = torch.ones(len(picks), dtype=torch.bool)
    pool = Pool(scored, owners, torch.full((len(picks),), LOG_Z, dtype=torch.float64), known)
    return pool, picks, logps[owners, picks].sum(1).exp()


def exact_gradient(agent, every):
    target = (every.log_scores[0] - LOG_Z).exp()
    policy = every.log_policy(agent.state.policy)[0].exp()
    found = divergence_of(agent.problem.config).divergence(policy, target)
    return torch.autograd.grad(found, list(agent.state.policy.model.parameters()))


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@cases("name", DivergenceName.__args__, quick=["reverse_kl", "forward_kl", "le_cam"])
@pytest.mark.parametrize("counts", [(2, 2), (3, 2)])
def test_over_every_pool_the_weights_give_the_exact_gradient(name, counts):
    agents, every = toy_agents(name, "le_cam" if name != "le_cam" else "alpha")
    owners = torch.arange(2).repeat_interleave(torch.tensor(counts))
    pool, picks, chances = every_pool(agents, every, owners)
    logps = [every.log_policy(agent.state.policy)[0, picks].flatten() for agent in agents]
    mixture = torch.logsumexp(torch.stack(logps).detach() + pool.log_shares[:, None], 0)
    rows = torch.arange(len(mixture))
    for agent, own in zip(agents, logps, strict=True):
        factors, _ = lesson(agent.problem.config, pool, rows, own.detach(), mixture)
        mean = -(factors * own).view(len(picks), -1).mean(1) @ chances
        found = torch.autograd.grad(mean, list(agent.state.policy.model.parameters()))
        close(found, exact_gradient(agent, every))


def test_over_every_pool_the_agents_learn_the_exact_gradients():
    agents, every = toy_agents("forward_kl", "jensen_shannon")
    pool, picks, chances = every_pool(agents, every, torch.tensor([0, 0, 1, 1]))
    models = [agent.state.policy.model for agent in agents]
    expected = [exact_gradient(agent, every) for agent in agents]
    found = [[torch.zeros_like(weight) for weight in model.parameters()] for model in models]
    for rows, chance in zip(torch.arange(picks.numel()).view(-1, 4), chances, strict=True):
        for model in models:
            model.zero_grad()
        _, facts = learn(agents, pool, rows, None)
        assert all(fact["logp/mismatch"] < 1e-12 for fact in facts)
        for sums, model in zip(found, models, strict=True):
            for total, weight in zip(sums, model.parameters(), strict=True):
                total += chance * weight.grad * len(picks)  # learn() gives it one prompt's share
    for sums, exact in zip(found, expected, strict=True):
        close(sums, exact)


def test_the_baseline_expects_the_same_whoever_drew():
    """Plain means of the others do not: they leave out one's own agent more often."""
    owners = torch.tensor([0, 0, 0, 1, 1])
    values = torch.tensor([[1.0, 1.0, 1.0, 6.0, 6.0]])  # each agent always the same
    assert held_out_mean(values, owners).tolist() == [pytest.approx([3.0] * 5)]
    moved = values + torch.tensor([[0.0, 0.0, 9.0, 0.0, 0.0]])
    assert held_out_mean(moved, owners)[0, 2].item() == pytest.approx(3.0)


# Pools.


def test_a_pool_keeps_every_completion_with_its_prompt(policy, generator):
    prompts = [[3, 6], [3, 7, 8]]
    parts = [
        sample(policy, prompts, completions=n, max_new_tokens=limit, generator=generator)
        for n, limit in ((3, 5), (2, 9))
    ]
    pool = pooled(parts, 2)
    assert pool.prompts == tuple(tuple(prompts[place]) for place in (0, 1) for _ in range(5))
    order = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3)]
    for row, (part, place) in enumerate(order):
        assert pool.completion_ids()[row] == parts[part].completion_ids()[place]
        assert pool.logps[row].item() == pytest.approx(parts[part].logps[place].item())
        assert pool.truncated[row] == parts[part].truncated[place]


def test_groups_hold_whole_prompts_and_no_more_than_fits(problems):
    agents = begin_all(problems())
    prepare(agents[0].problem, agents[0].state)
    pool = draw(agents, [0, 1, 2, 3])
    widest = len(agents[0].problem.ids[0]) + 6  # tokens of the longest prompt and completion
    groups = [rows.tolist() for rows in pool.groups(range(4), tokens=2 * 9 * widest)]
    assert [row for rows in groups for row in rows] == list(range(36))
    assert all(len(rows) % 9 == 0 for rows in groups)
    assert 2 <= len(groups) < 4
    assert len(list(pool.groups(range(4), tokens=1))) == 4


def test_no_weight_is_above_the_inverse_of_one_s_share(problems):
    agents = begin_all(problems(learning_rate=0.05, steps=4))
    prepare(agents[0].problem, agents[0].state)
    for _ in range(4):
        train_step(agents)
    pool, models = draw(agents, [0, 1]), [agent.state.policy.model for agent in agents]
    logps = [completion_token_logps(model, pool.scored.rollouts).sum(1) for model in models]
    mixture = torch.logsumexp(torch.stack(logps) + pool.log_shares[:, None], 0)
    found = torch.stack([(one - mixture).exp() for one in logps])
    assert (found - 1).abs().max() > 0.1
    assert found.max() <= 3 + 1e-5


# Runs.


@pytest.mark.prove
def test_every_agent_comes_to_the_target(problems, tmp_path):
    names = ("jensen_shannon", "reverse_kl", "forward_kl", "pearson_chi2")
    found = problems(
        divergences=names, completions_per_prompt=8, steps=60, beta=0.2, max_new_tokens=2,
        kl_budget=999,
    )  # fmt: skip
    *_, last = tune(found, tmp_path)
    for name, problem in found.items():
        before = exact_divergence(problem, problem.start)
        assert exact_divergence(problem, tmp_path / "output" / name) < 0.4 * before
        beside = (tmp_path / "output" / name / "receipts.json").read_text()
        assert json.loads(beside) == last.summary["receipts"]


def test_old_samples_are_learned_from_again(problems, tmp_path):
    def step(updates):
        run = tune(problems(**OLD, updates_per_step=updates), tmp_path / str(updates))
        return next(event.metrics for event in run if isinstance(event, StepDone))

    once, twice = step(1), step(2)
    for name in TRIO:
        assert 0 <= twice[f"rho/clipped@{name}"] <= 1
        assert once[f"weights/ess@{name}"] == pytest.approx(1, abs=1e-6)
        assert twice[f"weights/ess@{name}"] < 1 - 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["score", "surrogate"])
def test_old_samples_bring_them_there_too(problems, tmp_path, estimator):
    limits = {"pseudo_reward_limit": 2, "kl_budget": 999}
    if estimator == "score":
        limits["weight_limit"] = 2.5
    found = problems(**MANY | limits, estimator=estimator, updates_per_step=2)
    events = list(tune(found, tmp_path))
    assert "rho/clipped@forward_kl" in of(events, StepDone)[-1].metrics
    for name, problem in found.items():
        before = exact_divergence(problem, problem.start)
        assert exact_divergence(problem, tmp_path / "output" / name) < 0.5 * before


def test_agents_that_learned_nothing_have_no_result(problems, tmp_path):
    with pytest.raises(ConfigError, match="Nothing was learned in 2 steps"):
        list(tune(problems(reward=never, steps=2), tmp_path))
    assert not (tmp_path / "output").exists()


def test_a_step_draws_and_scores_every_completion_once(problems):
    asked = []

    def counting(policy, rollouts):
        asked.append(len(rollouts.prompts))
        return says_sun(policy, rollouts)

    agents = begin_all(problems(reward=counting))
    prepare(agents[0].problem, agents[0].state)
    metrics = train_step(agents)
    assert asked == [6 * 4, 4 * 9]  # the reference's, the step's
    keys = [agents[0].problem.prompts[place].key for place in prompts_of_step(agents[0].problem, 0)]
    assert all(agents[2].state.known.z.state_dict()[key][1] == 4 + 9 for key in keys)
    assert metrics["logp/mismatch"] < 1e-4
    assert metrics["weights/ess@forward_kl"] == pytest.approx(1)  # they start alike


def test_metrics_are_told_by_agent(problems, tmp_path):
    metrics = of(list(tune(problems(steps=1), tmp_path)), StepDone)[0].metrics
    own = """loss reward/mean reward/std kl/reference divergence/target ess/fraction length/mean
        length/truncated entropy/mean grad/norm lr logp/mismatch weights/ess"""
    shared = "logz/mean logp/mismatch prompts/skipped seconds/step"
    wanted = {f"{name}@{agent}" for name in own.split() for agent in TRIO} | set(shared.split())
    assert set(metrics) == wanted - {f"logp/mismatch@{agent}" for agent in TRIO}


def test_a_run_reports_in_order_and_by_agent(whole):
    events, _ = whole
    kinds = [type(event) for event in events[1:] if not isinstance(event, StepDone)]
    six, phases, saved = [SampleDrawn] * 6, [PhaseStarted] * 2, [CheckpointSaved]
    assert kinds == [
        PhaseStarted,
        Checked,
        *six,
        *phases,
        *saved,
        *six,
        *saved,
        PhaseStarted,
        *six,
        Finished,
    ]
    assert {event.agent for event in of(events, SampleDrawn)} == set(TRIO)


def test_every_result_is_a_folder_that_verifies(whole):
    output = whole[1] / "output"
    verify(output)
    assert len({verify(output / name) for name in TRIO}) == 3


def test_the_summary_measures_every_agent(problems, tmp_path):
    found = problems(count=16, **MANY | {"steps": 8, "learning_rate": 1e-2, "beta": 0.1})
    summary = list(tune(found, tmp_path))[-1].summary
    assert list(summary["agents"]) == list(TRIO)
    assert Receipts.model_validate(summary["receipts"]).good
    assert 0 < summary["receipts"]["mismatch"] < 1e-4
    for found in summary["agents"].values():
        assert found["reward_gain"]["low"] > 0
        assert 0 <= found["divergence_target"]["value"] < 5
        assert found["divergence_target"]["n"] == 16


def test_an_agent_past_its_budget_rests_while_others_learn(problems):
    agents = begin_all(problems())
    prepare(agents[0].problem, agents[0].state)
    agents[1].state.over_budget = True
    before = [weight.clone() for weight in agents[1].state.policy.model.parameters()]
    metrics = train_step(agents)
    after = agents[1].state.policy.model.parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(name.endswith("@reverse_kl") for name in metrics)
    assert "loss@forward_kl" in metrics
    assert draw([agents[0], agents[2]], [0]).owners.bincount().tolist() == [5, 4]


def test_a_run_ends_when_all_agents_are_past_their_budget(problems, tmp_path):
    events = list(tune(problems(steps=60, beta=0.05, kl_budget=0.3), tmp_path))
    assert len(of(events, StepDone)) < 60
    for found in events[-1].summary["agents"].values():
        assert found["stopped_by"] == "kl_budget"
        assert found["kl_reference"]["value"] <= 0.3


def paused(found, folder, step):
    """Drive a run up to this step, then ask it to save."""
    run = tune(found, folder)
    event = next(run)
    while not (isinstance(event, StepDone) and event.step == step):
        event = next(run)
    saved = run.send("save")
    assert list(run) == []
    return folder / saved.path


@cases("step", [3, 8])
def test_a_saved_population_continues_bit_by_bit(problems, whole, tmp_path, step):
    events = list(tune(problems(), tmp_path, resume=paused(problems(), tmp_path, step)))
    assert (events[0].resumed_step, events[0].bit_exact) == (step, True)
    for name in TRIO:
        first, second = (weights(folder / "output" / name) for folder in (whole[1], tmp_path))
        assert all(torch.equal(first[key], second[key]) for key in first)


@cases("rule", ["thompson", "exp3"])
def test_a_bandit_shares_out_all_completions_and_goes_on_bit_by_bit(problems, tmp_path, rule):
    settings = {"steps": 5, "sample_prompts": 0}
    events = list(tune(problems(**settings), tmp_path / "whole", rule=rule))
    drawn = [
        [event.metrics[f"completions/drawn@{name}"] for name in TRIO]
        for event in of(events, StepDone)
    ]
    assert all(sum(row) == 9 and min(row) >= 2 for row in drawn)
    assert drawn[0] == [3, 3, 3] or rule == "exp3"
    run = tune(problems(**settings), tmp_path / "parts", rule=rule)
    next(one for one in run if isinstance(one, StepDone) and one.step == 3)
    saved = run.send("save")
    again = tune(problems(**settings), tmp_path / "parts", resume=tmp_path / "parts" / saved.path)
    rest = {event.step: event.metrics for event in of(list(again), StepDone)}
    last = of(events, StepDone)[-1].metrics
    assert {key: rest[5][key] for key in last if "@" in key} == {
        key: value for key, value in last.items() if "@" in key
    }


@pytest.mark.slow
def test_a_population_saved_among_reference_completions_continues(problems, tmp_path, monkeypatch):
    monkeypatch.setattr("alignment.objectives.problem.PROMPTS_AT_ONCE", 4)
    wished = {"share_of": "sun", "share": 0.5, "steps": 2, "reference_completions": 32}
    whole, split = tmp_path / "whole", tmp_path / "parts"
    list(tune(problems(**wished), whole))
    run = tune(problems(**wished), split)
    (told,) = islice((event for event in run if isinstance(event, PhaseProgressed)), 1)
    assert (told.done, told.total, told.unit) == (4, 6, "prompts")
    list(tune(problems(**wished), split, resume=split / run.send("save").path))
    for name in TRIO:
        first, second = (weights(folder / "output" / name) for folder in (whole, split))
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"divergences": ("le_cam",)}, "at least 2 items"),
        ({"divergences": ("le_cam", "le_cam")}, "named twice"),
        ({"must_contain": "sun"}, "reverse_kl is infinite"),
        ({"completions_per_prompt": 5}, "3 agents need at least 6"),
        ({"estimator": "rao_blackwell"}, "one policy's own completions"),
        ({"inference_weight": 1}, "no term of the deployed model"),
    ],
)
def test_what_a_population_cannot_do_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        PopulationConfig(**wrong)
