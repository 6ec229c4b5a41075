"""Runs that distil a model: what the student learns, what they make, how they go on."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.distil.results import DistilResults
from alignment.kinds.distil.run import checks_of
from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.pretrain.settings import Dimensions
from alignment.kinds.spec import RunSpec
from alignment.lab.calibration import Texts
from alignment.lab.distilling import (
    TeacherPair,
    distance_from_teacher,
    divided_texts,
    own_losses,
    own_step,
    soft_step,
)
from alignment.lab.encoders import (
    HiddenTokens,
    hidden_losses,
    hidden_step,
    load_encoder,
    texts_read,
    told_by,
)
from alignment.lab.students import block_sizes, student_of
from alignment.maths.divergences import DIVERGENCES
from alignment.models.policies import Policy
from alignment.models.texts import Written
from alignment.models.training import backward
from alignment.objectives.fdpg import fdpg
from alignment.objectives.samples import Term, draw
from alignment.objectives.steps import Lesson
from alignment.objectives.steps import backward as learn
from alignment.objectives.toy import toy_policy, toy_problem, toy_state
from alignment.pretraining.architectures import new_masked
from alignment.seam.errors import ConfigError
from alignment.seam.events import CheckpointSaved, Finished, Ready, StepDone, Stopped
from alignment.seam.folders import verify
from alignment.seam.records import PairRecord, write_jsonl
from alignment.targets.targets import no_reward
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.alignment.test_loop import records
from tests.cases import cases

SHORT = {
    "max_new_tokens": 6, "held_out_prompts": 8, "prompts": 16, "completions_per_prompt": 1,
    "answers_per_prompt": 2, "steps": 6, "learning_rate": 0.01, "layers": 1,
}  # fmt: skip
SOFT = {"batch": 8}
OWN = {"objective": "on_policy", "prompts_per_step": 4, "samples_per_prompt": 4}
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def start(saved_policy, tmp_path_factory):
    """The events of a run in a folder of its own, which is asked to save after so many steps."""
    rows = records(24)

    def run(saved_after=0, resume=None, student=None, policy=saved_policy, **config):
        folder = tmp_path_factory.mktemp("run")
        for name, some in (("prompts", rows[:16]), ("held_out", rows[16:])):
            write_jsonl(folder / f"{name}.jsonl", some)
        inputs = {
            "policy": str(policy),
            "prompts": "prompts.jsonl",
            "held_out": "held_out.jsonl",
        }
        inputs |= {"student": str(student)} if student else {}
        spec = RunSpec(
            kind="distil", run=1, epoch=1, seed=3, config=SHORT | config, inputs=inputs,
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
def runs(start):
    """A run of each objective, to its end."""
    return {"soft": start(**SOFT), "own": start(**OWN)}


def summary_of(events):
    assert isinstance(events[-1], Finished), events[-1]
    return dict(events[-1].summary)


def test_the_result_is_a_smaller_model_that_came_nearer(runs):
    folder, events = runs["soft"]
    verify(folder / "output")
    summary = summary_of(events)
    DistilResults.model_validate(summary)
    student = Policy.load(folder / "output")
    assert block_sizes(student.model).layers == summary["student_layers"] == 1
    assert 0 < summary["parameters_ratio"] < 1
    assert summary["bytes_after"] < summary["bytes_before"]
    assert summary["kl_end"]["value"] < summary["kl_start"]["value"]
    gap = 1 - summary["kl_end"]["value"] / summary["kl_start"]["value"]
    assert summary["gap_closed"] == gap > 0
    assert (summary["answers_train"], summary["answers_heldout"]) == (26, 6)
    assert all(row["holds"] for row in summary["checks"])
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == list(range(1, steps[-1].total + 1))
    assert all({"kl/teacher", "nll/answers", "lr"} <= event.metrics.keys() for event in steps[:6])


def test_a_student_learns_of_its_own_answers(runs):
    _folder, events = runs["own"]
    summary = summary_of(events)
    assert summary["objective"] == "on_policy"
    steps = [event for event in events if isinstance(event, StepDone)]
    assert all(event.metrics["divergence/teacher"] >= 0 for event in steps[:6])
    one, other = (load_file(runs[name][0] / "output" / WEIGHTS) for name in runs)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@cases(("name", "how"), [("soft", SOFT), ("own", OWN)])
def test_a_run_that_was_saved_goes_on_bit_by_bit(start, runs, name, how):
    first, stopped = start(saved_after=3, **how)
    assert isinstance(stopped[-1], Stopped)
    saved = next(event for event in stopped if isinstance(event, CheckpointSaved))
    folder, rest = start(resume=str(first / saved.path), **how)
    (ready,) = (event for event in rest if isinstance(event, Ready))
    assert (ready.resumed_step, ready.bit_exact) == (3, True)
    assert next(event.step for event in rest if isinstance(event, StepDone)) == 4
    one, other = (load_file(each / "output" / WEIGHTS) for each in (runs[name][0], folder))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    told, known = summary_of(rest), summary_of(runs[name][1])
    for figure in ("kl_start", "kl_end", "kl_token"):
        assert told[figure] == known[figure]


def test_a_student_that_is_given_learns_on(start, runs, tmp_path):
    student = runs["soft"][0] / "output"
    _folder, events = start(student=student, layers=0, steps=1, **SOFT)
    before = summary_of(runs["soft"][1])["kl_end"]["value"]
    assert summary_of(events)["kl_start"]["value"] == pytest.approx(before, rel=1e-5)
    with pytest.raises(ConfigError, match="layers and a width of its own"):
        start(student=student, layers=1, **SOFT)


def gradients(policy):
    return {name: one.grad.clone() for name, one in policy.model.named_parameters()}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_gradient_on_its_own_answers_is_that_of_f_dpg_to_the_teacher(name):
    config = AlignConfig(divergence=name, completions_per_prompt=6, max_new_tokens=3)
    problem = replace(toy_problem(config), reward=no_reward)
    student = toy_policy(seed=1)
    state = toy_state(problem, student)
    for prompt in problem.prompts:
        state.known.z.update(prompt.key, torch.zeros(1))  # the teacher is normalised: log Z = 0
    drawn = draw(problem, state, [0, 1], Term())
    learn(state, Lesson(drawn, fdpg(problem, state, drawn)))
    expected = gradients(student)
    student.model.zero_grad()
    own = DistilConfig(objective="on_policy", divergence=name, samples_per_prompt=6)
    pair = TeacherPair(problem.reference, student)
    metrics = backward(own_losses(pair, drawn.scored.rollouts, own))
    assert metrics["divergence/teacher"] > 0
    for key, found in gradients(student).items():
        torch.testing.assert_close(found, expected[key], rtol=1e-9, atol=1e-12)
        assert found.abs().max() > 0 or "wpe" in key


def some_rows():
    return [
        Written((2, 6, 7), (8, 9, 1)),
        Written((2, 9), (7, 1)),
        Written((2, 7, 7, 8), (6, 6, 10, 1)),
    ]


def test_the_loss_of_a_batch_is_the_mean_over_its_tokens():
    teacher, rows = tiny_policy(), some_rows()
    student = student_of(teacher, 1, 1.0)
    config = DistilConfig(temperature=2.0, answer_weight=0.25)
    found = backward(soft_step(TeacherPair(teacher, student), rows, config)(range(3)))
    losses, tokens = [], 0
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.completion]])
        places = slice(len(row.prompt) - 1, -1)
        known, told = (one.model(ids).logits[0, places] for one in (teacher, student))
        p, q = (known / 2).log_softmax(-1), (told / 2).log_softmax(-1)
        near = 4 * (p.exp() * (p - q)).sum()
        own = -told.log_softmax(-1)[range(len(row.completion)), list(row.completion)].sum()
        losses.append(0.75 * near + 0.25 * own)
        tokens += len(row.completion)
    assert found["loss"] == pytest.approx((sum(losses) / tokens).item(), rel=1e-5)


def test_each_step_of_its_own_answers_draws_others_and_the_same_ones_again():
    teacher = tiny_policy()
    pair = TeacherPair(teacher, student_of(teacher, 1, 1.0))
    config = DistilConfig(objective="on_policy", prompts_per_step=2, max_new_tokens=6)
    step = own_step(pair, [row.prompt for row in some_rows()], config, seed=3)
    found = [backward(step(number))["divergence/teacher"] for number in (1, 2, 1)]
    assert found[0] == found[2] != found[1]


def test_a_student_that_is_its_teacher_is_at_no_distance_and_learns_nothing():
    teacher, rows = tiny_policy(), some_rows()
    student = student_of(teacher, 2, 1.0)
    pair = TeacherPair(teacher, student)
    backward(soft_step(pair, rows, DistilConfig(answer_weight=0))(range(3)))
    assert max(one.abs().max() for one in gradients(student).values()) < 1e-6
    assert distance_from_teacher(pair, Texts(rows, ["a", "b", "c"])).value == pytest.approx(
        0, abs=1e-6
    )


def test_answers_to_a_fifth_of_the_prompts_only_measure():
    rows = [Written((place,), (1,)) for place in range(12)]
    keys = [f"prompt {place // 2}" for place in range(12)]
    found = divided_texts(Texts(rows, keys))
    assert found.held.keys == ["prompt 4"] * 2
    assert len(found.fitted.rows) == 10
    assert not set(found.held.keys) & set(found.fitted.keys)
    assert divided_texts(Texts(rows[:4], keys[:4])).held.keys == ["prompt 1"] * 2
    with pytest.raises(ConfigError, match="one prompt alone"):
        divided_texts(Texts(rows[:2], keys[:2]))


@pytest.mark.parametrize("objective", ["temperature", "on_policy"])
def test_receipts_hold(objective):
    checks = checks_of(DistilConfig(objective=objective))
    assert checks
    assert all(row["holds"] for row in checks)


ENCODED = {"layers": 1, "steps": 4, "batch": 4, "prompts": 16, "held_out_prompts": 8}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with a random BERT of two layers that reads the tiny policy's words."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = new_masked(Dimensions(2, 16, 2), 32, tokenizer)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
    Policy(model, tokenizer).save(folder)
    return folder


def test_a_student_of_an_encoder_tells_hidden_tokens_as_its_teacher_does(encoder, start):
    folder, events = start(policy=encoder, **ENCODED)
    summary = summary_of(events)
    DistilResults.model_validate(summary)
    assert summary["encoder"]
    assert block_sizes(load_encoder(folder / "output", "student").model).layers == 1
    assert summary["kl_end"]["value"] < summary["kl_start"]["value"]
    assert summary["kl_token"] == summary["kl_end"]
    before, after = (summary[f"perplexity_{side}"]["value"] for side in ("before", "after"))
    change = summary["perplexity_change"]["value"]
    assert after / before - 1 == pytest.approx(change)
    assert 0 < summary["bytes_ratio"] < 1
    assert summary["speedup"]["n"] > 1
    steps = [event.step for event in events if isinstance(event, StepDone)]
    assert steps == [1, 2, 3, 4]


def test_an_encoder_s_run_that_was_saved_goes_on_bit_by_bit(encoder, start):
    whole, _events = start(policy=encoder, **ENCODED)
    first, stopped = start(policy=encoder, saved_after=2, **ENCODED)
    saved = next(event for event in stopped if isinstance(event, CheckpointSaved))
    folder, rest = start(policy=encoder, resume=str(first / saved.path), **ENCODED)
    assert [event.step for event in rest if isinstance(event, StepDone)] == [3, 4]
    one, other = (load_file(each / "output" / WEIGHTS) for each in (whole, folder))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_encoder_writes_nothing_to_learn_from(encoder, start):
    with pytest.raises(ConfigError, match="An encoder writes no answers"):
        start(policy=encoder, **ENCODED | {"objective": "on_policy"})


def test_hidden_tokens_weigh_alike_whatever_text_they_are_in(encoder):
    teacher = load_encoder(encoder, "policy")
    student = student_of(teacher, 1, 1.0)
    texts = HiddenTokens.of(teacher, ["sun rain day night good bad"] * 6, ["sun day good night"])
    examples = texts.objective.examples(texts.fitted, torch.Generator().manual_seed(0))
    config = DistilConfig(temperature=1.0, answer_weight=0.0)
    found = backward(hidden_losses(TeacherPair(teacher, student), examples, config))
    kls = []
    for one in examples:
        p, q = (
            policy.model(input_ids=one.inputs[None]).logits[0].log_softmax(-1)
            for policy in (teacher, student)
        )
        kls += (p.exp() * (p - q)).sum(-1)[one.labels != -100].tolist()
    assert len(kls) > 1
    assert found["loss"] == pytest.approx(sum(kls) / len(kls), rel=1e-4)


def test_each_step_hides_other_tokens_and_the_same_ones_again(encoder):
    teacher = load_encoder(encoder, "policy")
    texts = HiddenTokens.of(teacher, ["sun rain day night good bad"] * 9, ["sun day good night"])
    pair = TeacherPair(teacher, student_of(teacher, 1, 1.0))
    step = hidden_step(pair, texts, DistilConfig(batch=4), seed=3)
    found = [backward(step(number))["loss"] for number in (1, 2, 1)]
    assert found[0] == found[2] != found[1]
    assert told_by(pair, texts) == told_by(pair, texts)


def test_an_encoder_reads_prompts_or_people_s_answers(tmp_path):
    rows = records(10)
    write_jsonl(tmp_path / "prompts.jsonl", rows[:8])
    write_jsonl(tmp_path / "held_out.jsonl", rows[8:])
    pairs = [
        PairRecord(prompt=row, chosen=f"yes {place}", rejected="no")
        for place, row in enumerate(rows[:5])
    ]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    at = {name: tmp_path / f"{name}.jsonl" for name in ("prompts", "held_out", "pairs")}
    found = texts_read(at, DistilConfig())
    assert (found.fitted, found.held) == (
        [row.text for row in rows[:8]],
        [row.text for row in rows[8:]],
    )
    alone = texts_read({"prompts": at["prompts"]}, DistilConfig())
    assert (len(alone.fitted), len(alone.held)) == (7, 1)
    said = texts_read(at, DistilConfig(answers="chosen"))
    assert said.held == [f"{rows[4].text}\nyes 4"]
    with pytest.raises(ConfigError, match="Name the snapshot"):
        texts_read({"prompts": at["prompts"]}, DistilConfig(answers="chosen"))
