"""Learning from what is there already: in parts, with an adapter, across a pause."""

import json
import math
import shutil
from dataclasses import replace
from itertools import product

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from alignment.kinds.prefer.run import pairs_of, preference_step, thumb_step, thumbs_of
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.sft.run import imitation_step
from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.models.lora import trained
from alignment.models.policies import Policy
from alignment.models.texts import written
from alignment.models.training import Trainee, backward, in_parts
from alignment.reward import RewardModel
from alignment.reward.model import HEAD
from alignment.reward.model import REWARD as REWARD_FILE
from alignment.seam.errors import ConfigError
from alignment.seam.events import CheckpointSaved, Finished, Ready, StepDone
from alignment.seam.folders import MANIFEST, committed
from alignment.seam.records import DemonstrationRecord, ThumbRecord, write_jsonl
from alignment.trainer import runner
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair
from tests.cases import cases

WORDS = ["day", "night", "sun", "rain"]
PAIRS = [
    a_pair(" ".join(pick), f"{pick[0]} good " * (1 + place % 3), "bad day night")
    for place, pick in enumerate(product(WORDS, repeat=2))
]
SAID = [DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen) for pair in PAIRS]
QUICK = {"batch": 4, "epochs": 2, "held_out": 0.3, "learning_rate": 5e-3}
KINDS = {"sft": ("demonstrations", SAID), "prefer": ("pairs", PAIRS)}
REWARD = {"reward": ("pairs", PAIRS)}  # which has heads, and makes no policy
EVERY = KINDS | REWARD
FROZEN = {"trunk": "frozen", "heads": 3, "annotators": "reliability"}


@pytest.fixture
def start(policy_folder, tmp_path):
    """The generator of a run of this kind; its folder is tmp_path or one below it."""

    def begin(kind, place=".", resume=None, inputs=(), **config):
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        name, rows = EVERY[kind]
        write_jsonl(folder / "rows.jsonl", rows)
        models = dict.fromkeys(("policy", "reference", "backbone"), str(policy_folder))
        given = models | {name: "rows.jsonl"} | dict(inputs)
        told = QUICK | config
        spec = RunSpec(
            kind=kind, run=1, epoch=1, seed=4, config=told, inputs=given, resume_from=resume
        )
        return runner(kind)(spec, folder)

    return begin


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def weights(folder, file="model"):
    return load_file(folder / "output" / f"{file}.safetensors")


LORA = {"lora_rank": 2}
HOW = {
    "whole": {},
    "LoRA": LORA,
    "LoRA by chance": LORA | {"lora_dropout": 0.4, "rslora": True, "lora_targets": "mlp"},
    "scheduled": {"schedule": "cosine", "warmup_share": 0.4, "weight_decay": 0.3},
    "best of all looks": {"evaluate_every": 1, "kept": "best", "patience": 1, "learning_rate": 0.1},
    "by tokens": {"most_tokens": 90},
}


@cases(
    ("kind", "how"),
    [
        *product(EVERY, HOW.values()),
        ("reward", FROZEN),
        ("reward", HOW["LoRA by chance"] | HOW["best of all looks"] | {"heads": 3}),
        ("reward", HOW["best of all looks"] | FROZEN),
    ],
    quick=[("sft", {}), ("prefer", {}), ("reward", {})],
)
def test_a_saved_run_continues_bit_by_bit(start, tmp_path, kind, how):
    whole = list(start(kind, "whole", **how))
    run, events = start(kind, **how), []
    asked = None
    while not of(events, CheckpointSaved):
        events.append(run.send(asked))
        asked = "save" if len(of(events, StepDone)) == 2 else None
    with pytest.raises(StopIteration):
        run.send(asked)
    again = list(start(kind, resume=events[-1].path, **how))
    (ready,) = of(again, Ready)
    assert (ready.resumed_step, ready.bit_exact) == (2, True)
    steps = [event.step for event in of(again, StepDone)]
    assert steps == [event.step for event in of(whole, StepDone)][2:]
    for file in ("model", "head")[: 1 + (kind == "reward")]:
        one, other = weights(tmp_path / "whole", file), weights(tmp_path, file)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert of(again, Finished)[0].summary == of(whole, Finished)[0].summary


def test_checkpoints_come_as_often_as_asked(start):
    events = list(start("sft", checkpoint_every=2))
    last = of(events, StepDone)[-1].step
    assert [event.step for event in of(events, CheckpointSaved)] == list(range(2, last + 1, 2))


@cases("kind", KINDS)
def test_an_adapter_learns_and_becomes_part_of_a_whole_model(start, tmp_path, policy, kind):
    list(start(kind, lora_rank=4, epochs=4, learning_rate=2e-2))
    after = Policy.load(tmp_path / "output")
    assert not any("lora" in name for name in weights(tmp_path))
    ids = torch.arange(16)[None]
    assert (after.model(ids).logits - policy.model(ids).logits).abs().max() > 0.1


@cases("kind", [*KINDS, "reward"])
def test_precision_and_recomputing_are_offered_and_change_little(start, kind):
    plain = of(start(kind, "plain"), StepDone)[0].metrics
    how = {"precision": "bf16", "gradient_checkpointing": True}
    found = of(start(kind, "other", **how), StepDone)[0].metrics
    assert found["loss"] == pytest.approx(plain["loss"], rel=0.05)
    assert found["grad/norm"] == pytest.approx(plain["grad/norm"], rel=0.1)
    assert plain["grad/norm"] > 0
    exact = of(start(kind, "exact", gradient_checkpointing=True), StepDone)[0].metrics
    assert exact["grad/norm"] == pytest.approx(plain["grad/norm"], rel=1e-6)


def test_a_backbone_learns_by_an_adapter_and_is_whole_again(start, tmp_path, policy):
    (finished,) = of(start("reward", lora_rank=4, epochs=4, learning_rate=2e-2), Finished)
    after, before = weights(tmp_path), policy.model.transformer.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert "h.0.attn.c_attn.weight" in changed
    assert "wte.weight" not in changed
    assert finished.summary["parameters"] == sum(map(torch.numel, after.values())) + 16


def test_a_reward_model_keeps_its_adapter_with_the_heads_that_read_it(start, tmp_path, policy):
    list(start("reward", lora_rank=2, keep_adapter=True, epochs=1))
    place, model = tmp_path / "output" / "adapter", RewardModel.load(tmp_path / "output")
    read = PeftModel.from_pretrained(policy.model.transformer, str(place)).eval()
    found, ids = replace(model, trunk=replace(model.trunk, model=read)), [[5, 6, 7], [8, 9]]
    torch.testing.assert_close(found.raw(ids), model.raw(ids), atol=1e-5, rtol=0)
    assert json.loads((place / "adapter_config.json").read_text())["task_type"] == (
        "FEATURE_EXTRACTION"
    )
    heads = load_file(place / HEAD)
    assert all(torch.equal(weight, heads[n]) for n, weight in model.head.state_dict().items())
    assert (place / REWARD_FILE).read_text() == (tmp_path / "output" / REWARD_FILE).read_text()
    with pytest.raises(ValidationError, match="says nothing without"):
        RewardConfig(keep_adapter=True)


def thumbs():
    rows = [(pair.prompt, pair.chosen, pair.rejected) for pair in PAIRS]
    return [
        ThumbRecord(prompt=prompt, completion=said if place % 2 else other, good=bool(place % 2))
        for place, (prompt, said, other) in enumerate(rows)
    ]


def losses_of(policy, reference):
    """Every loss that is taken in parts, of a policy."""
    rows = [written(policy, row.prompt.messages, row.completion) for row in SAID]
    pairs = pairs_of(reference, PAIRS)
    kto = PreferConfig(loss="kto")
    return {
        "sft": imitation_step(policy, rows),
        "f_dpo": preference_step(policy, reference, pairs, PreferConfig()),
        "kto": preference_step(policy, reference, pairs, kto),
        "thumbs": thumb_step(policy, reference, thumbs_of(reference, thumbs()), kto),
    }


@pytest.mark.parametrize("name", ["sft", "f_dpo", "kto", "thumbs"])
def test_a_loss_in_parts_has_the_same_gradient_and_metrics(policy, monkeypatch, name):
    other = tiny_policy(seed=3)
    loss_of, places = losses_of(other, policy)[name], list(range(11))

    def taken():
        other.model.zero_grad()
        metrics = backward(loss_of(places))
        return metrics, [weight.grad.clone() for weight in trained(other.model).values()]

    monkeypatch.setattr("alignment.models.training.budget", lambda device: 10**6)
    assert len(list(loss_of(places))) == 1
    whole, expected = taken()
    monkeypatch.setattr("alignment.models.training.budget", lambda device: 20)
    assert len(list(loss_of(places))) > 2
    parts, found = taken()
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-7)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_parts_hold_rows_of_similar_length_and_all_of_them(policy, monkeypatch):
    monkeypatch.setattr("alignment.models.training.budget", lambda device: 10)
    parts = list(in_parts(policy, [3, 9, 2, 50, 3]))
    assert sorted(place for part in parts for place in part) == [0, 1, 2, 3, 4]
    assert parts[0] == [3]
    assert parts[-1] == [2, 0, 4]


def test_an_adapter_is_not_held_in_parts(policy, monkeypatch):
    monkeypatch.setenv("ATTUNE_SHARDING", "fsdp")
    monkeypatch.setattr("alignment.models.training.world", lambda: type("W", (), {"size": 2}))
    with pytest.raises(ConfigError, match="unset ATTUNE_SHARDING"):
        Trainee.of(policy, SftConfig(lora_rank=2), seed=0)


@pytest.mark.parametrize("kind", ["sft", "reward"])
def test_a_checkpoint_of_an_adapter_holds_the_adapter_alone(start, tmp_path, kind):
    list(start(kind, lora_rank=2, checkpoint_every=2))
    newest = sorted(tmp_path.glob("ckpt-*"))[-1]
    assert not (newest / "policy").exists()
    assert any(name.startswith("adapter/") for name in load_file(newest / "state.safetensors"))
    assert json.loads((newest / "state.json").read_text())["step"] > 0


def test_a_checkpoint_of_before_there_were_bounds_goes_on(start, policy_folder, tmp_path):
    """Reward models numbered their weights as they stand, and told no time."""
    whole = list(start("reward", "whole"))
    list(start("reward", checkpoint_every=2))
    shutil.rmtree(tmp_path / "output")
    tensors = load_file(tmp_path / "ckpt-000002" / "state.safetensors")
    own = list(RewardModel.fresh(policy_folder).trunk.model.parameters())
    stood = sorted(
        range(len(own)), key=lambda place: own[place].ndim < 2
    )  # as they are numbered now
    numbers = {str(now): str(old) for now, old in enumerate(stood)}
    older = {}
    for name, tensor in tensors.items():
        kind, rest = name.split("/", 1)
        number, _, what = rest.partition(".")
        moved = kind == "optimizer"
        older[f"{kind}/{numbers.get(number, number)}.{what}" if moved else name] = tensor
    with committed(tmp_path / "older") as folder:
        shutil.copytree(tmp_path / "ckpt-000002", folder, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()
        save_file(older, folder / "state.safetensors")
        facts = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({n: facts[n] for n in ("step", "machine")}))
    again = list(start("reward", resume="older"))
    one, other = weights(tmp_path / "whole"), weights(tmp_path)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert of(again, Finished)[0].summary == of(whole, Finished)[0].summary


@pytest.mark.parametrize("kind", ["prefer", "reward"])
def test_a_run_with_more_epochs_goes_on_as_if_it_had_had_them(start, tmp_path, kind):
    level = {"schedule": "constant", "warmup_share": 0, "keep_end": True}
    list(start(kind, "long", **level, epochs=3))
    short = of(list(start(kind, "short", **level, epochs=1)), CheckpointSaved)[-1]
    list(start(kind, resume=str(tmp_path / "short" / short.path), **level, epochs=3))
    one, other = weights(tmp_path / "long"), weights(tmp_path)
    assert all(torch.equal(one[name], other[name]) for name in one)


def rates(events):
    return [event.metrics["lr"] / QUICK["learning_rate"] for event in of(events, StepDone)]


@pytest.mark.parametrize("kind", ["sft", "reward"])
def test_a_rate_goes_as_the_schedule_says(start, kind):
    constant = rates(start(kind, "constant", schedule="constant", warmup_share=0.0))
    assert set(constant) == {1.0}
    (first, *_), last = (found := rates(start(kind, "cosine", schedule="cosine"))), found[-1]
    assert (first, last) == (1.0, pytest.approx(0.5 - 0.5**1.5))  # a quarter is left
    assert rates(start(kind, "slow", warmup_share=0.5))[:2] == [0.5, 1.0]


@pytest.mark.parametrize(("kind", "bound"), [("sft", 150), ("reward", 300)])
def test_a_bound_of_tokens_ends_a_run_at_its_rate_s_end(start, kind, bound):
    whole, short = (list(start(kind, str(n), epochs=5, most_tokens=n)) for n in (0, bound))
    assert 1 < len(of(short, StepDone)) < len(of(whole, StepDone))
    assert rates(short)[-1] < 0.5
    assert of(short, Finished)[0].summary["stopped_by"] == "tokens"
    assert "stopped_by" not in of(whole, Finished)[0].summary


def test_a_run_stops_where_nothing_more_is_gained_and_keeps_its_best(start, tmp_path):
    settings = {"evaluate_every": 1, "patience": 2, "epochs": 30, "learning_rate": 0.1}
    events = list(start("sft", kept="best", **settings))
    seen = {event.step: event.metrics["heldout/loss"] for event in of(events, StepDone)}
    best, summary = min(seen, key=seen.get), of(events, Finished)[0].summary
    assert (summary["stopped_by"], summary["best_step"]) == ("patience", best)
    assert len(seen) == best + 2
    assert summary["nll"]["value"] == pytest.approx(seen[best], rel=0.2)  # of prompts, not of rows
    after = of(list(start("sft", "last", **settings)), Finished)[0].summary
    assert after["nll"]["value"] > summary["nll"]["value"]


@pytest.mark.parametrize("how", [{}, FROZEN | {"heads": 5}])
def test_a_reward_model_keeps_its_best_and_further_fits_take_as_long(start, how):
    settings = {"evaluate_every": 1, "patience": 2, "epochs": 30, "learning_rate": 0.1}
    settings |= {"ties": "drop", "folds": 2, "annotators": "ignore"}
    events = list(start("reward", kept="best", **how | settings))
    steps, summary = of(events, StepDone), of(events, Finished)[0].summary
    looks = [one for one in steps if "heldout/loss" in one.metrics]
    best = min(looks, key=lambda one: one.metrics["heldout/loss"])
    assert (summary["stopped_by"], summary["best_step"]) == ("patience", best.step)
    assert len(looks) == best.step + 2
    assert summary["nll"]["value"] == pytest.approx(best.metrics["heldout/loss"], rel=1e-4)
    assert summary["accuracy"]["value"] == best.metrics["heldout/accuracy"]
    assert "accuracy_crossvalidated" in summary
    numbers, further = [one.step for one in steps], len(steps) - len(looks)
    assert numbers == sorted(set(numbers))
    share, each = best.step / (30 * math.ceil(summary["pairs_train"] / 4)), 30 * 2  # of 8 labels
    assert further == 2 * round(share * each)


def test_a_reward_model_may_learn_from_all_labels(start, tmp_path):
    (finished,) = of(start("reward", held_out=0, folds=2), Finished)
    summary = finished.summary
    assert (summary["pairs_train"], summary["pairs_heldout"]) == (len(PAIRS), 0)
    assert not {"accuracy", "nll", "temperature"} & set(summary)
    assert summary["accuracy_crossvalidated"]["n"] == len(PAIRS)
    assert RewardModel.load(tmp_path / "output").temperature == 1
    with pytest.raises(ValidationError, match="nothing would be held out to measure"):
        RewardConfig(held_out=0, learning_curve="measure")


@pytest.mark.parametrize("setting", [{"most_minutes": 5}, {"most_tokens": 9}, {"keep_end": True}])
def test_heads_alone_have_no_bounds(setting):
    with pytest.raises(ValidationError, match="frozen does not read"):
        RewardConfig(trunk="frozen", **setting)


def test_what_is_held_out_is_looked_at_as_often_as_asked(start):
    events = of(start("prefer", evaluate_every=3), StepDone)
    looked = [event.step for event in events if "heldout/accuracy" in event.metrics]
    assert looked == sorted({*range(3, len(events), 3), len(events)})


def test_nothing_held_out_is_learned_from_and_not_looked_at(start):
    summary = of(list(start("sft", held_out=0)), Finished)[0].summary
    assert (summary["demonstrations_train"], summary["demonstrations_heldout"]) == (len(SAID), 0)
    assert "nll" not in summary
    with pytest.raises(ValidationError, match="nothing would be held out"):
        PreferConfig(held_out=0, evaluate_every=1)


@pytest.mark.parametrize("kind", EVERY)
def test_examples_of_their_own_measure_a_run(start, tmp_path, kind):
    _name, rows = EVERY[kind]
    of_others = {} if kind == "sft" else {"annotator": "another"}
    write_jsonl(tmp_path / "others.jsonl", [one.model_copy(update=of_others) for one in rows[:4]])
    own = {"evaluation": str(tmp_path / "others.jsonl")}
    more = {"annotators": "reliability", "folds": 2} if kind == "reward" else {}
    summary = of(list(start(kind, evaluate_on="own", inputs=own, **more)), Finished)[0].summary
    assert summary.get("accuracy_crossvalidated", {"n": 12})["n"] == 12  # of what is learned from
    what = "demonstrations" if kind == "sft" else "pairs"
    assert (summary[f"{what}_train"], summary[f"{what}_heldout"]) == (len(rows) - 4, 4)


@pytest.mark.parametrize("kind", ["sft", "reward"])
def test_only_matrices_decay(start, tmp_path, kind):
    for decay in (0, 10):
        list(start(kind, str(decay), weight_decay=decay, learning_rate=1e-4, epochs=1))
    plain, pulled = weights(tmp_path / "0"), weights(tmp_path / "10")
    shrunk = {name for name in plain if pulled[name].norm() < 0.999 * plain[name].norm()}
    assert shrunk == {name for name in plain if plain[name].ndim > 1}
