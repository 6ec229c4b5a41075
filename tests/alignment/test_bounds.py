"""What ends a training before its last step, and how that goes on over a pause."""

import json

import pytest
import torch
from safetensors.torch import load_file

from alignment.kinds.sft.settings import SftConfig
from alignment.models import checkpoints
from alignment.models.bounds import HELD_OUT, HeldOut, TrainingProgress
from alignment.models.lora import trained
from alignment.models.training import share_now
from tests.alignment.conftest import tiny_policy


def looking(losses, **settings):
    """Held-out examples whose loss is one after another of these."""
    told = iter(losses)
    return HeldOut(lambda: {HELD_OUT: next(told)}, SftConfig(evaluate_every=2, **settings))


def test_minutes_are_counted_over_pauses():
    config, progress = SftConfig(most_minutes=2), TrainingProgress(seconds=90)
    assert (progress.spent(config), progress.ended_by(config)) == (0.75, "")
    model = tiny_policy().model
    _tensors, facts = progress.stored()
    again = TrainingProgress()
    again.restore({}, json.loads(json.dumps(facts)), model)
    again.seconds += 30
    assert again.ended_by(config) == "minutes"


def test_a_rate_falls_by_the_bound_that_is_nearest():
    config = SftConfig(most_minutes=1, most_tokens=1000, warmup_share=0.0)
    for progress in (TrainingProgress(seconds=30), TrainingProgress(tokens=500)):
        assert share_now(config, progress, 1, 100) == pytest.approx(50 / 100)
    assert share_now(config, TrainingProgress(), 1, 100) == pytest.approx(1)
    assert share_now(config, TrainingProgress(seconds=90), 1, 100) > 0


def test_it_is_looked_every_so_many_steps_and_at_the_last():
    held = looking([])
    assert [step for step in range(1, 8) if held.is_due(step, 7)] == [2, 4, 6, 7]


def test_patience_counts_the_looks_since_the_best():
    model, progress = tiny_policy().model, TrainingProgress()
    held = looking([3.0, 2.0, 2.5, float("nan")], patience=2)
    for step in (2, 4, 6):
        progress.look(held, model, step)
        assert progress.ended_by(held.config, held) == ""
    progress.look(held, model, 8)
    assert (progress.ended_by(held.config, held), progress.best.step) == ("patience", 4)


def test_the_best_weights_come_back_after_a_pause(tmp_path):
    model, progress = tiny_policy().model, TrainingProgress()
    model.requires_grad_(True)
    held = looking([1.0, 2.0], kept="best")
    progress.look(held, model, 2)
    wanted = {name: weight.detach().clone() for name, weight in trained(model).items()}
    with torch.no_grad():
        for weight in trained(model).values():
            weight.add_(1)
    progress.look(held, model, 4)
    tensors, facts = progress.stored()
    saved = checkpoints.save(tmp_path, 4, {}, tensors, facts)
    again = TrainingProgress()
    again.restore(load_file(tmp_path / saved.path / "state.safetensors"), facts, model)
    again.finish("", model)
    assert again.told == {"best_step": 2}
    assert all(torch.equal(weight, wanted[name]) for name, weight in trained(model).items())
