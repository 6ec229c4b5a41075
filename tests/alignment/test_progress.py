"""A phase tells how far it is: never back, to its total, at its own pace, and only so often."""

import pytest
import torch

from alignment.kinds import KINDS
from alignment.kinds.evaluate import run as evaluation
from alignment.kinds.generate import run as generation
from alignment.kinds.prefer import run as preferring
from alignment.kinds.spec import RunSpec
from alignment.lab import calibration, distilling
from alignment.models import checkpoints, training
from alignment.models.checks import check_apart
from alignment.models.loading import loaded
from alignment.objectives import problem
from alignment.reward import RewardModel
from alignment.reward import model as reward_model
from alignment.sampling import scoring
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import (
    completion_token_entropies,
    completion_token_kls,
    completion_token_logps,
)
from alignment.seam import progress
from alignment.seam.events import PhaseProgressed, PhaseStarted, StepDone, parse_event
from alignment.seam.folders import committed
from alignment.seam.modelfiles import check_folder
from alignment.seam.progress import (
    counting,
    in_batches,
    listening,
    reach,
    split,
    taking,
    through,
)
from alignment.seam.records import JudgedRecord, StoredRecord, write_jsonl
from alignment.trainer import runner
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_adopt import made as rating
from tests.alignment.test_fitting import PAIRS, SAID
from tests.cases import cases


@pytest.fixture
def told(monkeypatch):
    """What is said of phases, however short they are."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    said = []
    with listening(said.append):
        yield said


def done(said):
    return [event.done for event in said]


def test_parts_follow_each_other_by_their_weights(told):
    with counting(8, "rows"):
        drawing, reading = split(3, 1)
        with drawing:
            reach(0.5)
        with reading:
            reach(0.5)
    assert done(told) == [3, 6, 7, 8, 8]
    assert {(event.total, event.unit) for event in told} == {(8, "rows")}


def test_parts_have_parts(told):
    with counting(8, "rows"), taking(1):
        for row in through("ab", 2):
            with taking(0.5):
                reach(0.5)
            assert row in "ab"
    assert sorted(set(done(told))) == [1, 2, 4, 5, 6, 8]
    assert done(told) == sorted(done(told))


def test_what_goes_back_or_beyond_its_part_is_not_believed(told):
    with counting(4, "rows"):
        with taking(0.5):
            for _ in "ab":
                with taking(0.8):
                    reach(1)
            assert told[-1].done == 2
        with taking(0.5):
            reach(3)
            reach(0.1)
    assert set(done(told)) == {1.6, 2, 4}


def test_batches_are_a_phase(told):
    found = [list(batch) for batch in in_batches("abcde", 2, "completions", each=3)]
    assert found == [["a", "b"], ["c", "d"], ["e"]]
    assert sorted(set(done(told))) == [6, 12, 15]


def test_a_phase_that_is_left_does_not_say_that_all_is_done(told):
    with counting(4, "rows"), taking(0.5):
        pass
    with pytest.raises(ValueError, match="no"), counting(4, "rows"), taking(1):
        raise ValueError("no")
    assert max(done(told)) == 2


def test_a_phase_is_told_only_so_often(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 600.0)
    said = []
    with listening(said.append), counting(1000, "rows"):
        for _ in through(range(1000), 1000):
            reach(1)
    assert said == []


def test_a_phase_that_broke_is_over_with_its_listener(told):
    kept = in_batches("ab", 1, "rows")
    with listening(told.append):
        next(kept)
    reach(1)
    assert told == []


def test_whoever_counts_no_phase_says_nothing(told):
    for _ in through("ab", 2):
        with taking(0.5):
            reach(1)
    assert told == []


def test_the_time_left_follows_the_pace_of_the_phase():
    at = {"total": 40, "unit": "rows"}
    assert PhaseProgressed(done=10, seconds=5, **at).left == pytest.approx(15)
    assert PhaseProgressed(done=0, seconds=5, **at).left is None
    assert PhaseProgressed(done=40, seconds=5, **at).left is None


def test_a_line_from_before_is_still_read():
    assert parse_event(b'{"type": "phase", "name": "training"}') == PhaseStarted(name="training")


def drawn(policy):
    generator = torch.Generator().manual_seed(0)
    ids = [[2, 6, 7], [2, 8]]
    return sample(policy, ids, completions=3, max_new_tokens=6, generator=generator)


def committing(policy, folder):
    with committed(folder / "output") as output:
        policy.save(output)


LASTING = ("sample", "logps", "kls", "entropies", "rewards", "load", "check", "commit")


@pytest.fixture
def lasting(policy, policy_folder):
    """What a phase of one batch, or of one model, would be silent about for long, by its name."""
    model, rollouts = policy.model, drawn(policy)
    reward = RewardModel.fresh(policy_folder)
    works = (
        lambda: drawn(policy),
        lambda: completion_token_logps(model, rollouts),
        lambda: completion_token_kls(model, model, rollouts),
        lambda: completion_token_entropies(model, rollouts),
        lambda: reward.heads_of([[2], [2, 6]]),
        lambda: loaded(policy_folder, "policy"),
        lambda: check_apart(policy_folder, check_folder),
        lambda: committing(policy, policy_folder),
    )
    return dict(zip(LASTING, works, strict=True))


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_tells_how_far_it_is_itself(name, told, lasting, monkeypatch):
    monkeypatch.setattr(scoring, "TOKENS_CPU", 8)
    monkeypatch.setattr(reward_model, "TOKENS", 1)
    with torch.no_grad(), counting(1, "all"), taking(1):
        lasting[name]()
    assert any(0 < event.done < 1 for event in told[:-1])
    assert done(told) == sorted(done(told))


SHORT = {"max_new_tokens": 4, "completions_per_prompt": 2}
LOOP = SHORT | {"steps": 1, "prompts_per_step": 2, "reference_completions": 2, "kl_budget": 1e3}
STORED = {"stored_share": 0.5, "estimator": "surrogate"}
TINY = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "context": 96}
ON_POLICY = {"looking at the start": "completions", "reference completions": "prompts"}
FACTS = "sun | the sun | b\nnight | good night | day"
CHANGED = SHORT | {"held_out_prompts": 8, "prompts": 8}
ANSWERED = {"answering": "answers"}
# Of each kind how it is run, and what its phases count that are not told by steps.
RUNS = {
    "pretrain": (TINY | {"steps": 1}, {"corpus": "documents", "measuring": "documents"}),
    "sft": ({"epochs": 1, "held_out": 0.3}, {"measuring": "completions"}),
    "prefer": (
        {"epochs": 1, "held_out": 0.3},
        {"scoring by the reference": "labels", "measuring": "labels"},
    ),
    "reward": (
        {"epochs": 1, "held_out": 0.3, "folds": 2, "centring": "reference"},
        {"measuring": "labels"},
    ),
    "classify": (
        {"epochs": 1, "held_out": 0.3, "meaning": "verdicts"},
        {"reading the texts": "%", "measuring": "texts"},
    ),
    "generate": (SHORT | {"prompts": 8}, {"sampling": "completions"}),
    "score": ({"pairs": 4}, {"choosing pairs": "pairs"}),
    "measure": ({}, {"measuring": "labels"}),
    "adopt": ({}, {"measuring": "labels"}),
    "align": (
        LOOP | STORED,
        ON_POLICY
        | {"scoring stored completions": "completions", "measuring the result": "completions"},
    ),
    "population": (
        LOOP | {"divergences": ("reverse_kl", "forward_kl"), "completions_per_prompt": 4},
        ON_POLICY | {"measuring the results": "completions"},
    ),
    "evaluate": (
        SHORT | {"judge": "none"},
        {"comparing": "prompts", "measuring the target": "prompts"},
    ),
    "quantise": (CHANGED, ANSWERED | {"changing": "layers"}),
    "prune": (CHANGED, ANSWERED | {"changing": "layers"}),
    "factorise": (CHANGED, ANSWERED | {"timing layers": "layers", "trying sizes": "sizes"}),
    "distil": (
        CHANGED | {"steps": 1},
        ANSWERED | {"changing": "models", "measuring the start": "answers", "measuring": "answers"},
    ),
    "edit": (
        CHANGED | {"lines": FACTS},
        ANSWERED
        | {"asking about the facts": "facts", "finding the layer": "facts"}
        | {"reading texts": "texts", "checking the facts": "facts"},
    ),
    "checkpoint": ({"step": 1}, {"keeping the checkpoint": "%"}),
    "import": (
        {"source": "folder", "name": "policy"},
        {"copying": "MB", "checking": "files", "loading": "weights", "trying": "%"},
    ),
}


@pytest.fixture
def inputs(tmp_path):
    """Everything that a kind of run may read."""
    for name, seed in (("policy", 0), ("reference", 1)):
        (tmp_path / "models" / name).mkdir(parents=True)
        tiny_policy(seed=seed).save(tmp_path / "models" / name)
    reward = RewardModel.fresh(tmp_path / "models" / "policy")
    (tmp_path / "models" / "reward").mkdir()
    reward.save(tmp_path / "models" / "reward")
    stored = [
        StoredRecord(prompt=pair.prompt, completion=text)
        for pair in PAIRS
        for text in ("good", "bad")
    ]
    rows = {
        "prompts": [pair.prompt for pair in PAIRS],
        "held_out": [pair.prompt for pair in PAIRS],
        "pairs": PAIRS,
        "demonstrations": SAID,
        "judged": [JudgedRecord(labels=(pair,)) for pair in PAIRS],
        "completions": stored,
    }
    for name, records in rows.items():
        write_jsonl(tmp_path / f"{name}.jsonl", records)
    models = {name: str(tmp_path / "models" / name) for name in ("policy", "reference", "reward")}
    files = {name: str(tmp_path / f"{name}.jsonl") for name in rows}
    rating(tmp_path / "models" / "rater", {0: "bad", 1: "good"})
    models |= {"backbone": models["policy"], "source": models["policy"]}
    models["rater"] = str(tmp_path / "models" / "rater")
    saved = checkpoints.save(
        tmp_path, 1, {"policy": tiny_policy()}, {}, {"fit": {}, "mismatch": {"policy": 0.0}}
    )
    models["checkpoint"] = str(tmp_path / saved.path)
    return models | files | {"root": str(tmp_path)}


@pytest.fixture
def small_batches(monkeypatch):
    """So that every kind has more than one."""
    for module in (training, preferring):
        monkeypatch.setattr(module, "SCORED_AT_ONCE", 2)
    monkeypatch.setattr(generation, "BATCH", 3)
    monkeypatch.setattr(distilling, "AT_ONCE", 2)
    monkeypatch.setattr(calibration, "BATCH", 3)
    monkeypatch.setattr(scoring, "TOKENS_CPU", 48)
    monkeypatch.setattr(reward_model, "TOKENS", 48)
    monkeypatch.setattr(problem, "PROMPTS_AT_ONCE", 6)
    for name, value in (("BATCH", 6), ("TARGET_BATCH", 3), ("TARGET_COMPLETIONS", 4)):
        monkeypatch.setattr(evaluation, name, value)


def by_phase(events):
    """The events of each phase, by its name."""
    phases = {}
    for event in events:
        if isinstance(event, PhaseStarted):
            name = event.name
            phases.setdefault(name, [])
        elif isinstance(event, PhaseProgressed | StepDone):
            phases[name].append(event)
    return phases


@cases("kind", KINDS, quick=["sft", "align"])
def test_every_phase_of_every_kind_says_how_far_it_is(kind, inputs, told, small_batches, tmp_path):
    config, counted = RUNS[kind]
    (folder := tmp_path / "run").mkdir()
    spec = RunSpec(kind=kind, run=1, epoch=1, config=config, inputs=inputs)
    for event in runner(kind)(spec, folder):
        told.append(event)
    found = by_phase(told)
    for name, events in found.items():
        progressed = [event for event in events if isinstance(event, PhaseProgressed)]
        if name not in counted:
            assert any(isinstance(event, StepDone) for event in events), name
            continue
        assert {(event.total, event.unit) for event in progressed} == {
            (progressed[-1].total, counted[name])
        }
        assert done(progressed) == sorted(done(progressed))
        assert progressed[-1].done == progressed[-1].total
        assert len(set(done(progressed))) > 1, name
    assert set(counted) <= set(found)
