"""Runs of every kind on T5 and BART: taken, to a result that is known, or refused by name."""

import json
from itertools import product

import pytest
import torch
from safetensors.torch import load_file

from alignment.__main__ import main
from alignment.kinds import KINDS
from alignment.kinds.align.run import tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate import run as evaluation
from alignment.kinds.kind import ASIDE, ArtifactType
from alignment.kinds.spec import RunSpec
from alignment.models.inputs import MODELS, check_inputs
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.objectives.problem import Problem
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.events import CheckpointSaved, Finished, StepDone
from alignment.seam.records import (
    CompletionRecord,
    DemonstrationRecord,
    Message,
    PairRecord,
    PromptRecord,
    prompt_key,
    read_jsonl,
    write_jsonl,
)
from alignment.trainer import drive, runner
from tests.alignment.test_encoder_decoders import BOTH, marked
from tests.alignment.test_loop import DIVERGENCES, FEW, SMALL, exact_divergence, of, says_sun
from tests.architectures import saved
from tests.cases import cases

TAKING = {"generate", "sft", "prefer", "reward", "align", "population", "evaluate"}
ANSWERS = {"good": ("sun", "rain"), "bad": ("day", "night")}  # to prompts that begin so
SHORT = {"prompts_per_step": 4, "completions_per_prompt": 8, "max_new_tokens": 4, "kl_budget": 999}
SHORT |= {"reference_completions": 4, "sample_prompts": 0, "warmup": 0, "steps": 2}


def prompt_of(text):
    turns = (Message(role="user", content=text),)
    return PromptRecord(key=prompt_key(turns), messages=turns)


PROMPTS = [
    prompt_of(f"{first} {second} {third}")
    for second, third, first in product(
        ("a", "b", "now", "please"), ("sun", "please a", "rain b now", "now", "b b"), ANSWERS
    )
]
PAIRS = [
    PairRecord(prompt=one, chosen=ANSWERS[one.text.split()[0]][0], rejected="a") for one in PROMPTS
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of each family's model."""
    place = tmp_path_factory.mktemp("models")
    return {name: saved(name, marked(), place / name) for name in BOTH}


def spec_of(kind, inputs, resume=None, **config):
    given = {role: str(path) for role, path in inputs.items()}
    return RunSpec(
        kind=kind, run=1, epoch=1, seed=3, config=config, inputs=given, resume_from=resume
    )


def run(folder, kind, inputs, resume=None, **config):
    folder.mkdir(exist_ok=True)
    return list(drive(spec_of(kind, inputs, resume, **config), folder))


def rows(folder, name, records):
    write_jsonl(folder / name, records)
    return folder / name


def read_roles(kind):
    """The roles of models that a kind itself reads."""
    read = [one for one in kind.artifacts if set(one.types) & MODELS and one.role not in ASIDE]
    return [one.role for one in read if not one.optional and one.is_read(kind.settings())]


@pytest.mark.parametrize(("kind", "name"), product(KINDS, BOTH))
def test_every_kind_takes_them_or_refuses_them_by_name(folders, tmp_path, kind, name):
    described = KINDS[kind]
    inputs = dict.fromkeys(read_roles(described), folders[name])
    if kind in TAKING | {"checkpoint"}:  # which takes what an alignment does
        check_inputs(spec_of(kind, inputs), tmp_path)
    elif inputs:
        with pytest.raises(
            ConfigError, match=f"“{described.title}” (with these settings )?takes no"
        ) as told:
            check_inputs(spec_of(kind, inputs), tmp_path)
        assert {"t5": "(T5)", "bart": "(BART)"}[name] in str(told.value)
    else:
        assert kind in (
            "import",
            "pretrain",
            "score",
            "measure",
            "adopt",
        )  # which read a reward model


def test_pretraining_goes_on_from_them_by_span_corruption_alone(folders, policy_folder, tmp_path):
    more = {"source": "file", "model": "continued"}
    spans = {**more, "objective": "span_corruption"}
    t5, bart, causal = (
        {"policy": one, "corpus": tmp_path} for one in (*folders.values(), policy_folder)
    )
    check_inputs(spec_of("pretrain", t5, **spans), tmp_path)
    with pytest.raises(ConfigError, match="takes no encoder-decoder"):
        check_inputs(spec_of("pretrain", bart, **more), tmp_path)
    with pytest.raises(ConfigError, match="takes encoder-decoders alone"):
        check_inputs(spec_of("pretrain", causal, **spans), tmp_path)


def test_another_engine_than_ours_takes_none(folders, tmp_path):
    with pytest.raises(ConfigError, match="takes no encoder-decoder"):
        check_inputs(spec_of("generate", {"policy": folders["t5"]}, engine="vllm"), tmp_path)


def test_an_adapter_of_one_is_refused(folders, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(
        (folders["t5"] / "model.safetensors").read_bytes()
    )
    inputs = {"source": tmp_path / "adapter", "root": tmp_path, "base": folders["t5"]}
    with pytest.raises(ConfigError, match="takes no encoder-decoder"):
        run(tmp_path / "run", "import", inputs, source="folder", name="adapter")


def test_the_command_line_refuses_them_by_name(folders, tmp_path, capsys):
    prompts = rows(tmp_path, "prompts.jsonl", PROMPTS)
    status = main(["prune", "--policy", str(folders["t5"]), "--prompts", str(prompts),
                   "--output", str(tmp_path / "run")])  # fmt: skip
    assert status == 3
    assert "“Prune weights” takes no encoder-decoder" in capsys.readouterr().err


def test_no_file_for_llama_cpp_is_made_of_them(folders, tmp_path, capsys):
    asked = ["--policy", str(folders["bart"]), "--output", str(tmp_path / "bart.gguf")]
    assert main(["gguf", *asked]) == 3
    assert "“bart” is not written as GGUF" in capsys.readouterr().err


@cases("name", BOTH)
def test_what_somebody_brings_is_kept_with_a_card(folders, tmp_path, name):
    inputs = {"source": folders[name], "root": folders[name].parent}
    summary = run(tmp_path, "import", inputs, source="folder", name=name)[-1].summary
    assert set(summary["memory"]) == TAKING
    assert summary["answers_end_with"].startswith("<|end|>")
    assert "encoder" not in summary


@cases("name", BOTH)
def test_answers_are_generated_with_their_log_probabilities(folders, tmp_path, name):
    inputs = {"policy": folders[name], "prompts": rows(tmp_path, "prompts.jsonl", PROMPTS)}
    run(tmp_path, "generate", inputs, max_new_tokens=6, completions_per_prompt=2)
    found = list(read_jsonl(tmp_path / "output/completions.jsonl", CompletionRecord))
    policy = Policy.load(folders[name])
    whole = [(row, one) for row, one in zip(found, sorted(PROMPTS * 2, key=PROMPTS.index), strict=True)
             if not row.truncated]  # fmt: skip
    assert len(whole) > 5
    read = [written(policy, one.messages, row.text) for row, one in whole]
    same = [
        place for place, row in enumerate(read) if len(row.completion) == whole[place][0].tokens
    ]
    logps = completion_token_logps(policy.model, rollouts_of(policy, read)).sum(1)
    told = torch.tensor([row.logps for row, _ in whole])
    assert len(same) > 3
    torch.testing.assert_close(logps[same], told[same], atol=1e-3, rtol=0)


@pytest.mark.slow
@cases(("name", "rate"), [("t5", 3e-2), ("bart", 1e-2)])
def test_imitation_reaches_a_target_that_is_known(folders, tmp_path, name, rate):
    """Either of two answers, by how a prompt begins: held-out prompts get them evenly too.

    BART norms after each layer, and bears a smaller rate.
    """
    given = [
        DemonstrationRecord(prompt=one, completion=answer)
        for one in PROMPTS for answer in ANSWERS[one.text.split()[0]]
    ]  # fmt: skip
    inputs = {"policy": folders[name], "demonstrations": rows(tmp_path, "rows.jsonl", given)}
    learning = {"epochs": 20, "batch": 16, "learning_rate": rate, "held_out": 0.2}
    summary = run(tmp_path, "sft", inputs, **learning)[-1].summary
    assert summary["nll"]["value"] == pytest.approx(
        torch.log(torch.tensor(2.0)).item() / 2, abs=0.05
    )
    policy = Policy.load(tmp_path / "output")
    read = [written(policy, prompt_of(f"{first} b a b").messages, answer)
            for first, answers in ANSWERS.items() for answer in answers]  # fmt: skip
    chances = completion_token_logps(policy.model, rollouts_of(policy, read)).sum(1).exp()
    torch.testing.assert_close(chances, torch.full((4,), 0.5), atol=0.15, rtol=0)


def problem_of(folder, **settings):
    config = AlignConfig(**{**SMALL, **settings})
    return Problem(PROMPTS[:6], folder, Policy.load(folder), says_sun, config, seed=5)


@cases(("name", "steps"), [("t5", 16), ("bart", 40)])
def test_alignment_reaches_a_target_that_is_known(folders, tmp_path, name, steps):
    one = problem_of(folders[name], **FEW | {"steps": steps})
    events = list(tune(one, tmp_path))
    before, after = (exact_divergence(one, place) for place in (folders[name], tmp_path / "output"))
    assert after < 0.35 * before
    assert events[-1].summary["receipts"]["mismatch"] <= 1e-3


@cases("name", DIVERGENCES, quick=["forward_kl"])
def test_they_are_aligned_by_every_divergence(folders, tmp_path, name):
    one = problem_of(folders["t5"], **SHORT, divergence=name)
    events = list(tune(one, tmp_path))
    assert len(of(events, StepDone)) == 2
    assert events[-1].summary["receipts"]["mismatch"] <= 1e-3


OTHERS = {
    "PPO": {"objective": "ppo"},
    "GRPO": {"objective": "grpo"},
    "replay": {"replay_share": 0.5},
    "LoRA": {"lora_rank": 2},
    "bf16": {"precision": "bf16"},
    "checkpointing": {"gradient_checkpointing": True},
    "low-rank": {"gradient": "low_rank"},
}


@cases("way", OTHERS)
def test_other_ways_of_aligning_take_them(folders, tmp_path, way):
    prompts = rows(tmp_path, "prompts.jsonl", PROMPTS[:6])
    inputs = {"policy": folders["bart"], "reference": folders["bart"], "prompts": prompts}
    aim = {
        "reward_weight": 0.0,
        "prompts": 6,
        "rule": "embedding_similarity",
        "rule_text": "sun|a b",
    }
    summary = run(tmp_path, "align", inputs, **SHORT | aim | OTHERS[way])[-1].summary
    assert summary["receipts"]["mismatch"] <= (0.05 if way == "bf16" else 1e-3)
    moved, start = (
        load_file(one / "model.safetensors") for one in (tmp_path / "output", folders["bart"])
    )
    assert any(not torch.equal(moved[weight], start[weight]) for weight in start)


def paused(folder, kind, inputs, after, **config):
    """A checkpoint of a run that was asked to save behind so many steps."""
    folder.mkdir(exist_ok=True)
    course, asked, seen = runner(kind)(spec_of(kind, inputs, **config), folder), None, 0
    while True:
        event = course.send(asked)
        seen += isinstance(event, StepDone)
        asked = "save" if isinstance(event, StepDone) and seen == after else None
        if isinstance(event, CheckpointSaved):
            course.close()
            return event.path


@cases(("kind", "name"), [*product(("sft", "align"), BOTH), ("prefer", "bart")])
def test_a_resumed_run_is_the_same_bit_by_bit(folders, tmp_path, kind, name):
    inputs = {"policy": folders[name], "reference": folders[name]}
    learning = {"epochs": 2, "batch": 4, "learning_rate": 1e-2, "held_out": 0.3}
    if kind == "align":
        inputs["prompts"] = rows(tmp_path, "prompts.jsonl", PROMPTS[:6])
        config = SHORT | {"steps": 3, "reward_weight": 0.0, "prompts": 6}
        config |= {"rule": "words"}
    else:
        inputs["pairs"] = rows(tmp_path, "pairs.jsonl", PAIRS)
        config = learning
        if kind == "sft":
            del inputs["reference"]
    whole = run(tmp_path / "whole", kind, inputs, **config)
    saved_at = paused(tmp_path / "parts", kind, inputs, 2, **config)
    again = run(tmp_path / "parts", kind, inputs, saved_at, **config)
    losses = [[step.metrics["loss"] for step in of(events, StepDone)] for events in (whole, again)]
    assert losses[1] == losses[0][2:]
    one, other = (
        load_file(tmp_path / part / "output" / "model.safetensors") for part in ("whole", "parts")
    )
    assert all(torch.equal(one[weight], other[weight]) for weight in one)


@pytest.mark.slow
def test_a_whole_round_of_them(folders, tmp_path, monkeypatch):
    """A reward model, a population that it moves, and an evaluation beside the start."""
    monkeypatch.setattr(evaluation, "TARGET_PROMPTS", 4)
    monkeypatch.setattr(evaluation, "TARGET_COMPLETIONS", 32)
    start, pairs = folders["t5"], rows(tmp_path, "pairs.jsonl", PAIRS)
    learning = {"epochs": 6, "batch": 8, "learning_rate": 0.01, "held_out": 0.3}
    inputs = {"backbone": start, "pairs": pairs, "reference": start}
    told = run(tmp_path / "reward", "reward", inputs, centring="reference", **learning)[-1].summary
    assert told["accuracy"]["value"] > 0.8
    prompts = rows(tmp_path, "prompts.jsonl", PROMPTS[:8])
    roles = {"policy": start, "reference": start, "prompts": prompts}
    roles["reward"] = tmp_path / "reward" / "output"
    both = {"divergences": ["reverse_kl", "forward_kl"], "prompts": 8}
    made = run(tmp_path / "population", "population", roles, **SHORT | both)[-1]
    assert isinstance(made, Finished)
    (policy, *_) = sorted(
        path.parent for path in (tmp_path / "population").glob("output/**/config.json")
    )
    asked = roles | {"policy": policy}
    scores = run(tmp_path / "scores", "evaluate", asked, judge="none", max_new_tokens=4, prompts=8)
    assert scores[-1].summary["receipts"]["mismatch"] <= 1e-3
    assert (
        json.loads((tmp_path / "scores/output/scores.json").read_text())["kl_reference"]["value"]
        >= 0
    )
    assert ArtifactType.MODEL in KINDS["population"].makes
