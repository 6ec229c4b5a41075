"""Who reads which architecture: all say what transformers says of whole sequences, with adapters and without."""

from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model

from alignment.models.computation import in_bf16
from alignment.models.lora import adapted, shared
from alignment.sampling import prefix, sampling, scoring
from alignment.sampling.prefix import Prefix
from alignment.sampling.readers.families import reader_of
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from tests.alignment.conftest import tiny_tokenizer
from tests.architectures import policy_of
from tests.cases import cases

# More tokens than a window (8) has, and prompts of several lengths.
PROMPTS = [[2, 6, 7, 8, 9, 10, 11, 12, 3], [3, 6], [6, 7, 8]]
OURS = {
    "gpt2": {},
    "llama": {},
    "llama of biases and tied embeddings": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "llama whose heads share nothing": {"num_key_value_heads": 4},
    "mistral": {},
    "mistral without a window": {"sliding_window": None},
    "qwen2": {},
    "qwen2 of windows": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": {},
    "gemma": {},
    "smollm3": {"no_rope_layer_interval": 2},
    "seed_oss": {},
}  # fmt: skip
THEIRS = (
    "bloom", "cohere", "falcon", "gemma2", "gemma3_text", "glm", "gpt_neox", "granite", "mixtral", "olmo2", "opt", "phi",
    "phi3", "stablelm", "starcoder2",
)  # fmt: skip


def architecture(name):
    return name.split()[0]


def made(name, **changes):
    return policy_of(architecture(name), tiny_tokenizer(), **(OURS.get(name, {}) | changes))


def drawn(policy):
    generator = torch.Generator().manual_seed(5)
    return sample(policy, PROMPTS, completions=3, max_new_tokens=7, generator=generator)


@pytest.fixture
def by_transformers(monkeypatch):
    """A call after which only transformers reads."""

    def switch():
        for module in (sampling, scoring, prefix):
            monkeypatch.setattr(module, "reader_of", lambda model: None)

    return switch


def whole_logps(policy, rollouts):
    """Of each row's counted tokens, by one forward of transformers over prompt and completion alone."""
    found = torch.zeros_like(rollouts.token_logps)
    for row, ids in enumerate(rollouts.completion_ids()):
        start = len(rollouts.prompts[row]) - 1
        read = torch.tensor([[*rollouts.prompts[row], *ids]])
        logits = policy.model(input_ids=read[:, :-1], use_cache=False).logits[0, start:]
        logps = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        found[row, : len(ids)] = logps
    return found


def is_close(one, other):
    """Within 1e-5 of each other."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@cases(
    "name",
    [*OURS, *THEIRS],
    quick=[
        "gpt2",
        "llama whose heads share nothing",
        "mistral",
        "qwen2 of windows",
        "gemma",
        "bloom",
        "phi",
    ],
)
@torch.no_grad()
def test_who_reads_says_what_transformers_says(name, by_transformers):
    policy = made(name)
    assert (reader_of(policy.model) is not None) == (name in OURS)
    rollouts = drawn(policy)
    expected = whole_logps(policy, rollouts)
    is_close(rollouts.token_logps, expected)
    is_close(completion_token_logps(policy.model, rollouts), expected)
    by_transformers()
    assert torch.equal(drawn(policy).tokens, rollouts.tokens)


@cases("name", [*OURS], quick=["gpt2", "llama whose heads share nothing", "mistral"])
@torch.no_grad()
def test_a_prompt_alone_is_answered_as_beside_others(name):
    """Nothing is padded, so that nothing has to be hidden."""
    policy, generator = made(name), torch.Generator().manual_seed(5)
    rollouts = sample(policy, PROMPTS[:1], completions=3, max_new_tokens=7, generator=generator)
    is_close(rollouts.token_logps, whole_logps(policy, rollouts))


def test_twenty_architectures_are_held_against_transformers_and_six_families_read_by_ours():
    assert len({architecture(name) for name in OURS}) >= 6
    assert len({architecture(name) for name in (*OURS, *THEIRS)}) >= 20


@pytest.mark.parametrize(
    "kind",
    [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8},
        {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ],
)
@torch.no_grad()
def test_positions_are_scaled_as_the_config_says(kind):
    policy = made("llama", rope_parameters={"rope_theta": 100.0, **kind})
    rollouts = drawn(policy)
    assert reader_of(policy.model) is not None
    is_close(rollouts.token_logps, whole_logps(policy, rollouts))
    plain = made("llama", rope_parameters={"rope_theta": 100.0, "rope_type": "default"})
    assert not torch.allclose(whole_logps(plain, rollouts), rollouts.token_logps, atol=1e-3)


def with_adapter(name):
    """A policy with an adapter that adds something, and its reference."""
    reference = shared(made(name))
    policy, _ = adapted(reference, 2, seed=3)
    generator = torch.Generator().manual_seed(1)
    for weight_name, weight in policy.model.named_parameters():
        if "lora_B" in weight_name:
            weight.data.normal_(std=0.3, generator=generator)
    return policy, reference


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "qwen3", "gemma"])
@torch.no_grad()
def test_an_adapter_adds_to_the_policy_and_not_to_its_reference(name):
    policy, reference = with_adapter(name)
    rollouts = drawn(policy)
    assert reader_of(policy.model) is not None
    assert reader_of(reference.model) is not None
    expected, others = whole_logps(policy, rollouts), whole_logps(reference, rollouts)
    is_close(rollouts.token_logps, expected)
    is_close(completion_token_logps(policy.model, rollouts), expected)
    is_close(completion_token_logps(reference.model, rollouts), others)
    assert (expected - others).abs().max() > 0.1


def gradients(policy, rollouts):
    """Of a weighted sum of log-probabilities, with prompts read once and completions in several batches."""
    policy.model.zero_grad()
    weights = torch.linspace(-1, 2, len(rollouts.prompts))
    for batch in scoring.shared_batches(policy.model, rollouts):
        part = scoring.token_logps(scoring.completion_logits(policy.model, batch), batch).sum(1)
        (weights[batch.rows] * part).sum().backward()
    return {
        name: weight.grad.clone()
        for name, weight in policy.model.named_parameters()
        if weight.requires_grad
    }


@pytest.mark.parametrize("make", [made, lambda name: with_adapter(name)[0]])
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen3", "gemma", "smollm3"])
def test_gradients_are_those_of_transformers(name, make, by_transformers, monkeypatch):
    monkeypatch.setattr(scoring, "budget", lambda device: 24)
    policy = make(name)
    rollouts = drawn(policy)
    assert any(batch.prefix is not None for batch in scoring.shared_batches(policy.model, rollouts))
    mine = gradients(policy, rollouts)
    by_transformers()
    theirs = gradients(policy, rollouts)
    assert mine.keys() == theirs.keys()
    for weight, gradient in mine.items():
        torch.testing.assert_close(gradient, theirs[weight], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_windows_hold_where_transformers_goes_on_from_a_prompt_that_ours_could_read(monkeypatch):
    """As where somebody began to listen to the model after its prompts were found to be shared."""
    policy = made("mistral")
    rollouts = drawn(policy)
    monkeypatch.setattr(Prefix, "reader", lambda self, model: None)
    is_close(completion_token_logps(policy.model, rollouts), whole_logps(policy, rollouts))


def listened_to(policy):
    policy.model.model.layers[0].mlp.register_forward_hook(lambda *_: None)


def in_half(policy):
    in_bf16(policy.model)


def of_another_precision(policy):
    policy.model.to(torch.float64)


def in_training(policy):
    policy.model.model.layers[1].train()


def of_another_layer(policy):
    policy.model.model.layers[1].mlp = torch.nn.Linear(32, 32)


def of_a_layer_that_does_nothing(policy):
    policy.model.model.layers[1].self_attn.o_proj = torch.nn.Identity()


def of_a_window_of_its_own(policy):
    policy.model.config.sliding_window = 4


def reading_both_ways(policy):
    policy.model.model.layers[0].self_attn.is_causal = False


def with_lora(policy, **settings):
    get_peft_model(policy.model, LoraConfig(r=2, target_modules="all-linear", **settings)).eval()


def merged_in(policy):
    handle = get_peft_model(policy.model, LoraConfig(r=2, target_modules="all-linear")).eval()
    handle.merge_adapter()


@pytest.mark.parametrize(
    "change",
    [
        listened_to,
        in_half,
        of_another_precision,
        in_training,
        of_another_layer,
        of_a_layer_that_does_nothing,
        of_a_window_of_its_own,
        reading_both_ways,
        partial(with_lora, use_dora=True),
        partial(with_lora, lora_bias=True, bias="none"),
        merged_in,
    ],
)
def test_a_model_that_is_more_than_its_architecture_reads_for_itself(change):
    policy = made("llama", attention_bias=True, mlp_bias=True)
    assert reader_of(policy.model) is not None
    change(policy)
    assert reader_of(policy.model) is None


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_whose_scale_depends_on_the_length_are_left_to_transformers(kind):
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4} if kind == "longrope" else {}
    rope = {"rope_theta": 100.0, "rope_type": kind, "factor": 2.0, **factors}
    rope["original_max_position_embeddings"] = 128
    assert reader_of(made("llama", rope_parameters=rope).model) is None


def test_a_scale_of_the_square_root_of_the_rank_is_read():
    policy = made("llama")
    with_lora(policy, use_rslora=True, lora_alpha=4)
    scale = reader_of(policy.model).blocks[0].attention.query.scale
    assert scale == pytest.approx(4 / 2**0.5)
