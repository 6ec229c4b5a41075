"""Bandits on arms whose gains are known."""

import json

import pytest
import torch

from alignment.maths.bandits import FEWEST, Bandit

ARMS = ("slow", "quick", "still")
TOTAL = 18


def play(rule, rates, steps=120, seed=0):
    """Arms that lose so much of what is left with each unit, told with noise; the shares of every step."""
    generator, noise = (torch.Generator().manual_seed(seed + one) for one in (0, 1))
    bandit, left, history = Bandit(rule), dict.fromkeys(rates(0), 1.0), []
    for step in range(steps):
        counts = dict(zip(ARMS, bandit.shares(TOTAL, ARMS, generator), strict=True))
        seen = {
            name: value + 0.002 * torch.randn((), generator=noise).item()
            for name, value in left.items()
        }
        bandit.learn(seen, counts)
        left = {name: left[name] - counts[name] * rates(step)[name] for name in ARMS}
        history.append(counts)
    return bandit, history, left


def steady(_step):
    return {"slow": 0.0002, "quick": 0.001, "still": 0.0}


def turned(step):
    """What was best stands still from the middle on, and another takes its place."""
    return steady(step) if step < 200 else {"slow": 0.0, "quick": 0.0, "still": 0.001}


@pytest.mark.parametrize("rule", ["equal", "thompson", "exp3"])
def test_shares_sum_to_the_budget_and_nobody_goes_without(rule):
    for counts in play(rule, steady)[1]:
        assert sum(counts.values()) == TOTAL
        assert min(counts.values()) >= FEWEST


def test_equal_shares_differ_by_one_at_most():
    generator = torch.Generator().manual_seed(0)
    assert Bandit().shares(8, ARMS, generator) == [3, 3, 2]
    before = generator.get_state()
    Bandit().shares(8, ARMS, generator)
    assert torch.equal(before, generator.get_state())  # nothing is drawn


def share_of(name, history):
    return sum(counts[name] for counts in history) / (TOTAL * len(history))


@pytest.mark.parametrize("rule", ["thompson", "exp3"])
def test_who_gains_most_of_a_unit_draws_most(rule):
    _, history, _ = play(rule, steady)
    late = history[-40:]
    assert share_of("quick", late) > 0.4 > share_of("still", late)
    assert share_of("quick", late) > share_of("slow", late)


def test_what_is_known_fades_so_that_another_best_is_found():
    _, history, _ = play("thompson", turned, steps=400)
    assert share_of("quick", history[160:200]) > 0.5
    assert share_of("still", history[360:]) > 0.5


def test_regret_against_the_best_fixed_share_stays_below_that_of_equal_ones():
    """All that could be gained: FEWEST to the others, the rest to the best arm at every step."""

    def gained(left):
        return sum(1 - value for value in left.values())

    best = sum(
        FEWEST * (steady(0)["slow"] + steady(0)["still"])
        + (TOTAL - 2 * FEWEST) * steady(0)["quick"]
        for _ in range(120)
    )
    regret = {rule: best - gained(play(rule, steady)[2]) for rule in ("equal", "thompson", "exp3")}
    assert -1e-9 <= regret["thompson"] < 0.5 * regret["equal"]
    assert regret["exp3"] < regret["equal"]


@pytest.mark.parametrize("rule", ["thompson", "exp3"])
def test_facts_give_the_same_bandit_again(rule):
    bandit = play(rule, steady, steps=10)[0]
    again = Bandit.restored(json.loads(json.dumps(bandit.facts)))
    assert again == bandit
    one, other = (
        each.shares(TOTAL, ARMS, torch.Generator().manual_seed(4)) for each in (bandit, again)
    )
    assert one == other


def test_an_arm_that_could_not_be_measured_is_not_told():
    bandit = play("thompson", steady, steps=5)[0]
    before = bandit.facts
    bandit.learn(dict.fromkeys(ARMS, float("nan")), dict.fromkeys(ARMS, 6))
    assert bandit.facts == before


def test_a_budget_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="a budget of 5 is too small for 3 arms"):
        Bandit().shares(5, ARMS, torch.Generator())
