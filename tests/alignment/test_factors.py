"""Factors: matrices as blocks of low rank, budgets, and models that compute by them."""

import itertools
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from alignment.lab.layers import hidden_layers, weight_of
from alignment.maths.factors import (
    Factors,
    blocks_of,
    falling,
    plain_factors,
    root_of,
    shared_out,
    whitened_factors,
)
from alignment.models.forms.factors import (
    Budget,
    FactorLinear,
    FactorRecord,
    LayerBlocks,
    bias_at,
    factor_tensors,
    plain_names,
    ranks_bought,
)
from alignment.models.forms.form import bytes_of, make_plain, stored_layers
from alignment.models.forms.stored import write_form
from alignment.models.loading import check_files
from alignment.models.lora import size_of
from alignment.models.policies import Policy
from alignment.models.trials import try_contract
from alignment.sampling.readers.families import reader_of
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.forms import form_named
from alignment.seam.modelfiles import FORM
from tests.alignment.conftest import tiny_policy
from tests.cases import cases

WEIGHTS = "model.safetensors"
FC = "transformer.h.0.mlp.c_fc"


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("outputs", [None, 5])
def test_the_error_of_a_rank_is_what_its_singular_values_say(outputs):
    weight, inputs = drawn(5, 8), drawn(40, 8, seed=1) * torch.arange(1.0, 9)
    root = root_of(inputs.T @ inputs / 40, 1e-9)
    slopes = drawn(60, 5, seed=2) * torch.tensor([5.0, 1, 1, 0.2, 3])
    worth = root_of(slopes.T @ slopes / 60, 1e-9) if outputs else torch.eye(5).double()
    factors, values = whitened_factors(weight, root, worth if outputs else None)
    plain = plain_factors(weight)
    for rank in range(6):
        errors = inputs.double() @ (weight.double() - factors.first(rank).weight).T @ worth
        found = errors.square().sum(1).mean().sqrt()
        torch.testing.assert_close(found, values[rank:].norm(), rtol=1e-6, atol=1e-6)
        other = inputs.double() @ (weight.double() - plain.first(rank).weight).T @ worth
        assert found <= other.square().sum(1).mean().sqrt() + 1e-9
    torch.testing.assert_close(factors.weight, weight.double())


def test_blocks_take_no_more_than_the_matrix():
    for sides in ((16, 64), (7, 5), (1, 1), (3, 100)):
        ranks = blocks_of(*sides, 4)
        assert max(ranks) - min(ranks) <= 1
        assert sum(ranks) * sum(sides) <= max(sides[0] * sides[1], sum(sides))


def test_gains_fall_per_cost_and_their_sum_stays():
    costs = [2.0, 1.0, 4.0, 1.0]
    found = falling([1.0, 3.0, -0.5, 2.0], costs)
    rates = [gain / cost for gain, cost in zip(found, costs, strict=True)]
    assert rates == sorted(rates, reverse=True)
    assert sum(found) == pytest.approx(
        6.0
    )  # what costs something and gains less than nothing gains nothing
    assert falling([4.0, 2.0], [1.0, 1.0]) == [4.0, 2.0]


def test_what_is_too_dear_is_passed_over():
    assert shared_out({"a": [9, 1], "b": [1]}, {"a": [5, 1], "b": [1]}, 1) == {"a": 0, "b": 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_budget_buys_what_the_best_choice_would(seed):
    """Against all choices, on six layers: equal where greedy stops, within one block's gain elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    costs = {str(n): (1 + 4 * torch.rand(3, generator=generator)).tolist() for n in range(6)}
    gains = {
        name: falling(torch.rand(3, generator=generator).tolist(), row)
        for name, row in costs.items()
    }

    def value(taken, of):
        return sum(sum(of[name][:count]) for name, count in taken.items())

    choices = [dict(zip(gains, c, strict=True)) for c in itertools.product(range(4), repeat=6)]
    known = [(value(one, costs), value(one, gains)) for one in choices]
    rated = sorted(
        ((round(gains[n][j] / costs[n][j], 9), -j, n) for n in gains for j in range(3)),
        reverse=True,
    )
    stops = list(itertools.accumulate(costs[n][-j] for _rate, j, n in rated))
    for budget in (*stops[::3], 7.0, 20.0, 33.3):
        most = max(gain for cost, gain in known if cost <= budget + 1e-9)
        taken = shared_out(gains, costs, budget + 1e-9)
        found = value(taken, gains)
        assert value(taken, costs) <= budget + 2e-9
        if budget in stops:
            assert found == pytest.approx(most)
        assert found >= most - max(map(max, gains.values()))


def factorised(folder, share=0.6):
    """The tiny policy by the SVD of its weights, with all blocks in its file, used by a share of its parameters."""
    policy = tiny_policy()
    for number, layer in enumerate(hidden_layers(policy.model).values()):
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(number))
    files, replaced, blocks, whole = {}, [], {}, 0
    for name, layer in hidden_layers(policy.model).items():
        weight = weight_of(layer)
        ranks = blocks_of(*weight.shape, 4)
        mean = drawn(weight.shape[1], seed=len(name))
        center = weight @ mean + layer.bias.detach()
        factors = plain_factors(weight).first(sum(ranks))
        files |= factor_tensors(name, factors, mean, center)
        replaced += plain_names(name, layer)
        whole += weight.numel()
        blocks[name] = LayerBlocks(
            ranks=ranks, gains=[4, 3, 2, 1][: len(ranks)], milliseconds=[0.1] * len(ranks)
        )
    record = FactorRecord(layers=blocks, budget=Budget(most=share * whole))
    write_form(policy.model, record, files, folder, replaced)
    policy.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return factorised(tmp_path_factory.mktemp("factors"))


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "factors")


def record_in(folder):
    return FactorRecord.model_validate_json((folder / FORM).read_text())


def test_a_stored_model_answers_and_means_the_same_by_every_way_of_asking(stored):
    policy = Policy.load(stored)
    assert form_named(stored) == "factors"
    assert len(list(stored_layers(policy.model))) == 2 * 4
    reader = reader_of(policy.model)
    ids, places = torch.tensor([[6, 7, 8]]), torch.arange(3)[None]
    with torch.no_grad():
        torch.testing.assert_close(reader.read(ids, places, keep=3), policy.model(ids).logits)
    try_contract(policy)
    whole = tiny_policy().model
    assert size_of(policy.model) < size_of(whole)
    assert bytes_of(policy.model) == 4 * size_of(policy.model)


def test_layers_compute_by_the_first_blocks_and_answer_the_mean_as_before(stored):
    policy, tensors = Policy.load(stored), load_file(stored / WEIGHTS)
    layer = policy.model.get_submodule(FC)
    rank = layer.left.shape[1]
    assert 0 < rank < tensors[f"{FC}.left"].shape[1]
    assert torch.equal(layer.right, tensors[f"{FC}.right"][:rank])
    torch.testing.assert_close(layer(tensors[f"{FC}.mean"]), tensors[f"{FC}.center"])


@cases("share", [0.25, 0.5, 1.0])
def test_one_file_serves_every_budget(stored, folder, share):
    """A budget given when the model is loaded is the model that was cut to those ranks by itself."""
    record, tensors = record_in(stored), load_file(stored / WEIGHTS)
    outline = tiny_policy().model
    shapes = {name: tuple(weight_of(outline.get_submodule(name)).shape) for name in record.layers}
    whole = sum(a * b for a, b in shapes.values())
    budget = Budget(most=share * whole)
    ranks = ranks_bought(record.model_copy(update={"budget": budget}), shapes)
    assert sum(ranks[name] * sum(shapes[name]) for name in ranks) <= share * whole
    for name, rank in ranks.items():
        left, right = tensors[f"{name}.left"][:, :rank], tensors[f"{name}.right"][:rank]
        bias = tensors[f"{name}.center"] - left @ (right @ tensors[f"{name}.mean"])
        outline.get_submodule(name).weight = nn.Parameter((left @ right).T.contiguous())
        outline.get_submodule(name).bias = nn.Parameter(bias)
    ids = torch.tensor([[6, 7, 8, 9]])
    with torch.no_grad():
        found = Policy.load(stored, budget=budget).model(ids).logits
        torch.testing.assert_close(found, outline(ids).logits, rtol=1e-4, atol=1e-4)
    (folder / FORM).write_text(record.model_copy(update={"budget": budget}).model_dump_json())
    assert torch.equal(Policy.load(folder).model(ids).logits, found)


def test_a_budget_in_other_units_buys_by_what_that_costs(stored):
    record = record_in(stored)
    shapes = {
        n: tuple(weight_of(tiny_policy().model.get_submodule(n)).shape) for n in record.layers
    }
    for unit, most in (("milliseconds", 0.95), ("bytes", 4000)):
        ranks = ranks_bought(
            record.model_copy(update={"budget": Budget(unit=unit, most=most)}), shapes
        )
        blocks = sum(
            next(k for k in range(5) if sum(record.layers[n].ranks[:k]) == rank)
            for n, rank in ranks.items()
        )
        sizes = sum(4 * rank * sum(shapes[n]) for n, rank in ranks.items())
        assert (blocks == 9) if unit == "milliseconds" else (0 < sizes <= most)


def test_a_budget_needs_a_factorised_model(saved_policy):
    with pytest.raises(ConfigError, match="Only a factorised model"):
        Policy.load(saved_policy, budget=Budget(most=1))


def test_nothing_bought_leaves_the_mean_answer(stored):
    layer = Policy.load(stored, budget=Budget(most=0)).model.get_submodule(FC)
    center = load_file(stored / WEIGHTS)[f"{FC}.center"]
    torch.testing.assert_close(layer(drawn(2, 3, 16)), center.expand(2, 3, -1))


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), Conv1D(4, 6)], ids=["Linear", "Conv1D"])
def test_what_is_to_be_trained_is_plain_again(layer):
    turned = isinstance(layer, Conv1D)
    factors = Factors(drawn(4, 2), drawn(2, 6))
    low = FactorLinear(factors, layer.bias, turned=turned)
    plain = low.plain()
    assert type(plain) is type(layer)
    states = drawn(3, 6)
    torch.testing.assert_close(plain(states), low(states))
    assert plain.weight.requires_grad
    assert bias_at(factors, drawn(6), drawn(4)).shape == (4,)


def test_a_model_that_is_made_plain_has_no_sub_layers(stored):
    model = make_plain(Policy.load(stored).model)
    assert not list(stored_layers(model))
    assert size_of(model) == size_of(tiny_policy().model)


def change_record(folder, **changes):
    record = json.loads((folder / FORM).read_text())
    (folder / FORM).write_text(json.dumps(record | changes))


def change_layer(folder, **changes):
    record = json.loads((folder / FORM).read_text())
    record["layers"][FC] |= changes
    (folder / FORM).write_text(json.dumps(record))


def change_tensor(folder, name, tensor):
    tensors = load_file(folder / WEIGHTS) | {name: tensor}
    save_file(
        {k: t for k, t in tensors.items() if t is not None}, folder / WEIGHTS, {"format": "pt"}
    )


BLOCK = {"ranks": [1], "gains": [1.0], "milliseconds": [0.1]}
HOSTILE = {
    "no layer": (lambda f: change_record(f, layers={"transformer.h.9": BLOCK}), "is no layer"),
    "a norm": (lambda f: change_record(f, layers={"transformer.ln_f": BLOCK}), "is no layer"),
    "the head": (lambda f: change_record(f, layers={"lm_head": BLOCK}), "is no layer"),
    "a rank of nothing": (lambda f: change_layer(f, ranks=[0, 1, 1, 1]), "cannot be understood"),
    "more ranks than gains": (lambda f: change_layer(f, ranks=[1]), "cannot be understood"),
    "too large a rank": (lambda f: change_layer(f, ranks=[9, 9, 1, 1]), "a rank of 20"),
    "a rank that is not there": (lambda f: change_layer(f, ranks=[1, 1, 1, 1]), "form factors has"),
    "costs of nothing": (
        lambda f: change_layer(f, milliseconds=[0, 1, 1, 1]),
        "cannot be understood",
    ),
    "endless gains": (lambda f: change_layer(f, gains=[1e999, 1, 1, 1]), "cannot be understood"),
    "a negative budget": (lambda f: change_record(f, budget={"most": -1}), "cannot be understood"),
    "a budget in apples": (
        lambda f: change_record(f, budget={"most": 1, "unit": "apples"}),
        "cannot be understood",
    ),
    "no mean": (lambda f: change_tensor(f, f"{FC}.mean", None), "The files lack"),
    "a part that nobody uses is no number": (
        lambda f: change_tensor(f, f"{FC}.right", torch.full((12, 16), torch.nan)),
        "no finite number",
    ),
    "a tensor too many": (
        lambda f: change_tensor(f, f"{FC}.weight", torch.ones(2)),
        "plain, beside",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_foreign_folder_that_lies_is_refused_by_name(folder, case):
    damage, reason = HOSTILE[case]
    damage(folder)
    with pytest.raises(DataError, match=reason):
        Policy.load(folder)


def test_a_form_is_looked_at_before_weights_are_loaded(folder):
    check_files(folder, "policy")
    change_layer(folder, ranks=[1, 1, 1, 1])
    with pytest.raises(DataError, match="form factors has"):
        check_files(folder, "policy")
