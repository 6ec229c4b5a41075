"""A reward's heads on the reference's own states: both are what each would say by itself, at one forward."""

import json

import pytest
import torch

from alignment.kinds.align.run import read_problem
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.models.lora import adapted, shared
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.objectives.problem import begin, prepare
from alignment.objectives.steps import train_step
from alignment.reward.model import RewardModel
from alignment.reward.reading import SharedReading
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.records import Message, write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import SMALL, records

TURNS = [[Message(role="user", content=text)] for text in ("sun day", "rain", "a b")]


@pytest.fixture(scope="module")
def heads(saved_policy):
    """A reward of three heads that say something."""
    torch.manual_seed(1)
    return RewardModel.fresh(saved_policy, heads=3)


@pytest.fixture
def reference(saved_policy):
    return Policy.load(saved_policy)


@pytest.fixture
def rollouts(reference, generator):
    prompts = [reference.prompt_ids(turns) for turns in TURNS]
    return sample(reference, prompts, completions=6, max_new_tokens=6, generator=generator)


@pytest.fixture
def forwards(monkeypatch):
    """How many sequences the reward's backbone has read by itself."""
    seen, plain = [], RewardModel.features

    def noting(self, sequences):
        seen.extend(sequences)
        return plain(self, sequences)

    monkeypatch.setattr(RewardModel, "features", noting)
    return seen


@pytest.mark.parametrize("told", [True, False], ids=["turns known", "tokens alone"])
def test_log_probabilities_and_rewards_are_those_of_each_alone(
    heads, reference, rollouts, forwards, told
):
    model = heads.knowing(reference, TURNS) if told else heads
    reading = SharedReading.of(model, reference)
    texts = ["good", "bad day", "good night sun rain", "good night"]
    said = rollouts_of(
        reference, [written(reference, turns, text) for turns in TURNS for text in texts]
    )
    for some, own in ((said, 0), (rollouts, len(rollouts.prompts))):  # special tokens are drawn too
        del forwards[:]
        logps = reading.token_logps(some)
        with torch.no_grad():
            expected = completion_token_logps(reference.model, some)
        torch.testing.assert_close(logps, expected, atol=1e-5, rtol=1e-4)
        rewards = reading.score(reference, some)
        assert len(forwards) <= own
        torch.testing.assert_close(rewards, model.score(reference, some), atol=1e-5, rtol=1e-4)


def test_an_adapter_that_has_learned_changes_neither(heads, reference, rollouts):
    plain = heads.score(reference, rollouts)
    kept = shared(reference)
    reading = SharedReading.of(heads, kept)
    before = reading.token_logps(rollouts)
    policy, _handle = adapted(kept, 2, 0)
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    torch.testing.assert_close(reading.token_logps(rollouts), before)
    torch.testing.assert_close(reading.score(kept, rollouts), plain, atol=1e-5, rtol=1e-4)
    reading.known.clear()
    torch.testing.assert_close(reading.score(kept, rollouts), plain, atol=1e-5, rtol=1e-4)
    assert (
        policy.model(torch.tensor([[5, 6]])).logits
        - kept.model(input_ids=torch.tensor([[5, 6]])).logits
    ).abs().max() > 1e-3


def test_another_backbone_reads_for_itself(heads, reference):
    assert SharedReading.of(heads, reference) is not None
    assert SharedReading.of(heads, tiny_policy(seed=5)) is None


def test_a_model_that_does_more_to_its_logits_is_read_as_ever(heads, reference, monkeypatch):
    plain = reference.model.forward

    def capped(*args, **arguments):
        found = plain(*args, **arguments)
        found.logits = 3 * torch.tanh(found.logits / 3)
        return found

    monkeypatch.setattr(reference.model, "forward", capped)
    assert SharedReading.of(heads, reference) is None


@pytest.mark.parametrize("how", [{"lora_rank": 2}, {}], ids=["LoRA", "whole"])
def test_an_alignment_reads_once_where_the_reward_stayed_on_its_reference(
    heads, saved_policy, tmp_path, forwards, monkeypatch, how
):
    """And learns as one does whose reward reads for itself."""
    (tmp_path / "reward").mkdir()
    heads.save(tmp_path / "reward")
    write_jsonl(tmp_path / "prompts.jsonl", records(4))
    roles = {"policy": saved_policy, "reference": saved_policy, "reward": tmp_path / "reward"}
    inputs = {
        role: str(path) for role, path in (roles | {"prompts": tmp_path / "prompts.jsonl"}).items()
    }
    config = AlignConfig(**SMALL, **how)
    spec = RunSpec(
        kind="align", run=1, epoch=1, config=json.loads(config.model_dump_json()), inputs=inputs
    )
    found, read = [], []
    for shares in (True, False):
        if not shares:
            monkeypatch.setattr(SharedReading, "of", lambda model, reference: None)
        problem = read_problem(spec, tmp_path, config)
        assert (problem.reading is not None) is shares
        state = begin(problem)
        prepare(problem, state)
        del forwards[:]
        found.append(train_step(problem, state)["reward/mean"])
        read.append(len(forwards))
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert read[0] < 32  # whose texts hold special tokens, which rewards do not read
