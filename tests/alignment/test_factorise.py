"""Runs that factorise a model: what they make, that layers are fitted by themselves, how they go on."""

import json
import multiprocessing
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from alignment.kinds.factorise.results import FactoriseResults
from alignment.kinds.factorise.run import chosen_layers, fits_in_file
from alignment.kinds.spec import RunSpec
from alignment.lab import calibration
from alignment.lab.factoring import FitOptions, best_of, errors_of, fit_layer, solved
from alignment.lab.layers import hidden_layers, seen_by, weight_of
from alignment.maths.factors import blocks_of, moment_of, root_of
from alignment.models.forms.factors import Budget
from alignment.models.forms.form import stored_layers
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.events import CheckpointSaved, Finished, StepDone, Stopped
from alignment.seam.folders import verify
from alignment.seam.modelfiles import FORM
from alignment.seam.records import write_jsonl
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import records

SHORT = {
    "max_new_tokens": 6, "held_out_prompts": 8, "prompts": 16, "completions_per_prompt": 1,
    "sublayers": 4, "steps": 3,
}  # fmt: skip
OPTIONS = FitOptions(sublayers=4, damping=0.01, steps=5, learning_rate=0.01, seed=3)
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def start(saved_policy, tmp_path_factory):
    """The events of a run in a folder of its own, which is asked to save after so many steps."""
    rows = records(24)

    def run(policy=saved_policy, saved_after=0, resume=None, **config):
        folder = tmp_path_factory.mktemp("run")
        for name, some in (("prompts", rows[:16]), ("held_out", rows[16:])):
            write_jsonl(folder / f"{name}.jsonl", some)
        inputs = {"policy": str(policy), "prompts": "prompts.jsonl", "held_out": "held_out.jsonl"}
        spec = RunSpec(
            kind="factorise", run=1, epoch=1, seed=3, config=SHORT | config, inputs=inputs,
            resume_from=resume,
        )  # fmt: skip
        events = []
        for event in drive(spec, folder):
            events.append(event)
            if isinstance(event, StepDone) and event.step == saved_after:
                (folder / "control.json").write_text(json.dumps({"stop": "save"}))
        return folder, events

    return run


@pytest.fixture(scope="module")
def whole(start):
    return start(in_file="all")


def summary_of(events):
    assert isinstance(events[-1], Finished)
    return dict(events[-1].summary)


def test_the_result_is_a_factorised_model_by_its_budget(whole):
    folder, events = whole
    verify(folder / "output")
    summary = summary_of(events)
    FactoriseResults.model_validate(summary)
    assert len(list(stored_layers(Policy.load(folder / "output").model))) == 8
    assert summary["layers_factorised"] == 8
    assert 0.4 < summary["parameters_ratio"] <= 0.6
    assert summary["memory_after"] < summary["memory_before"]
    assert all(row["holds"] for row in summary["checks"])
    assert {row["way"] for row in summary["layers"]} <= {"start", "squares", "adam"}
    kept = sum(row["kept"] for row in summary["layers"])
    assert summary["parameters_ratio"] == kept / sum(row["weights"] for row in summary["layers"])
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == list(range(1, steps[-1].total + 1))
    assert all(0 <= event.metrics["error/layer"] < 1 for event in steps[:8])


def test_other_budgets_and_ways_are_told(whole):
    sizes = summary_of(whole[1])["sizes"]
    assert [row["share"] for row in sizes[::4]] == [0.8, 0.6, 0.4, 0.2]
    fitted, plain = ([row["kl_token"] for row in sizes[place::4]] for place in (0, 3))
    assert fitted == sorted(fitted)
    assert all(one < other for one, other in zip(fitted, plain, strict=True))


def test_a_file_of_every_budget_is_cut_to_another_without_fitting_again(whole, start):
    before = whole[0] / "output"
    folder, events = start(policy=before, share=0.4)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert not any("error/layer" in event.metrics for event in steps)
    again = summary_of(events)
    assert {row["way"] for row in again["layers"]} == {"file"}
    assert again["parameters_ratio"] <= 0.4
    assert (folder / "output" / WEIGHTS).stat().st_size < (before / WEIGHTS).stat().st_size
    sides = [weight_of(layer).numel() for layer in hidden_layers(tiny_policy().model).values()]
    ids = torch.tensor([[6, 7, 8]])
    with torch.no_grad():
        cut = Policy.load(folder / "output").model(ids).logits
        same = Policy.load(before, budget=Budget(most=0.4 * sum(sides))).model(ids).logits
    torch.testing.assert_close(cut, same)


def test_a_lean_file_is_fitted_again_where_it_is_not_enough(whole, saved_policy, tmp_path):
    outline = tiny_policy().model
    assert fits_in_file(saved_policy, outline, 0.6) is None
    assert fits_in_file(whole[0] / "output", outline, 1.0) is not None
    record = json.loads((whole[0] / "output" / FORM).read_text())
    lean = shutil.copytree(whole[0] / "output", tmp_path / "lean")
    name = "transformer.h.0.mlp.c_fc"
    blocks = {key: row[:-1] for key, row in record["layers"][name].items()}
    record["layers"][name] = blocks
    (lean / FORM).write_text(json.dumps(record))
    tensors = load_file(lean / WEIGHTS)
    rank = sum(blocks["ranks"])
    tensors[f"{name}.left"] = tensors[f"{name}.left"][:, :rank].contiguous()
    tensors[f"{name}.right"] = tensors[f"{name}.right"][:rank].contiguous()
    save_file(tensors, lean / WEIGHTS, {"format": "pt"})
    assert fits_in_file(lean, outline, 1.0) is None
    assert fits_in_file(lean, outline, 0.5) is not None


def test_a_run_that_was_saved_fits_the_same_layers_from_there(start, whole):
    first, stopped = start(in_file="all", saved_after=3)
    assert isinstance(stopped[-1], Stopped)
    saved = next(event for event in stopped if isinstance(event, CheckpointSaved))
    folder, rest = start(in_file="all", resume=str(first / saved.path))
    assert next(e.step for e in rest if isinstance(e, StepDone)) == 4
    one, other = (load_file(each / "output" / WEIGHTS) for each in (whole[0], folder))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    told, known = (summary_of(events) for events in (rest, whole[1]))
    assert told["sizes"] == known["sizes"]
    assert told["kl_token"] == known["kl_token"]


@pytest.fixture(scope="module")
def seen():
    """The tiny policy's layers and what they see on its own answers."""
    policy = tiny_policy()
    layers = hidden_layers(policy.model)
    for number, layer in enumerate(layers.values()):
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(number))
    rows = calibration.own_answers(policy, records(16), 6, seed=0).rows
    return policy, rows, layers, dict(seen_by(policy, rows, layers))


def fit_layers(job):
    torch.set_num_threads(1)
    name, weight, bias, tokens = job
    fit = fit_layer(name, weight, bias, tokens, OPTIONS)
    return name, (fit.kept.factors.left, fit.kept.center, fit.gains, fit.way)


def test_layers_are_the_same_in_any_order_and_by_two_processes(seen):
    _policy, _rows, layers, tokens = seen
    jobs = [
        (name, weight_of(layers[name]), layers[name].bias.detach(), tokens[name])
        for name in list(layers)[:4]
    ]
    forwards, backwards = dict(map(fit_layers, jobs)), dict(map(fit_layers, jobs[::-1]))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        apart = dict(pool.map(fit_layers, jobs, chunksize=1))
    for name, (left, center, gains, way) in forwards.items():
        for others in (backwards, apart):
            assert torch.equal(others[name][0], left)
            assert torch.equal(others[name][1], center)
            assert others[name][2:] == (gains, way)


def test_what_layers_see_does_not_depend_on_how_they_are_grouped(seen):
    policy, rows, layers, tokens = seen
    count = sum(row.length - 1 for row in rows)
    for name, found in seen_by(policy, rows, layers, room=1):
        assert len(found.inputs) == count
        for one, other in zip(found, tokens[name], strict=True):
            assert torch.equal(one, other)


def test_a_fifth_of_the_texts_only_measures(seen):
    _policy, rows, _layers, tokens = seen
    fitted = sum(row.length - 1 for place, row in enumerate(rows) if place % 5 != 4)
    assert all(int(one.fitted.sum()) == fitted for one in tokens.values())


def test_gradients_are_those_of_the_answers(seen):
    """Moving a bias moves the log-probability by the sum of the gradients at the layer's output."""
    policy, rows, layers, tokens = seen
    name = "transformer.h.1.mlp.c_fc"

    logps = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum()
    expected = torch.autograd.grad(logps, layers[name].bias)[0]
    torch.testing.assert_close(tokens[name].gradients.sum(0), expected, rtol=1e-3, atol=1e-4)
    outputs = layers[name](tokens[name].inputs)
    torch.testing.assert_close(tokens[name].outputs, outputs)


def test_fitting_is_better_than_its_start_in_most_layers(seen):
    _policy, _rows, layers, tokens = seen
    better = 0
    for name, layer in layers.items():
        fit = fit_layer(name, weight_of(layer), layer.bias.detach(), tokens[name], OPTIONS)
        totals = {way: sum(errors) for way, errors in fit.errors.items()}
        better += totals[fit.way] < totals["start"]
        assert fit.way == best_of(fit.errors)
        assert fit.identity < 1e-10
        assert len(fit.gains) == len(fit.ranks)
    assert better >= 6


def test_least_squares_are_the_best_of_all_ranks_on_their_own_tokens(seen):
    """No other factors of a rank have smaller errors on the tokens that were fitted to."""
    _policy, _rows, layers, tokens = seen
    name = "transformer.h.0.attn.c_proj"
    layer, own = layers[name], tokens[name]
    root = root_of(moment_of(own.gradients), 1e-9)
    found = solved(weight_of(layer), layer.bias.detach(), own, root, 1e-9)
    ranks = blocks_of(*weight_of(layer).shape, 8)
    own = own._replace(gradients=torch.zeros_like(own.gradients))  # all tokens are weighed alike
    best = errors_of(found, own, root, ranks)
    generator = torch.Generator().manual_seed(0)
    for _turn in range(5):
        noise = torch.randn(found.factors.left.shape, generator=generator)
        other = found._replace(
            factors=found.factors._replace(left=found.factors.left * (1 + 0.03 * noise))
        )
        worse = errors_of(other, own, root, ranks)
        assert all(one < other for one, other in zip(best, worse, strict=True))


def test_layers_are_left_out_by_parts_of_their_names():
    found = chosen_layers(tiny_policy().model, "h.0., c_proj")
    assert list(found) == ["transformer.h.1.attn.c_attn", "transformer.h.1.mlp.c_fc"]
    with pytest.raises(ConfigError, match="No layer is left"):
        chosen_layers(tiny_policy().model, "transformer")
