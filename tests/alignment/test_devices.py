"""Models whose layers are spread over what this machine has."""

import json

import pytest
import torch
from accelerate import dispatch_model
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForCausalLM

from alignment.kinds.align.run import align
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.run import evaluate
from alignment.kinds.generate.run import generate
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.models import devices, loading, policies
from alignment.models.computation import computes_in_bf16, set_up
from alignment.models.devices import Placement, device_of, is_fetched, layout, rooms
from alignment.models.distributed import World
from alignment.models.lora import adapted, trained
from alignment.models.policies import Policy
from alignment.models.quantisation import int8_weights
from alignment.models.trials import sampler
from alignment.objectives.problem import Problem
from alignment.reward import RewardModel
from alignment.sampling.readers.families import reader_of
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps, logps_to_learn_from
from alignment.seam.errors import ConfigError, DataError, OutOfMemoryError
from alignment.seam.events import Finished
from alignment.seam.records import write_jsonl
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.alignment.test_loop import SMALL, continues, records, says_sun
from tests.alignment.test_prefix import KINDS, PROMPTS

LAYERS = 4
READ, LEARNED = Placement(spread=True), Placement(spread=True, learns=True)


def a_model(kind):
    if KINDS[kind] is None:
        return tiny_policy().model
    torch.manual_seed(0)
    settings = {**KINDS[kind], "num_hidden_layers": LAYERS}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of a tiny model for each kind."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            Policy(a_model(kind), tiny_tokenizer()).save(made[kind])
        return made[kind]

    return folder


def bytes_in(folder):
    return (folder / "model.safetensors").stat().st_size


@pytest.fixture
def little_memory(monkeypatch):
    """Memory has room for such a share of what a model takes."""

    def share(folder, part):
        monkeypatch.setattr(devices, "rooms", lambda **_: {"cpu": int(part * bytes_in(folder))})

    return share


def halves(first, second):
    """The first half of a Llama's layers in one place, the rest in another."""
    places = {"model.embed_tokens": first, "model.rotary_emb": first}
    layers = {f"model.layers.{n}": second if n >= LAYERS // 2 else first for n in range(LAYERS)}
    return {**places, **layers, "model.norm": second, "lm_head": second}


@pytest.fixture
def handing_on(monkeypatch):
    """A model that is loaded to be spread hands on from layer to layer, though all of them are on one device."""

    asked = []

    def note(*_):
        asked.append(True)
        return {"": "cpu"}

    def hand_on(model):
        if not asked:
            return devices.settled(model)
        asked.clear()
        skipped = model._skip_keys_device_placement
        return dispatch_model(model, halves("cpu", "cpu"), skip_keys=skipped, force_hooks=True)

    monkeypatch.setattr(devices, "layout", note)
    monkeypatch.setattr(policies, "settled", hand_on)


def drawn(policy):
    seeded = torch.Generator().manual_seed(7)
    return sample(policy, PROMPTS, completions=3, max_new_tokens=9, generator=seeded)


def in_one_piece(folder):
    """The model as transformers computes it: somebody listens, so that no reader of ours reads it."""
    policy = Policy.load(folder)
    policy.model.register_forward_hook(lambda *_: None)
    assert reader_of(policy.model) is None
    return policy


def says_the_same(spread, whole):
    ours, theirs = drawn(spread), drawn(whole)
    assert ours.tokens.tolist() == theirs.tokens.tolist()
    torch.testing.assert_close(ours.token_logps, theirs.token_logps, atol=1e-6, rtol=0)
    with torch.no_grad():
        read, known = (completion_token_logps(one.model, theirs) for one in (spread, whole))
    torch.testing.assert_close(read, known, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_layers_left_on_the_disk_say_what_the_model_in_one_piece_says(folders, little_memory, kind):
    folder = folders(kind)
    little_memory(folder, 0.7)
    spread = sampler(folder, "policy", READ)
    assert is_fetched(spread.model)
    assert "cpu" in spread.model.hf_device_map.values()
    assert reader_of(spread.model) is None
    assert spread.device == torch.device("cpu")
    says_the_same(spread, in_one_piece(folder))


def test_layers_left_in_memory_say_what_the_model_in_one_piece_says(folders, monkeypatch):
    places = halves(
        torch.device("cpu"), "cpu"
    )  # the first computes for those that stay in the second
    monkeypatch.setattr(devices, "layout", lambda *_: places)
    spread = sampler(folders("llama"), "policy", READ)
    assert is_fetched(spread.model)
    says_the_same(spread, in_one_piece(folders("llama")))


def test_layers_that_hand_on_say_what_the_model_in_one_piece_says(folders, handing_on):
    spread = sampler(folders("llama"), "policy", READ)
    assert reader_of(spread.model) is None
    assert not is_fetched(spread.model)
    says_the_same(spread, in_one_piece(folders("llama")))


def test_what_fits_is_read_by_our_reader(folders):
    spread = Policy.load(folders("llama"), placement=READ)
    assert reader_of(spread.model) is not None
    assert device_of(spread.model) == torch.device("cpu")


@pytest.mark.parametrize("checkpointing", [False, True])
def test_an_adapter_has_the_gradients_that_it_has_in_one_piece(folders, handing_on, checkpointing):
    config = AlignConfig(lora_rank=2, gradient_checkpointing=checkpointing)
    found = []
    folder = folders("llama")
    for base in (Policy.load(folder, placement=LEARNED), in_one_piece(folder)):
        policy = set_up(adapted(base, 2, seed=0)[0], config, backward=True)
        for name, weight in trained(policy.model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(1))
        logps, hand_on = logps_to_learn_from(policy.model, drawn(Policy.load(folder)))
        (logps.sum(1) * torch.linspace(-1, 2, len(logps))).sum().backward()
        hand_on()
        found.append({name: weight.grad for name, weight in trained(policy.model).items()})
    spread, whole = found
    assert spread.keys() == whole.keys()
    largest = max(grad.abs().max() for grad in whole.values())
    assert largest > 0
    for name, grad in whole.items():
        torch.testing.assert_close(spread[name], grad, atol=1e-6 * float(largest), rtol=1e-5)


def test_half_precision_is_that_of_layers_and_not_of_logits(folders, handing_on):
    spread = Policy.load(folders("llama"), placement=READ)
    assert not computes_in_bf16(spread.model)
    set_up(spread, AlignConfig(precision="bf16"), backward=False)
    assert computes_in_bf16(spread.model)
    ids = torch.tensor([PROMPTS[1]])
    whole = set_up(Policy.load(folders("llama")), AlignConfig(precision="bf16"), backward=False)
    with torch.no_grad():
        ours, theirs = (one.model(input_ids=ids).logits for one in (spread, whole))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


GB = 1 << 30


def test_a_model_is_laid_over_all_gpus_evenly(monkeypatch):
    outline = a_model("llama").to("meta")
    size = sum(weight.nbytes for weight in outline.parameters())
    monkeypatch.setattr(devices, "rooms", lambda **_: {0: GB, 1: GB, "cpu": GB})
    found = layout(outline, READ)
    assert set(found.values()) == {0, 1}
    held = {0: 0, 1: 0}
    for name, weight in outline.named_parameters():
        held[next(place for part, place in found.items() if name.startswith(part))] += weight.nbytes
    assert max(held.values()) < 0.75 * size
    monkeypatch.setattr(devices, "rooms", lambda **_: {0: size // 2, 1: size // 3, "cpu": GB})
    assert "cpu" in layout(outline, READ).values()
    monkeypatch.setattr(devices, "rooms", lambda **_: {0: size // 2, 1: size // 3})
    with pytest.raises(OutOfMemoryError, match=r"do not fit the devices.*\(2 in all\)"):
        layout(outline, LEARNED)


def test_a_device_gives_what_is_free_or_what_the_environment_allows(monkeypatch):
    assert 0 < rooms(learns=False)["cpu"] < devices.available()
    monkeypatch.setenv("ATTUNE_DEVICE_MIB", "3")
    assert rooms(learns=True) == {"cpu": 3 << 20}


def test_several_processes_do_not_spread_a_model(monkeypatch, folders):
    monkeypatch.setattr(devices, "world", lambda: World(0, 2))
    with pytest.raises(ConfigError, match="by one process"):
        Policy.load(folders("llama"), placement=READ)


def test_weights_that_are_fetched_are_looked_through_in_their_files(
    folders, little_memory, tmp_path
):
    model = a_model("llama")
    with torch.no_grad():
        model.model.layers[-1].mlp.up_proj.weight[0, 0] = torch.nan
    Policy(model, tiny_tokenizer()).save(tmp_path / "broken")
    little_memory(tmp_path / "broken", 0.5)
    with pytest.raises(DataError, match="not a number; the weights are damaged"):
        Policy.load(tmp_path / "broken", placement=READ)


def test_memory_need_not_hold_what_is_spread(folders, monkeypatch):
    def refuse(_parameters):
        raise OutOfMemoryError("too large")

    monkeypatch.setattr(loading, "refuse_too_large", refuse)
    assert Policy.load(folders("llama"), placement=READ)
    with pytest.raises(OutOfMemoryError):
        Policy.load(folders("llama"))


def test_weights_that_are_fetched_are_not_rounded(folders, little_memory):
    little_memory(folders("llama"), 0.5)
    spread = Policy.load(folders("llama"), placement=READ)
    with pytest.raises(ConfigError, match="cannot be rounded"), int8_weights(spread.model):
        pass


@pytest.fixture(scope="module")
def reward(folders, tmp_path_factory):
    """A reward model on the tiny Llama."""
    fresh = RewardModel.fresh(folders("llama"))
    torch.nn.init.normal_(fresh.head.weight, generator=torch.Generator().manual_seed(0))
    fresh.save(folder := tmp_path_factory.mktemp("reward"))
    return folder


def test_a_reward_model_is_spread_too(reward, little_memory):
    little_memory(reward, 0.5)
    spread, fresh = RewardModel.load(reward, placement=READ), RewardModel.load(reward)
    assert is_fetched(spread.trunk.model)
    rows = [[3, 6, 7], [3, 8]]
    torch.testing.assert_close(spread.score_ids(rows), fresh.score_ids(rows), atol=1e-6, rtol=0)


def a_run(kind, folder, tmp_path, reward=None, **config):
    write_jsonl(tmp_path / "prompts.jsonl", records(8))
    inputs = {"policy": str(folder), "reference": str(folder), "prompts": "prompts.jsonl"}
    if kind == "generate":
        del inputs["reference"]
    if reward:
        inputs["reward"] = reward
    config = {"max_new_tokens": 4, **config}
    return RunSpec(kind=kind, run=1, epoch=1, config=config, inputs=inputs)


def summary(events):
    return next(event.summary for event in events if isinstance(event, Finished))


@pytest.mark.slow
def test_runs_that_read_find_what_they_find_in_one_piece(folders, reward, little_memory, tmp_path):
    folder = folders("llama")
    little_memory(folder, 0.5)
    reading = {"judge": "none", "prompts": 8, "weighed_prompts": 1, "completions_per_prompt": 2}
    found = []
    for place in ("one", "spread"):
        at = tmp_path / place
        at.mkdir()
        list(generate(a_run("generate", folder, at, placement=place), at))
        answers = (at / "output/completions.jsonl").read_text()
        (at / "output").rename(at / "answers")
        run = a_run("evaluate", folder, at, reward=str(reward), placement=place, **reading)
        told = summary(evaluate(run, at))
        measured = [told[name]["value"] for name in ("entropy_after", "reward_after", "log_z")]
        found.append(([json.loads(line)["text"] for line in answers.splitlines()], measured))
    (texts, whole), (others, spread) = found
    assert texts == others
    assert spread == pytest.approx(whole, abs=1e-4)


LORA = {**SMALL, "lora_rank": 2, "placement": "spread", "steps": 4, "checkpoint_every": 2}


@pytest.mark.slow
def test_a_saved_alignment_of_spread_layers_continues_bit_by_bit(folders, handing_on, tmp_path):
    def make():
        reference = sampler(folders("llama"), "reference", LEARNED)
        config = AlignConfig(**LORA)
        return Problem(records(6), folders("llama"), reference, says_sun, config, seed=5)

    continues(make, tmp_path, 2)
    whole = Policy.load(tmp_path / "whole/output")
    assert whole.model.state_dict().keys() == a_model("llama").state_dict().keys()


@pytest.mark.slow
def test_an_alignment_of_spread_layers_learns_what_it_learns_in_one_piece(
    folders, handing_on, tmp_path
):
    told = []
    for place, objective in (("spread", "ppo"), ("one", "ppo")):
        at = tmp_path / place
        at.mkdir()
        config = {**LORA, "placement": place, "objective": objective, "rule": "words"}
        run = a_run("align", folders("llama"), at, **config, reward_weight=0)
        told.append(summary(align(run, at)))
    ours, whole = told
    for name in ("kl_reference", "reward"):
        assert ours[name]["value"] == pytest.approx(whole[name]["value"], abs=1e-5)


def test_an_alignment_that_does_not_fit_is_refused(folders, little_memory, tmp_path):
    little_memory(folders("llama"), 0.5)
    config = {**LORA, "rule": "words", "reward_weight": 0}
    with pytest.raises(OutOfMemoryError, match="do not fit the devices"):
        list(align(a_run("align", folders("llama"), tmp_path, **config), tmp_path))


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (AlignConfig, {}, "says nothing without “LoRA rank”"),
        (AlignConfig, {"lora_rank": 2, "compile": True}, "are not compiled"),
        (GenerateConfig, {"engine": "vllm"}, "does not read “Devices”"),
    ],
)
def test_what_spreads_nothing_refuses_it(config, settings, words):
    with pytest.raises(ValidationError, match=words):
        config(placement="spread", **settings)
