"""Gradients of low rank: identities of the projection, and runs that learn by it."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from alignment.kinds import KINDS
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.models import checkpoints
from alignment.models.gradients import adamw, exchange
from alignment.models.lowrank import (
    EVERY,
    Halves,
    LowRankAdamW,
    is_compared,
    lying,
    new_direction,
)
from alignment.models.sketches import best_basis, orthonormal, sketched
from alignment.models.training import halved
from alignment.seam.events import CheckpointSaved, Finished, StepDone
from alignment.seam.memory import Shape
from alignment.seam.records import DemonstrationRecord, write_jsonl
from alignment.trainer import runner
from tests.alignment.rewarding import a_pair
from tests.alignment.rewarding import run as rewarded

INPUTS = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
TOLD = torch.randn(64, 7, generator=torch.Generator().manual_seed(1))
ADAM = {"lr": 0.01, "weight_decay": 0.1}


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 7))


def gradients(model, step=0):
    """Two backward passes, of halves of a batch that moves with the step."""
    inputs, told = INPUTS.roll(5 * step, 0), TOLD.roll(3 * step, 0)
    for part in (slice(0, 32), slice(32, 64)):
        (((model(inputs[part]) - told[part]) ** 2).sum() / 64).backward()


def learned(make, steps=12, watch=lambda model, optimizer: None):
    model = network()
    optimizer = make(model)
    for step in range(steps):
        optimizer.zero_grad()
        gradients(model, step)
        exchange(optimizer)
        watch(model, optimizer)
        optimizer.step()
    return model, optimizer


def low_rank(rank=3, **options):
    return lambda model: LowRankAdamW(model.parameters(), rank, **ADAM | options)


def with_identity(model):
    """The whole space, in its own basis, which never moves."""
    optimizer = LowRankAdamW(model.parameters(), 99, **ADAM)
    for weight in optimizer.matrices():
        small, large = sorted(weight.shape)
        moments = {name: torch.zeros(small, large) for name in ("exp_avg", "exp_avg_sq")}
        own = {"projector": torch.eye(small), "step": torch.tensor(0.0)}
        optimizer.state[weight] = own | moments
    return optimizer


def test_in_its_own_basis_it_is_adam_bit_by_bit():
    one, _ = learned(lambda model: torch.optim.AdamW(model.parameters(), **ADAM))
    other, _ = learned(with_identity)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("steps", [0, EVERY])
def test_of_full_rank_it_loses_nothing_of_the_gradient(steps):
    model, optimizer = learned(low_rank(99), steps)
    optimizer.zero_grad()
    gradients(model)
    plain = [weight.grad.clone() for weight in optimizer.matrices()]
    optimizer.exchange()
    for weight, grad in zip(optimizer.matrices(), plain, strict=True):
        assert (weight.grad - grad).norm() <= 1e-6 * grad.norm()
    assert optimizer.told.metrics()["gradient/captured"] == pytest.approx(1, abs=1e-6)


def test_no_projection_captures_more_than_the_best_one():
    def watch(model, optimizer):
        for weight in optimizer.matrices():
            assert weight.grad is not None
        told.append(optimizer.told.metrics()["gradient/captured"])

    def before(model):
        optimizer = low_rank()(model)
        plain = optimizer.exchange

        def exchange_watched():
            grads = [lying(weight.grad, weight).clone() for weight in optimizer.matrices()]
            values = [torch.linalg.svdvals(grad) ** 2 for grad in grads]
            best.append(sum(v[:3].sum() for v in values) / sum(v.sum() for v in values))
            plain()

        optimizer.exchange = exchange_watched
        return optimizer

    told, best = [], []
    learned(before, watch=watch)
    assert all(found <= bound + 1e-6 for found, bound in zip(told, best, strict=True))
    assert told[0] == pytest.approx(best[0].item(), abs=1e-5)  # its SVD is where it begins
    assert min(told) > 0.3


def test_what_was_sent_and_what_is_left_is_the_sum_of_the_gradients():
    sums = {}

    def before(model):
        optimizer = low_rank(feedback=True)(model)
        plain = optimizer.exchange

        def exchange_watched():
            for place, weight in enumerate(optimizer.matrices()):
                sums[place] = sums.get(place, 0) + lying(weight.grad, weight).clone()
            plain()

        optimizer.exchange = exchange_watched
        return optimizer

    sent = {}

    def watch(model, optimizer):
        for place, weight in enumerate(optimizer.matrices()):
            sent[place] = sent.get(place, 0) + lying(weight.grad, weight).clone()

    _model, optimizer = learned(before, watch=watch)
    for place, weight in enumerate(optimizer.matrices()):
        whole = sent[place] + optimizer.state[weight]["error"]
        torch.testing.assert_close(whole, sums[place], atol=1e-5, rtol=1e-5)


def test_its_state_is_small_and_orthonormal():
    _model, optimizer = learned(low_rank(2))
    for weight in optimizer.matrices():
        state, (small, large) = optimizer.state[weight], sorted(weight.shape)
        assert state["exp_avg"].shape == state["exp_avg_sq"].shape == (2, large)
        basis = state["projector"]
        assert basis.shape == (small, 2)
        torch.testing.assert_close(basis.T @ basis, torch.eye(2), atol=1e-5, rtol=0)
        assert state["sketch"].shape[0] == small
    matrices = sum(weight.numel() for weight in optimizer.matrices())
    assert optimizer.bytes < 0.75 * 8 * matrices
    _model, fed = learned(low_rank(2, feedback=True))
    assert fed.bytes == optimizer.bytes + 4 * matrices


def test_the_basis_follows_a_gradient_that_stays():
    """Of a constant gradient the directions are found by the next window, wherever the basis began."""
    weight = nn.Parameter(torch.zeros(8, 10))
    optimizer = LowRankAdamW([weight], 2, lr=1e-3)
    torch.manual_seed(0)
    begin, target = torch.randn(8, 10), torch.randn(8, 2) @ torch.randn(2, 10)
    for step in range(2 * EVERY + 1):
        weight.grad = begin.clone() if step == 0 else target.clone()
        optimizer.exchange()
        optimizer.step()
    assert optimizer.told.metrics()["gradient/captured"] > 0.999


@pytest.mark.parametrize("clipped", [1.0, 0.25])
def test_a_step_is_one_of_the_power_method_on_the_mean_gradient_which_goes_along(clipped):
    """The mean H is P M of old gradients and all of the new one; H's image of its own rows is where the basis goes."""
    weight = nn.Parameter(torch.zeros(8, 12))
    optimizer = LowRankAdamW([weight], 3, lr=1e-3, betas=(0.8, 0.9))
    generator, whole = torch.Generator().manual_seed(3), torch.zeros(8, 12)
    first = torch.randn(8, 3, generator=generator) @ torch.randn(3, 12, generator=generator)
    second = torch.randn(8, 12, generator=generator)
    for gradient in (first, second):
        basis = optimizer.state[weight].get("projector")
        weight.grad = gradient.clone()
        optimizer.exchange()
        weight.grad *= clipped
        optimizer.step()
        whole = 0.8 * whole + 0.2 * clipped * gradient
    before = whole + 0.2 * (1 - clipped) * second  # anybody clipped
    rows = torch.linalg.qr((basis.T @ before).T).Q
    image = torch.linalg.qr(before @ rows).Q
    found = optimizer.state[weight]["projector"]
    assert torch.linalg.svdvals(image.T @ found).min() > 1 - 1e-3
    beside = basis @ basis.T @ whole + (whole - basis @ basis.T @ whole) @ rows @ rows.T
    torch.testing.assert_close(
        optimizer.state[weight]["exp_avg"], found.T @ beside, atol=1e-5, rtol=1e-4
    )
    assert (found.T @ basis).square().sum() < 3 - 1e-3  # it did move


def after_a_window(rank, rows, columns, noise):
    """A matrix's optimizer after ten gradients that share four directions beside their noise; the gradients."""
    weight, generator = nn.Parameter(torch.zeros(rows, columns)), torch.Generator().manual_seed(3)
    optimizer = LowRankAdamW([weight], rank, lr=1e-3)
    shared = torch.randn(rows, 4, generator=generator) @ torch.randn(
        4, columns, generator=generator
    )
    seen = [shared + noise * torch.randn(rows, columns, generator=generator) for _ in range(EVERY)]
    for gradient in seen:
        before = {name: value.clone() for name, value in optimizer.state[weight].items()}
        weight.grad = gradient.clone()
        optimizer.exchange()
        optimizer.step()
    return optimizer, weight, seen, before


def test_after_a_window_the_basis_is_nearly_the_best_of_its_mean_gradient():
    optimizer, weight, seen, _before = after_a_window(4, 16, 64, noise=3.0)
    basis, mean = optimizer.state[weight]["projector"], sum(seen) / EVERY
    best = torch.linalg.svdvals(mean)[:4].square().sum()
    found = (basis.T @ mean).square().sum()
    first = torch.linalg.svd(seen[0]).U[:, :4]
    assert 0.95 * best < found <= best * (1 + 1e-6)
    assert (first.T @ mean).square().sum() < 0.9 * best  # where it began


def test_each_window_has_a_sketch_of_its_own_gradients():
    optimizer, weight, seen, _before = after_a_window(2, 8, 12, noise=1.0)
    state = optimizer.state[weight]
    assert not state["sketch"].any()
    for gradient in seen[:3]:
        weight.grad = gradient.clone()
        optimizer.exchange()
        optimizer.step()
    torch.testing.assert_close(state["sketch"], sketched(sum(seen[:3]), 4, seed=1))


def test_at_a_windows_end_the_mean_gradient_is_taken_along():
    optimizer, weight, seen, _before = after_a_window(2, 8, 12, noise=1.0)
    state = optimizer.state[weight]
    state["step"] += EVERY
    state["sketch"] = sketched(sum(seen[:3]), 4, seed=1)
    basis, mean = state["projector"], state["exp_avg"]
    found = best_basis(state["sketch"], 1, basis, mean)
    optimizer._end_window(state)
    assert torch.equal(state["projector"], found)
    assert (found.T @ basis).square().sum() < 2 - 1e-3  # it did move
    assert torch.equal(state["exp_avg"], found.T @ basis @ mean)


def test_halves_of_a_batch_are_told_apart():
    halves = Halves()
    parts = [torch.tensor([[1.0, 0]]), torch.tensor([[0, 2.0]]), torch.tensor([[4.0, 0]])]
    whole = torch.zeros(1, 2)
    for part in parts:
        whole = whole + part
        halves.add(whole)
    even, odd = halves.pair()
    assert even.tolist() == [[5, 0]]
    assert odd.tolist() == [[0, 2]]
    one = Halves()
    one.add(parts[0])
    assert one.pair() is None


@pytest.mark.parametrize("alike", [True, False])
def test_consistency_says_whether_the_halves_agree(alike):
    weight = nn.Parameter(torch.zeros(6, 9))
    optimizer = LowRankAdamW([weight], 3, lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    same = torch.randn(6, 9, generator=generator)
    for _ in range(3):
        for _half in range(2):
            given = same if alike else torch.randn(6, 9, generator=generator)
            (weight * given).sum().backward()
        optimizer.exchange()
        found = optimizer.told.metrics().get("gradient/consistency")
        optimizer.step()
        optimizer.zero_grad()
    assert found == pytest.approx(1, abs=1e-4) if alike else abs(found) < 0.8


def test_rows_are_halved_in_turn_where_halves_are_compared():
    groups = list(halved([3] * 7, 6))
    assert [sorted(place % 2 for place in group) for group in groups] == [
        [0, 0],
        [1, 1],
        [0, 0],
        [1],
    ]
    assert sorted(place for group in groups for place in group) == list(range(7))
    model = network()
    assert not is_compared(model)
    low_rank()(model)
    assert is_compared(model)


def test_a_rank_falls_where_halves_disagree_and_rises_again():
    weight = nn.Parameter(torch.zeros(6, 9))
    optimizer = LowRankAdamW([weight], 4, consistency=0.5, lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    same, ranks = torch.randn(6, 9, generator=generator), []
    for step in range(12 * EVERY):
        for half in range(2):
            noise = same if step > 4 * EVERY else torch.randn(6, 9, generator=generator)
            (
                weight * (noise if half else 1.0 * noise if step > 4 * EVERY else -noise)
            ).sum().backward()
        optimizer.exchange()
        optimizer.step()
        optimizer.zero_grad()
        ranks.append(optimizer.state[weight]["projector"].shape[1])
        assert optimizer.state[weight]["exp_avg"].shape == (ranks[-1], 9)
    assert ranks[0] == 4
    assert min(ranks) == 1
    assert ranks[-1] > 2


def test_a_new_direction_is_one_that_lacked():
    basis = orthonormal(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    more = new_direction(basis, 1)
    assert (basis.T @ more).abs().max() < 1e-5
    assert torch.equal(more, new_direction(basis, 1))


def test_the_settings_choose_the_optimizer():
    weights = list(network().parameters())
    assert type(adamw(weights, GradientSettings(), lr=1.0)) is torch.optim.AdamW
    config = GradientSettings(gradient="low_rank", gradient_rank=5, error_feedback=True)
    found = adamw(weights, config, lr=1.0)
    assert (found.rank, found.feedback) == (5, True)
    with pytest.raises(ValueError, match="does not read"):
        GradientSettings(gradient_rank=5)


def test_a_run_is_said_to_need_less_memory():
    shape = Shape(10**9, 12, 1024, 16, 1024, 32_000, 1024)
    plain, low, fed = (
        KINDS["sft"].memory(SftConfig(**chosen), shape)
        for chosen in (
            {},
            {"gradient": "low_rank", "gradient_rank": 128},
            {"gradient": "low_rank", "gradient_rank": 128, "error_feedback": True},
        )
    )
    assert low < fed < plain
    assert plain - low == pytest.approx((1 - 0.3125) * 8 * 10**9, rel=0.01)


def test_a_stored_state_goes_on_bit_by_bit():
    model, optimizer = learned(low_rank(feedback=True, consistency=0.3))
    tensors = {k: t.clone() for k, t in checkpoints.optimizer_tensors(optimizer).items()}
    assert tensors["0.sketch"].any()  # in the middle of a window
    other, restored = taken_up(model, tensors)
    for one in (model, optimizer), (other, restored):
        go_on(*one, steps=EVERY)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_that_was_stored_before_there_were_sketches_goes_on():
    model, optimizer = learned(low_rank(feedback=True, consistency=0.3))
    tensors = checkpoints.optimizer_tensors(optimizer)
    old = {name: value.clone() for name, value in tensors.items() if "sketch" not in name}
    other, restored = taken_up(model, old)
    go_on(other, restored, steps=EVERY)
    for weight in restored.matrices():
        assert restored.state[weight]["sketch"].any()
        assert restored.state[weight]["step"] == 12 + EVERY


def taken_up(model, tensors):
    """The same model with an optimizer of that state."""
    other = network()
    other.load_state_dict(model.state_dict())
    restored = low_rank(feedback=True, consistency=0.3)(other)
    checkpoints.restore_optimizer(restored, tensors)
    return other, restored


def go_on(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        gradients(model)
        exchange(optimizer)
        optimizer.step()


SAID = [
    DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen)
    for pair in (
        a_pair(f"sun {word}", f"{word} good", "bad") for word in ("day", "night", "rain", "b")
    )
]


def sft(folder, policy_folder, resume=None, **config):
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "rows.jsonl", SAID)
    settings = {"batch": 4, "epochs": 12, "held_out": 0.3, "learning_rate": 1e-2}
    chosen = {"gradient": "low_rank", "gradient_rank": 2, "error_feedback": True}
    spec = RunSpec(
        kind="sft", run=1, epoch=1, config=settings | chosen | config, resume_from=resume,
        inputs={"policy": str(policy_folder), "demonstrations": "rows.jsonl"},
    )  # fmt: skip
    return runner("sft")(spec, folder)


def test_a_run_learns_by_it_tells_of_it_and_goes_on_bit_by_bit(tmp_path, policy_folder):
    events = list(sft(tmp_path / "whole", policy_folder, checkpoint_every=7))
    steps = [event.metrics for event in events if isinstance(event, StepDone)]
    assert steps[-1]["loss"] < steps[0]["loss"]
    for metrics in steps[1:]:
        assert 0 < metrics["gradient/captured"] <= 1 + 1e-6
        assert -1 <= metrics["gradient/consistency"] <= 1
        assert math.isfinite(metrics["gradient/cosine"])
        assert metrics["optimizer/bytes"] > 0
    assert isinstance(events[-1], Finished)
    saved = next(event for event in events if isinstance(event, CheckpointSaved))
    assert 0 < saved.step < EVERY < len(steps)  # a window ends behind it
    resumed = list(sft(tmp_path / "again", policy_folder, resume=f"../whole/{saved.path}"))
    again = [event.metrics["loss"] for event in resumed if isinstance(event, StepDone)]
    assert again == [metrics["loss"] for metrics in steps[saved.step :]]
    one, other = (
        load_file(tmp_path / n / "output" / "model.safetensors") for n in ("whole", "again")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_reward_model_and_an_alignment_learn_by_it(tmp_path, policy_folder):
    chosen = {"gradient": "low_rank", "gradient_rank": 4}
    labels = [a_pair(f"{one} {other}", f"{one} good", "bad") for one in "ab" for other in "ab"] * 4
    events = rewarded(tmp_path / "reward", labels, **chosen, epochs=4, folds=0)
    losses = [event.metrics["loss"] for event in events if isinstance(event, StepDone)]
    assert losses[-1] < losses[0]
    prompts = [pair.prompt for pair in labels[:4]]
    write_jsonl(tmp_path / "prompts.jsonl", prompts)
    config = chosen | {
        "steps": 3, "prompts_per_step": 4, "prompts": 4, "completions_per_prompt": 2, "warmup": 0,
        "max_new_tokens": 3, "reward_weight": 0, "more_rules": "1 contains good",
    }  # fmt: skip
    policies = dict.fromkeys(("policy", "reference"), str(policy_folder))
    spec = RunSpec(
        kind="align", run=1, epoch=1, config=config, inputs=policies | {"prompts": "prompts.jsonl"}
    )
    steps = [event for event in runner("align")(spec, tmp_path) if isinstance(event, StepDone)]
    assert all(0 < event.metrics["gradient/captured"] <= 1 + 1e-5 for event in steps)


def test_every_training_kind_has_the_setting():
    with_it = {name for name, kind in KINDS.items() if issubclass(kind.settings, GradientSettings)}
    assert {"pretrain", "sft", "prefer", "reward", "align", "population"} <= with_it
    assert issubclass(SftConfig, GradientSettings)
