"""Where runs start: one model is one model, and what is another says how far away it is."""

import pytest
import torch

from alignment.command_line.terminal import start_in_words
from alignment.kinds.align import run as loop
from alignment.kinds.spec import RunSpec
from alignment.models.inputs import same_model
from alignment.models.lora import adapted, shared
from alignment.models.policies import Policy
from alignment.objectives.problem import Problem, begin
from alignment.objectives.start import check_equal, start_of
from alignment.seam.errors import ConfigError, DataError, StartError
from alignment.seam.events import Checked, Finished, StepDone
from alignment.seam.records import PairRecord, write_jsonl
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.alignment.test_loop import SMALL, records
from tests.architectures import ARCHITECTURES, policy_of, saved
from tests.cases import cases

AGREES = [
    name
    for name in ARCHITECTURES
    if name
    not in {
        "falcon_mamba", "mamba", "mamba2", "minimax", "nemotron_h", "openai-gpt", "recurrent_gemma", "rwkv", "xlstm",
    }
]  # fmt: skip


NO_ADAPTERS = {"phimoe", "falcon_h1"}  # of those that PEFT can name, in the pinned versions


@pytest.fixture
def run(tmp_path):
    """The events of a run of a kind, with models by role in folders of their own."""

    def start(kind, config, **models):
        inputs = {role: str(path) for role, path in models.items()}
        if kind == "prefer":
            rows = [PairRecord(prompt=one, chosen="sun", rejected="rain") for one in records(8)]
            write_jsonl(tmp_path / "pairs.jsonl", rows)
            inputs["pairs"] = "pairs.jsonl"
        else:
            write_jsonl(tmp_path / "prompts.jsonl", records(8))
            inputs["prompts"] = "prompts.jsonl"
        spec = RunSpec(kind=kind, run=1, epoch=1, config=config, inputs=inputs)
        return list(drive(spec, tmp_path))

    return start


@pytest.fixture
def model(tmp_path):
    def make(name, **changes):
        tiny_policy(**changes).save(tmp_path / name)
        return tmp_path / name

    return make


SHORT = SMALL | {"steps": 2, "reward_weight": 0.0, "more_rules": "1 contains sun"}
POPULATION = {name: value for name, value in SHORT.items() if name != "divergence"}
KINDS = {
    "align": SHORT,
    "population": POPULATION | {"divergences": ["forward_kl", "reverse_kl"]},
    "prefer": {"epochs": 1, "batch": 4},
}


def start_in(events):
    (checked,) = [event for event in events if isinstance(event, Checked)]
    summary = events[-1].summary
    assert (checked.kl_start is None) == ("kl_start" not in summary)
    if checked.kl_start is not None:
        assert summary["kl_start"] == checked.kl_start.model_dump()
    return checked.kl_start


@cases("kind", KINDS)
def test_a_run_from_its_reference_starts_there(run, model, kind):
    folder = model("one")
    events = run(kind, KINDS[kind], policy=folder, reference=folder)
    assert start_in(events) is None


@cases("kind", KINDS)
def test_a_copy_of_the_reference_is_the_reference(run, model, kind):
    assert same_model(model("one"), model("copy"))
    events = run(kind, KINDS[kind], policy=model("copy"), reference=model("one"))
    assert start_in(events) is None


@cases("kind", KINDS)
def test_a_run_from_elsewhere_says_how_far_away_it_starts(run, model, kind):
    events = run(kind, KINDS[kind], policy=model("one", seed=1), reference=model("other"))
    start = start_in(events)
    assert start.unit == "nats"
    assert start.low < start.value < start.high
    assert start.value > 0.01
    assert start.n > 1


@cases("changes", [{}, {"lora_rank": 2}, {"precision": "bf16"}, {"gradient_checkpointing": True}])
def test_a_policy_that_is_not_what_its_folder_says_ends_the_run_before_it_trains(
    run, model, monkeypatch, changes
):
    """As where a loader leaves a layer random."""
    folder = model("one")
    whole = loop.begin

    def damaged(problem):
        state = whole(problem)
        with torch.no_grad():
            for name, weight in state.policy.model.named_parameters():
                if "mlp.c_proj" in name:
                    weight += torch.randn(weight.shape)
        return state

    assert start_in(run("align", SHORT | changes, policy=folder, reference=folder)) is None
    monkeypatch.setattr(loop, "begin", damaged)
    if "lora_rank" not in changes:  # whose reference is the same, damaged, model
        with pytest.raises(StartError, match="before the first step they differ"):
            run("align", SHORT | changes, policy=folder, reference=folder)


def test_rounding_is_no_difference_and_a_number_that_is_none_is(policy):
    logps = torch.tensor([[-3.0, -20.0]])
    check_equal(policy, logps + 1e-6, logps)
    with pytest.raises(StartError):
        check_equal(policy, logps + 1e-4, logps)
    with pytest.raises(StartError):
        check_equal(policy, logps * torch.nan, logps)


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies_of_another_width_are_refused_before_anything_is_loaded(
    run, model, monkeypatch, kind
):
    models = {"policy": model("padded", vocabulary=24), "reference": model("bare")}
    monkeypatch.setattr(Policy, "load", None)
    with pytest.raises(ConfigError, match="to 24 outputs and the reference to 16, padding"):
        run(kind, KINDS[kind], **models)


def test_an_evaluation_of_another_width_is_refused_before_it_draws(run, model, monkeypatch):
    models = {"policy": model("padded", vocabulary=24), "reference": model("bare")}
    monkeypatch.setattr(Policy, "load", None)
    with pytest.raises(ConfigError, match="to 24 outputs"):
        run("evaluate", {"judge": "none"}, **models)


def test_in_words_the_start_has_its_interval(run, model):
    events = run("align", SHORT, policy=model("one", seed=1), reference=model("other"))
    words = start_in_words(start_in(events))
    assert words.startswith("The policy starts 6.2 nats (4.3 to 8.2)")
    assert words.endswith("from the reference, by 8 prompts.")


def test_an_architecture_that_takes_no_adapter_is_refused_in_words():
    policy = policy_of("falcon_h1", tiny_tokenizer())
    with pytest.raises(DataError, match="trained whole, with a rank of 0"):
        adapted(policy, 2, seed=0)


@pytest.mark.prove
@pytest.mark.parametrize("name", AGREES)
@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}], ids=["whole", "lora"])
def test_every_architecture_starts_at_its_reference(tmp_path, name, changes):
    folder = saved(name, tiny_tokenizer(), tmp_path / name)
    if changes and name in NO_ADAPTERS:
        with pytest.raises(DataError, match="trained whole, with a rank of 0"):
            adapted(Policy.load(folder), 2, seed=0)
        return
    assert start_of(*begun(folder, changes, same=True)) is None
    assert start_of(*begun(folder, changes, same=False)).value == pytest.approx(0, abs=1e-6)


def begun(folder, changes, *, same):
    """An alignment of a model, from itself, and its first state."""
    reference = Policy.load(folder)
    problem = Problem(
        prompts=records(4),
        start=folder,
        reference=shared(reference) if changes else reference,
        reward=loop.no_reward,
        config=loop.AlignConfig(**SHORT | changes),
        same=same,
    )
    return problem, begin(problem)


def test_a_run_that_goes_on_still_says_where_it_started(run, model, tmp_path):
    config = SHORT | {"steps": 4, "checkpoint_every": 2}
    models = {"policy": model("one", seed=1), "reference": model("other")}
    first = start_in(run("align", config, **models))
    inputs = {role: str(path) for role, path in models.items()} | {"prompts": "prompts.jsonl"}
    spec = RunSpec(
        kind="align", run=1, epoch=2, config=config, inputs=inputs, resume_from="ckpt-000002"
    )
    events = list(drive(spec, tmp_path))
    assert [event.step for event in events if isinstance(event, StepDone)] == [3, 4]
    assert isinstance(events[-1], Finished)
    assert start_in(events) == first
