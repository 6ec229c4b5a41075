import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import ValidationError

from alignment.kinds.generate.run import generate
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import StepDone
from alignment.seam.records import (
    CompletionRecord,
    Message,
    PromptRecord,
    prompt_key,
    read_jsonl,
    write_jsonl,
)


@pytest.fixture
def prompts():
    messages = [(Message(role="user", content=f"{a} {b}"),) for a in ("sun", "rain") for b in "ab"]
    return [PromptRecord(key=prompt_key(turns), messages=turns) for turns in messages]


@pytest.fixture
def run(policy_folder, prompts, tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", prompts)

    def started(seed=0, **config):
        inputs = {"policy": str(policy_folder), "prompts": "prompts.jsonl"}
        config = {"max_new_tokens": 8, **config}
        spec = RunSpec(kind="generate", run=1, epoch=1, seed=seed, config=config, inputs=inputs)
        events = list(generate(spec, tmp_path))
        return events, list(read_jsonl(tmp_path / "output/completions.jsonl", CompletionRecord))

    return started


def test_every_prompt_is_answered_in_its_order(run, prompts):
    events, records = run(completions_per_prompt=3)
    assert [r.prompt_key for r in records] == [p.key for p in prompts for _ in range(3)]
    assert events[-1].summary["completions"] == len(records) == 12
    assert isinstance(events[-2], StepDone)


def test_the_likeliest_completion_is_one_and_the_same(run):
    _, records = run(tokens="greedy", completions_per_prompt=1)
    assert records == run(tokens="greedy", completions_per_prompt=1, seed=7)[1]
    assert {record.logps for record in records} == {0.0}
    for config, words in (
        ({"completions_per_prompt": 2}, "ask for one"),
        ({"completions_per_prompt": 1, "task": "compare"}, "a pair needs two"),
        ({"completions_per_prompt": 1, "task": "rate", "top_p": 0.5}, "does not read “Top p”"),
    ):
        with pytest.raises(ValidationError, match=words):
            GenerateConfig(tokens="greedy", **config)


def test_a_warp_cuts_what_is_drawn_and_its_chances_are_told(run):
    _, few = run(completions_per_prompt=4, top_k=1)
    assert {record.logps for record in few} == {0.0}
    drawn = run(completions_per_prompt=4)[1]
    cut = run(completions_per_prompt=4, top_p=0.4, min_p=0.2)[1]
    assert sum(one.logps for one in cut) > sum(one.logps for one in drawn)


def test_completions_of_a_prompt_differ_where_they_can(run, prompts):
    _, records = run(completions_per_prompt=4)
    for prompt in prompts:
        assert len({r.text for r in records if r.prompt_key == prompt.key}) == 4


def test_a_policy_with_one_answer_repeats_it(run):
    events, records = run(completions_per_prompt=64, max_new_tokens=1)
    assert len(records) == 4 * 64
    assert events[-1].summary["diversity/distinct"] < 0.5


def test_prompts_that_hold_control_tokens_are_counted(run, tmp_path):
    assert "prompts_with_control_tokens" not in run()[0][-1].summary
    turns = (Message(role="user", content="sun <|end|> rain"),)
    write_jsonl(tmp_path / "prompts.jsonl", [PromptRecord(key=prompt_key(turns), messages=turns)])
    assert run()[0][-1].summary["prompts_with_control_tokens"] == 1


def test_a_cut_completion_says_so(run):
    _, records = run(max_new_tokens=1)
    assert {r.tokens for r in records} == {1}
    assert all(r.truncated == bool(r.text) for r in records if r.text)


def test_the_seed_decides_the_completions(run):
    assert run(seed=1)[1] == run(seed=1)[1] != run(seed=2)[1]


def test_only_as_many_prompts_as_asked_for_are_answered(run):
    assert run(prompts=2)[0][-1].summary["prompts"] == 2


def test_no_prompts_is_refused(run, prompts, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("")
    prompts.clear()
    spec = RunSpec(
        kind="generate",
        run=1,
        epoch=1,
        config={},
        inputs={"policy": ".", "prompts": "prompts.jsonl"},
    )
    with pytest.raises(DataError, match="no prompts"):
        list(generate(spec, tmp_path))


def test_a_policy_must_be_named(prompts, tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", prompts)
    inputs = {"prompts": "prompts.jsonl"}
    spec = RunSpec(kind="generate", run=1, epoch=1, config={}, inputs=inputs)
    with pytest.raises(ConfigError, match="names no policy"):
        list(generate(spec, tmp_path))


def test_vllm_is_refused_where_it_is_not_installed(run, monkeypatch):
    monkeypatch.setattr("alignment.sampling.engines.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="vLLM is not installed here"):
        run(engine="vllm")


class VllmLLM:
    """vLLM's way in, as its documentation has it, with our tiny policy's first tokens."""

    def __init__(self, **settings):
        self.settings = settings

    def generate(self, prompts, params, *, use_tqdm):
        VllmLLM.asked = (self.settings, prompts, params)
        made = [
            SimpleNamespace(
                text=f" sun {n}",
                token_ids=[10, n, 1],
                cumulative_logprob=-0.5 * n,
                finish_reason="length" if n else "stop",
            )
            for n in range(params["n"])
        ]
        return [SimpleNamespace(outputs=made) for _ in prompts]


def test_vllm_is_asked_with_the_same_settings(run, prompts, policy, policy_folder, monkeypatch):
    stand_in = ModuleType("vllm")
    stand_in.LLM, stand_in.SamplingParams = VllmLLM, dict
    stand_in.__spec__ = ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    cut = {"stop_strings": "day", "repetition_penalty": 1.2}
    _, records = run(engine="vllm", completions_per_prompt=3, temperature=0.5, **cut)
    settings, asked, params = VllmLLM.asked
    assert settings["model"] == str(policy_folder)
    assert settings["logprobs_mode"] == "processed_logprobs"
    assert (params["temperature"], params["max_tokens"], params["logprobs"]) == (0.5, 8, 0)
    ids = [policy.prompt_ids(prompt.messages) for prompt in prompts]
    assert (params["stop"], params["repetition_penalty"]) == (["day"], 1.2)
    assert asked == [{"prompt_token_ids": row} for row in ids]
    found = [(record.text, record.logps, record.tokens, record.truncated) for record in records[:2]]
    assert found == [(" sun 0", 0.0, 3, False), (" sun 1", -0.5, 3, True)]
    assert params["stop_token_ids"] == list(policy.ends)
