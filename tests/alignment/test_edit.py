"""Edited facts: rank-one changes, facts as they are written, and the runs that make and measure them."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from alignment.kinds.edit.facts import Fact, facts_in, facts_of
from alignment.kinds.edit.results import EditResults
from alignment.kinds.edit.run import kept_moment
from alignment.kinds.spec import RunSpec
from alignment.lab.calibration import Texts
from alignment.lab.changing import Original
from alignment.lab.editing import (
    Search,
    damped,
    edit_fact,
    effects_of,
    moment_at,
    writing_layers,
)
from alignment.lab.facts import Reading, most_probable, nats_of
from alignment.lab.layers import seen_by
from alignment.lab.reach import known_of, measured_reach
from alignment.maths.editing import disturbance, edit_of, least_disturbance
from alignment.models.policies import Policy
from alignment.models.texts import Written
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import CheckpointSaved, Finished, StepDone, Stopped
from alignment.seam.folders import committed, verify
from alignment.seam.records import write_jsonl
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.alignment.test_loop import records
from tests.cases import cases

SHORT = {
    "max_new_tokens": 6, "held_out_prompts": 8, "prompts": 8, "completions_per_prompt": 1, "contexts": 1,
    "reading": "text", "most_change": 50,
}  # fmt: skip
LINES = "sun | good now sun | rain | a now sun | a day now; bad night\nnight | good night | day"
SEARCH = Search(steps=20, learning_rate=0.5, closeness=0.0625, most_change=50.0)
WEIGHTS = "model.safetensors"


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def moment():
    keys = drawn(50, 6, seed=1) * torch.arange(1.0, 7)
    return (keys.T @ keys / 50).double()


def test_an_edit_answers_its_key_and_disturbs_others_least(moment):
    """Of other changes that answer the key as well, none disturbs less; the least has a closed form."""
    weight, key, value = drawn(4, 6), drawn(6, seed=2), drawn(4, seed=3)
    edit = edit_of(weight, key, value, moment)
    torch.testing.assert_close((weight.double() + edit.change) @ key.double(), value.double())
    found = disturbance(edit.change, moment)
    assert found == pytest.approx(least_disturbance(edit.left, key, moment), rel=1e-10)
    for seed in range(5):
        other = drawn(4, 6, seed=10 + seed).double()
        other -= (other @ key.double())[:, None] * key.double() / key.double().square().sum()
        assert disturbance(edit.change + 0.01 * other, moment) > found


def test_facts_are_read_from_lines_and_from_objects(tmp_path):
    facts = facts_in(LINES, "Facts")
    assert facts[0].neighbours == ("a day now", "bad night")
    assert facts[1] == Fact(subject="night", prompt="good night", answer="day")
    row = {"subject": "sun", "prompt": "a sun", "answer": "b", "old": "a"}
    (tmp_path / "facts.jsonl").write_text(f"\n{json.dumps(row)}\n{LINES}\n")
    assert [one.answer for one in facts_of(tmp_path / "facts.jsonl")] == ["b", "rain", "day"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("sun | a sun", "line 1: write subject"),
        ("\nsun | a day | b", "line 2: “a day” does not name “sun”"),
        ("sun | a sun | b | a day", "“a day” does not name"),
        ("sun | a sun | ", "answer: "),
        ('{"subject": "sun"}', "prompt: Field required"),
        ('{"subject": ', "line 1: "),
        ("{" + '"a":' * 3 + "}", "line 1"),
        ("\n".join(["sun | a sun | b"] * 1001), "1,001 facts"),
    ],
)
def test_what_is_no_fact_is_refused_by_its_line(lines, reason):
    with pytest.raises(DataError, match=reason):
        facts_in(lines, "Facts")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "facts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        facts_of(tmp_path / "facts")


def llama_policy():
    """A random Llama of two layers and width 16."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
        initializer_range=0.3, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return Policy(LlamaForCausalLM(config).eval(), tiny_tokenizer())


POLICIES = {"gpt2": tiny_policy, "llama": llama_policy}
FACT = Fact(
    subject="sun", prompt="good now sun", answer="rain", old="night", neighbours=("a day now",)
)


@cases("name", POLICIES)
@cases("way", ["conversation", "text"])
def test_a_fact_holds_after_its_edit_in_both_families(name, way):
    policy = POLICIES[name]()
    reading = Reading(policy, way)
    layer_name, layer = writing_layers(policy.model)[0]
    assert isinstance(layer, Conv1D if name == "gpt2" else nn.Linear), layer_name
    rows = [Written(reading.ids(one.messages[-1].content), (6, 7)) for one in records(8)]
    moment = damped(moment_at(policy, rows, layer), 0.01)
    check = known_of(reading, FACT)
    others = {n: one.clone() for n, one in policy.model.state_dict().items() if layer_name not in n}
    done = edit_fact(reading, layer, moment, FACT, SEARCH)
    assert done.missed < 1e-5
    assert abs(done.excess) < 1e-5
    reach = measured_reach(reading, check)
    assert reach.likelier > (
        0 if way == "text" else check.likelier
    )  # a template's words come between
    assert all(torch.equal(policy.model.state_dict()[n], one) for n, one in others.items())
    with torch.no_grad():
        layer.weight.copy_(done.weight.T if isinstance(layer, Conv1D) else done.weight)
    again = measured_reach(reading, check)
    assert (again.likelier, again.said) == (check.likelier, check.said)
    assert again.neighbour_kl == pytest.approx(0, abs=1e-9)


def test_the_moment_is_that_of_what_the_layer_reads():
    policy = tiny_policy()
    name, layer = writing_layers(policy.model)[1]
    rows = [Written((5, 6, 7), (8, 9)), Written((6,), (7, 1))]
    seen = dict(seen_by(policy, rows, {name: layer}))[name].inputs.double()
    torch.testing.assert_close(moment_at(policy, rows, layer), seen.T @ seen / len(seen))


def test_a_subject_is_found_where_a_prompt_names_it_last(policy):
    reading = Reading(policy, "text")
    ids = reading.ids("a sun good sun now")
    assert reading.subject(ids, "sun") == (3, 3)
    assert reading.subject(ids, "good sun") == (2, 3)
    with pytest.raises(DataError, match="do not spell"):
        reading.subject(ids, "moon")


def test_answers_stand_behind_prompts_as_the_model_reads_them(policy):
    text, turn = Reading(policy, "text"), Reading(policy, "conversation")
    (ends,) = policy.tokenizer("sun")["input_ids"]
    assert text.answer("a good", "sun") == turn.answer("a good", "sun") == (ends,)
    row = turn.written("a good", (ends,))
    assert row.prompt == turn.ids("a good")
    logits = policy.model(torch.tensor([row.prompt])).logits[0, -1].log_softmax(-1)
    assert nats_of(policy, [row])[0] == pytest.approx(-logits[ends].item(), rel=1e-4)
    assert most_probable(policy, [row.prompt], 1)[0] == (logits.argmax().item(),)
    with pytest.raises(DataError, match="tokens"):
        text.ids("a " * 40)


def test_layers_bring_back_what_a_blurred_subject_lost(policy):
    """All layers undisturbed bring back at most all of it; where only one is there, window and layer agree."""
    reading = Reading(policy, "text")
    old = known_of(reading, FACT).old
    effects = effects_of(reading, FACT, old, seed=0)
    assert len(effects) == 2
    assert max(map(abs, effects)) > 1e-4
    assert effects == effects_of(reading, FACT, old, seed=0)


def test_models_without_such_layers_are_refused(policy):
    with pytest.raises(ConfigError, match="GPT-2 and Llama"):
        writing_layers(policy.model.transformer.wte)


@pytest.fixture(scope="module")
def start(saved_policy, tmp_path_factory):
    """The events of a run in a folder of its own, which is asked to save after so many steps."""
    rows = records(16)

    def run(saved_after=0, resume=None, cache=None, file="", **config):
        folder = tmp_path_factory.mktemp("run")
        for name, some in (("prompts", rows[:8]), ("held_out", rows[8:])):
            write_jsonl(folder / f"{name}.jsonl", some)
        inputs = {
            "policy": str(saved_policy),
            "prompts": "prompts.jsonl",
            "held_out": "held_out.jsonl",
        }
        if file:
            (folder / "facts.jsonl").write_text(file)
            inputs["facts"] = "facts.jsonl"
        spec = RunSpec(
            kind="edit", run=1, epoch=1, seed=3, config=SHORT | {"lines": LINES} | config,
            inputs=inputs, resume_from=resume, cache=cache,
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
    return start()


def summary_of(events):
    assert isinstance(events[-1], Finished)
    return dict(events[-1].summary)


def test_a_run_makes_a_model_that_says_the_facts_and_tells_what_else_changed(whole, saved_policy):
    folder, events = whole
    verify(folder / "output")
    summary = summary_of(events)
    EditResults.model_validate(summary)
    assert summary["efficacy"]["value"] == 1
    assert summary["generality"]["n"] == summary["locality"]["n"] == 1
    assert all(row["holds"] for row in summary["checks"])
    assert len(summary["checks"]) == 3
    assert [row["held_at_once"] for row in summary["facts"]] == [True, True]
    assert summary["facts"][0]["before"] != summary["facts"][0]["after"]
    assert len(summary["effects"]) == 2
    assert summary["kl_token"]["n"] == 8
    before, after = (load_file(one / WEIGHTS) for one in (saved_policy, folder / "output"))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == [f"transformer.h.{summary['layer']}.mlp.c_proj.weight"]
    change = after[changed[0]] - before[changed[0]]
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 2


def test_a_run_that_was_saved_goes_on_to_the_same_weights(start, whole):
    first, stopped = start(saved_after=1)
    assert isinstance(stopped[-1], Stopped)
    saved = next(event for event in stopped if isinstance(event, CheckpointSaved))
    folder, rest = start(resume=str(first / saved.path))
    one, other = (load_file(each / "output" / WEIGHTS) for each in (whole[0], folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert summary_of(rest)["facts"] == summary_of(whole[1])["facts"]


def test_keys_are_kept_for_the_next_edit_of_the_same_model_and_layer(tmp_path, saved_policy):
    with committed(tmp_path / "sealed") as aside:
        Policy.load(saved_policy).save(aside)
    policy = Policy.load(tmp_path / "sealed")
    rows = [Written((5, 6, 7), (8, 9))]
    original = Original(policy, tmp_path / "sealed", lambda: Texts(rows, ["a"]), after=0)
    spec = RunSpec(kind="edit", run=1, epoch=1, config={}, inputs={}, cache=str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    layers = writing_layers(policy.model)
    first = kept_moment(spec, original, rows, layers[0])
    with torch.no_grad():
        layers[0][1].weight.zero_()
        policy.model.transformer.wte.weight.zero_()
    assert torch.equal(kept_moment(spec, original, rows, layers[0]), first)
    assert not torch.equal(kept_moment(spec, original, rows, layers[1]), first)
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"lines": ""}, "Write down a fact"),
        ({"layer": 7}, "there is no layer 7"),
    ],
)
def test_what_is_missing_is_said(start, config, reason):
    with pytest.raises(ConfigError, match=reason):
        start(**config)
