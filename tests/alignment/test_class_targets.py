"""Classes in targets: required, wished for, weighed in the reward; and counted among answers."""

import pytest
import torch

from alignment.classification.model import Classifier, chance_of
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.results import EvaluateResults
from alignment.kinds.quantise.settings import QuantiseConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.costs import load_compared
from alignment.objectives.receipts import receipts
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError
from alignment.seam.records import write_jsonl
from alignment.targets.targets import load_target, no_reward, target_of
from alignment.trainer import drive
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.rewarding import a_prompt
from tests.cases import cases

WORDS = ["day", "night", "sun", "rain", "a", "b"]
SHORT = {
    "reward_weight": 0, "steps": 2, "warmup": 0, "prompts": 4, "prompts_per_step": 4, "completions_per_prompt": 16,
    "max_new_tokens": 4, "kl_budget": 1000.0, "reference_completions": 16, "sample_every": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A policy, and a classifier of fixed random weights to which each class is about as likely."""
    folder = tmp_path_factory.mktemp("classes")
    sealed(tiny_policy(), folder / "policy")
    torch.manual_seed(0)
    one = Classifier.fresh(folder / "policy", ["other", "harmful"], "answer")
    torch.nn.init.normal_(one.model.score.weight, std=0.5)
    (folder / "classifier").mkdir()
    one.save(folder / "classifier")
    write_jsonl(
        folder / "prompts.jsonl", [a_prompt(f"{one} {other}") for one in WORDS for other in WORDS]
    )
    return folder


@pytest.fixture
def drawn(policy):
    prompts = [policy.prompt_ids(a_prompt(word).messages) for word in WORDS]
    return sample(
        policy, prompts, completions=8, max_new_tokens=4, generator=torch.Generator().manual_seed(1)
    )


def spec_of(at, kind, config, **inputs):
    given = {
        "policy": "policy",
        "reference": "policy",
        "classifier": "classifier",
        "prompts": "prompts.jsonl",
    }
    paths = {role: str(at / name) for role, name in (given | inputs).items() if name}
    return RunSpec(kind=kind, run=1, epoch=1, config=config, inputs=paths)


def aligned(at, folder, **target):
    folder.mkdir(exist_ok=True)
    found = list(drive(spec_of(at, "align", SHORT | target), folder))
    return found[-1].summary, folder / "output"


def test_a_class_is_a_constraint_a_wish_and_a_reward(at, policy, drawn):
    one = Classifier.load(at / "classifier")
    texts = [
        policy.text(ids, prompt)
        for ids, prompt in zip(drawn.completion_ids(), drawn.prompts, strict=True)
    ]
    chances = one.of_texts([()] * len(texts), texts)[:, 1]
    config = AlignConfig(reward_weight=0, class_required=True, class_mean=0.3, class_weight=2)
    target = target_of(config, no_reward, policy, chance_of(one, ""))
    values = target.values(policy, drawn)
    torch.testing.assert_close(values.satisfied[:, 0], (chances >= 0.5).double())
    torch.testing.assert_close(values.features[:, 0], chances)
    torch.testing.assert_close(values.rewards, 2 * chances, atol=1e-6, rtol=1e-6)
    assert 0 < values.satisfied.mean() < 1
    logs = target.log_scores(torch.zeros(len(texts)), values, [0.0])
    assert (logs == -torch.inf).equal(chances < 0.5)
    soft = target_of(
        config.model_copy(update={"soften": 0.1}), no_reward, policy, chance_of(one, "")
    )
    assert soft.log_scores(torch.zeros(len(texts)), values, [0.0]).isfinite().all()
    other = chance_of(one, "other")(policy, drawn)
    torch.testing.assert_close(other, 1 - chances)


def test_a_class_that_is_not_there_is_refused_by_name(at):
    with pytest.raises(ConfigError, match="no class “kind”; it tells other, harmful"):
        chance_of(Classifier.load(at / "classifier"), "kind")


def test_parts_of_a_target_ask_the_classifier_once(at, policy, drawn, monkeypatch):
    asked, one = [], Classifier.load(at / "classifier")
    known = Classifier.of_drawn
    monkeypatch.setattr(Classifier, "of_drawn", lambda *given: asked.append(given) or known(*given))
    config = AlignConfig(reward_weight=0, class_required=True, class_mean=0.3, class_weight=2)
    target_of(config, no_reward, policy, chance_of(one, "")).values(policy, drawn)
    assert len(asked) == 1


@cases(
    "target",
    [
        {"class_required": True, "class_name": "other"},
        {"class_required": True, "soften": 0.2, "divergence": "reverse_kl"},
        {"class_mean": 0.25},
        {"class_weight": -2.0},
    ],
    ids=lambda target: ", ".join(target),
    quick=[{"class_required": True, "soften": 0.2, "divergence": "reverse_kl"}],
)
def test_an_alignment_to_a_class_is_exact_and_says_what_it_was_aimed_at(at, tmp_path, target):
    summary, output = aligned(at, tmp_path / "run", **target)
    found = receipts(AlignConfig.stored(SHORT | target))
    assert found.exact
    assert summary["receipts"]["gradient"] == found.gradient
    assert load_target(output)[0].classed


@pytest.mark.slow
def test_a_policy_comes_nearer_to_the_class_that_it_must_have(at, tmp_path):
    _, output = aligned(
        at,
        tmp_path / "run",
        class_required=True,
        steps=30,
        learning_rate=0.01,
        prompts=16,
        prompts_per_step=16,
    )
    config = {"judge": "none", "prompts": 16, "max_new_tokens": 4, "classes": "counted"}
    (tmp_path / "evaluation").mkdir()
    spec = spec_of(at, "evaluate", config, policy=str(output))
    told = list(drive(spec, tmp_path / "evaluation"))[-1].summary
    EvaluateResults.model_validate(told)
    assert told["constraints_met_after"]["value"] > told["constraints_met_before"]["value"] + 0.1
    assert told["class_harmful_gain"]["low"] > 0
    assert told["class_harmful_after"]["n"] == 16
    total = told["class_harmful_after"]["value"] + told["class_other_after"]["value"]
    assert total == pytest.approx(1)


def test_what_a_class_needs_is_asked_for(at, tmp_path):
    with pytest.raises(ConfigError, match="names no classifier"):
        list(drive(spec_of(at, "align", SHORT | {"class_mean": 0.5}, classifier=""), tmp_path))
    config = {"judge": "none", "classes": "counted", "max_new_tokens": 4}
    with pytest.raises(ConfigError, match="need a classifier"):
        list(drive(spec_of(at, "evaluate", config, classifier="", reward="policy"), tmp_path))
    _, output = aligned(at, tmp_path / "run", class_mean=0.25)
    with pytest.raises(ConfigError, match="aimed at a class; name the classifier"):
        list(
            drive(
                spec_of(
                    at,
                    "evaluate",
                    {"judge": "none", "max_new_tokens": 4},
                    policy=str(output),
                    classifier="",
                ),
                tmp_path,
            )
        )


def test_a_changed_model_is_measured_by_its_class(at, tmp_path):
    _, output = aligned(at, tmp_path / "run", class_mean=0.25)
    prompts = [a_prompt(word) for word in WORDS]
    paths = {"policy": output, "reference": at / "policy", "classifier": at / "classifier"}
    config = QuantiseConfig(distance="measured")
    found = load_compared(paths, at / "policy", prompts, None, config, 0)
    assert [wish.name for wish in found.aim.target.wishes] == ["class"]


def test_a_class_without_a_use_says_nothing():
    with pytest.raises(ValueError, match="says nothing without"):
        AlignConfig(class_name="harmful")
    with pytest.raises(ValueError, match="is infinite"):
        AlignConfig(class_required=True, divergence="reverse_kl")
