"""The one door: what import refuses, every way in refuses, with role, folder and cause."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertForMaskedLM

from alignment.models.loading import is_sealed
from alignment.models.policies import Policy
from alignment.models.trials import sampler, tried_rollouts, try_contract
from alignment.reward import RewardModel
from alignment.sampling.sampling import decoded_token_logps, sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import AlignmentError, ConfigError, DataError
from alignment.seam.folders import MANIFEST, committed
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.architectures import ARCHITECTURES, model_of, policy_of, saved
from tests.cases import cases

WEIGHTS = "model.safetensors"


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def policy_folder(policy_folder):
    """One that somebody brought: nothing of it was looked at yet."""
    (policy_folder / MANIFEST).unlink()
    return policy_folder


def reweigh(folder, change):
    tensors = load_file(folder / WEIGHTS)
    save_file(change(tensors), folder / WEIGHTS, metadata={"format": "pt"})


def a_reward_model(folder):
    """The result of a reward run, in the folder."""
    model = RewardModel.fresh(folder)
    torch.nn.init.normal_(model.head.weight)
    shutil.rmtree(folder)
    folder.mkdir()
    model.save(folder)


def a_classifier(folder):
    """What other libraries store as a reward model: tied embeddings leave no weight missing."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(folder)


def an_encoder(folder):
    config = BertConfig(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertForMaskedLM(config).save_pretrained(folder)


def an_adapter(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def with_more_tokens(folder):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"more{number}" for number in range(5)])
    tokenizer.save_pretrained(folder)


def numbered_with_gaps(folder):
    """Fewer tokens than rows, one of which has a number beyond the last row."""
    stored = json.loads((folder / "tokenizer.json").read_text())
    del stored["model"]["vocab"]["rain"]
    stored["model"]["vocab"]["b"] = 40
    (folder / "tokenizer.json").write_text(json.dumps(stored))


def quantised(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq"})


def stored_in_eight_bits(folder):
    reweigh(folder, lambda t: {k: (v * 10).to(torch.int8) for k, v in t.items()})


def cut_short(folder):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def with_a_lost_shard(folder):
    (folder / WEIGHTS).unlink()
    index = {"weight_map": {"transformer.wte.weight": "model-00001-of-00002.safetensors"}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def in_shards_without_an_index(folder):
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")


def lacking_a_layer(folder):
    reweigh(folder, lambda t: {k: v for k, v in t.items() if "h.1.attn.c_attn.weight" not in k})


def with_another_width(folder):
    edit(folder / "config.json", vocab_size=20)


def with_infinite_weights(folder):
    reweigh(folder, lambda t: {k: v / 0 if "mlp.c_fc.weight" in k else v for k, v in t.items()})


def with_a_word_that_is_no_number(folder):
    """Of the last word, which hardly any prompt has."""
    last = torch.zeros(16, 1)
    last[15] = torch.nan
    reweigh(folder, lambda t: {k: v + last if "wte" in k else v for k, v in t.items()})


def of_many_layers(folder):
    edit(folder / "config.json", n_layer=10**9)


def of_an_unknown_kind(folder):
    edit(folder / "config.json", model_type="own")


def asking_for_code(folder):
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})


def with_words_for_numbers(folder):
    edit(folder / "config.json", n_embd="sixteen")


def without(name):
    def take_away(folder):
        (folder / name).unlink()

    return take_away


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def missing(folder):
    shutil.rmtree(folder)


def a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("a model")


def of_several_models(folder):
    inner = folder / "forward_kl"
    inner.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file():
            path.rename(inner / path.name)


REFUSED = [
    (a_reward_model, "it holds a reward model"),
    (a_classifier, "no head that writes"),
    (an_encoder, "an encoder: it reads and cannot write"),
    (an_adapter, "it holds an adapter"),
    (with_more_tokens, "The tokenizer has 21 tokens"),
    (numbered_with_gaps, "The tokenizer has 41 tokens"),
    (quantised, "the weights are quantised"),
    (stored_in_eight_bits, "stored as I8"),
    (cut_short, "should hold"),
    (with_a_lost_shard, "which is not here"),
    (in_shards_without_an_index, "no model.safetensors.index.json"),
    (lacking_a_layer, "The files lack 1 of the model's weights"),
    (with_another_width, "is 16 by 16 in the files and 20 by 16 by config.json"),
    (with_infinite_weights, "holds what is not a number"),
    (with_a_word_that_is_no_number, "holds what is not a number"),
    (of_many_layers, "describes 1,000,000,000 layers"),
    (of_an_unknown_kind, "config.json says “own”"),
    (asking_for_code, "asks for code"),
    (with_words_for_numbers, "config.json cannot be understood"),
    (without("config.json"), "there is no config.json"),
    (without("tokenizer.json"), "There is no tokenizer"),
    (without(WEIGHTS), "There is no model.safetensors"),
    (empty, "the folder is empty"),
    (missing, "there is no such folder"),
    (a_file, "it is a file"),
    (of_several_models, "Its folders forward_kl hold one each"),
]
NAMES = [words for _, words in REFUSED]


@pytest.mark.parametrize(("spoil", "words"), REFUSED, ids=NAMES)
def test_a_policy_s_door_says_which_folder_is_refused_and_why(policy_folder, spoil, words):
    spoil(policy_folder)
    with pytest.raises(DataError) as refused:
        Policy.load(policy_folder, "reference")
    assert str(refused.value).startswith(f"{policy_folder} does not hold a reference")
    assert words in str(refused.value)


def test_weights_of_another_model_are_told_where_no_class_is_named(policy_folder):
    reweigh(policy_folder, lambda t: t | {"score.weight": torch.ones(1, 16)})
    with pytest.raises(DataError, match=r"no place for, “score\.weight” first"):
        Policy.load(policy_folder)


READERS = [row for row in REFUSED if row[0] not in (a_reward_model, a_classifier, an_encoder)]


@cases(("spoil", "words"), READERS, ids=[words for _, words in READERS], quick=READERS[:2])
@cases("stored", [False, True], ids=["fresh", "stored"])
def test_a_reward_model_s_door_refuses_the_same(policy_folder, spoil, words, stored):
    load = RewardModel.fresh
    if stored:
        a_reward_model(policy_folder)
        words_of_the_trunk(policy_folder)
        load = RewardModel.load
    spoil(policy_folder)
    with pytest.raises(AlignmentError, match="does not hold a") as refused:
        load(policy_folder)
    assert words in str(refused.value) or (
        stored and "there is no reward.json" in str(refused.value)
    )


def words_of_the_trunk(folder):
    """Give a trunk's weights the names that a language model's have, for the ways of spoiling them."""
    reweigh(folder, lambda t: {f"transformer.{name}": weight for name, weight in t.items()})


HEADS = [
    (without("head.safetensors"), "there is no head.safetensors"),
    (without("reward.json"), "there is no reward.json"),
    (lambda folder: (folder / "reward.json").write_text("{"), "reward.json is not JSON"),
    (lambda folder: edit(folder / "reward.json", scale=None), "as numbers"),
    (lambda folder: edit(folder / "reward.json", scale=0.0), "no reward model has"),
    (lambda folder: edit(folder / "reward.json", center=[0.0, 0.0]), "does not hold the 2 heads"),
    (
        lambda folder: save_file(
            {"weight": torch.full((1, 16), torch.nan)}, folder / "head.safetensors"
        ),
        "“weight” holds what is not a number",
    ),
    (
        lambda folder: save_file({"weight": torch.ones(1, 8)}, folder / "head.safetensors"),
        "head.safetensors cannot be read",
    ),
    (
        lambda folder: (folder / "head.safetensors").write_bytes(b"\0"),
        "head.safetensors is cut short",
    ),
]


@pytest.mark.parametrize(("spoil", "words"), HEADS, ids=[words for _, words in HEADS])
def test_a_reward_model_s_own_files_are_looked_at(policy_folder, spoil, words):
    a_reward_model(policy_folder)
    spoil(policy_folder)
    with pytest.raises(DataError) as refused:
        RewardModel.load(policy_folder, "judge")
    assert str(refused.value).startswith(f"{policy_folder} does not hold a judge")
    assert words in str(refused.value)


def test_what_a_run_committed_is_not_looked_through_again_until_somebody_changes_it(tmp_path):
    with committed(tmp_path / "output") as folder:
        tiny_policy().save(folder)
    output = tmp_path / "output"
    assert is_sealed(output)
    with_a_word_that_is_no_number(output)
    assert not is_sealed(output)
    with pytest.raises(DataError, match="not a number"):
        Policy.load(output)


def test_a_file_that_was_added_to_what_a_run_committed_breaks_its_seal(tmp_path):
    with committed(tmp_path / "output") as folder:
        tiny_policy().save(folder / "inner")
    assert is_sealed(tmp_path / "output" / "inner")
    edit(tmp_path / "output" / "inner" / "config.json", more=1)
    assert not is_sealed(tmp_path / "output" / "inner")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("recurrent_gemma", "keeps some of what it has read in itself"),
        ("mamba", "keeps no keys and values"),
        ("rwkv", "keeps no keys and values"),
        ("openai-gpt", "keeps no keys and values"),
        ("minimax", "cache of its own"),
    ],
)
def test_a_model_whose_cache_cannot_be_shared_is_refused_before_it_draws(tmp_path, name, words):
    folder = saved(name, tiny_tokenizer(), tmp_path / name)
    with pytest.raises(AlignmentError, match=words) as refused:
        sampler(folder, "policy")
    assert f"{folder} does not hold a policy" in str(refused.value)


def test_a_sampler_that_keeps_its_state_in_itself_draws_nothing(generator):
    policy = policy_of("recurrent_gemma", tiny_tokenizer())
    with pytest.raises(ConfigError, match="in itself"):
        sample(policy, [[2, 6], [6]], completions=2, max_new_tokens=3, generator=generator)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral", "jamba", "falcon_h1", "gemma3_text"])
def test_sampler_and_scorer_agree_with_padding_and_rows_that_end_apart(name):
    policy = policy_of(name, tiny_tokenizer())
    try_contract(policy)
    rollouts = tried_rollouts(policy)
    assert len({len(prompt) for prompt in rollouts.prompts}) == 3
    assert len(set(rollouts.lengths.tolist())) > 2
    ways = (
        decoded_token_logps(policy.model, rollouts),
        completion_token_logps(policy.model, rollouts),
    )
    torch.testing.assert_close(*ways, atol=1e-4, rtol=0)


def test_a_model_that_sees_padding_is_refused(monkeypatch):
    """Positions that count padding: alone a prompt reads well, beside a longer one it does not."""
    policy = policy_of("gpt2", tiny_tokenizer())
    plain = type(policy.model).forward

    def blind(self, *, position_ids=None, **arguments):
        width = arguments["input_ids"].shape[1]
        past = arguments.get("past_key_values")
        start = past.get_seq_length() if past is not None else 0
        return plain(self, position_ids=torch.arange(start, start + width)[None], **arguments)

    monkeypatch.setattr(type(policy.model), "forward", blind)
    monkeypatch.setattr("alignment.sampling.sampling.reader_of", lambda model: None)
    monkeypatch.setattr("alignment.sampling.scoring.reader_of", lambda model: None)
    with pytest.raises(DataError, match="nats a token between writing it"):
        try_contract(policy)


NOT_SAMPLED = {
    "falcon_mamba", "mamba", "mamba2", "minimax", "nemotron_h", "openai-gpt", "recurrent_gemma", "rwkv", "xlstm",
}  # fmt: skip


@pytest.mark.prove
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_or_is_refused_for_a_reason(tmp_path, name, generator):
    folder = saved(name, tiny_tokenizer(), tmp_path / name)
    if name in NOT_SAMPLED:
        with pytest.raises(AlignmentError, match=str(folder)):
            sampler(folder)
        return
    policy = sampler(folder)
    prompts = [[2, 6, 7, 8, 9, 3], [3, 6], [6, 7, 8]]
    drawn = sample(policy, prompts, completions=4, max_new_tokens=12, generator=generator)
    with torch.no_grad():
        read = completion_token_logps(policy.model, drawn)
    assert (read - drawn.token_logps).abs().max() <= 1e-3


def test_the_table_of_architectures_builds_different_models():
    assert len(ARCHITECTURES) >= 50
    assert len({type(model_of(name, 16)) for name in ("gpt2", "llama", "mamba")}) == 3
