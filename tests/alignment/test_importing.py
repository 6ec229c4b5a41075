"""People's own models: what is kept, and what is refused before any loader sees it."""

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertLMHeadModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from alignment.kinds.spec import RunSpec
from alignment.models.adapters import MEANT, settings_of
from alignment.models.loading import refuse_too_large
from alignment.models.policies import Policy
from alignment.reward import RewardModel
from alignment.seam.errors import ConfigError, DataError, OutOfMemoryError
from alignment.seam.events import Finished, PhaseStarted
from alignment.seam.folders import file_sha256, verify
from alignment.seam.modelfiles import check_folder
from alignment.seam.records import Message
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_archives import packed
from tests.cases import cases

SMALL = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 32, "num_key_value_heads": 1, "max_position_embeddings": 64}


@pytest.fixture
def model(saved_policy, tmp_path):
    """A tiny model in a folder below an allowed one."""
    return shutil.copytree(saved_policy, tmp_path / "allowed" / "tiny")


@pytest.fixture
def add(tmp_path):
    """Run the trainer's import on a folder or an upload; its events."""

    def run(source, /, **settings):
        base = settings.pop("base", None)
        config = {"source": "folder", "name": "tiny"} | settings
        inputs = {"source": str(source), "root": str(tmp_path / "allowed")}
        inputs |= {"base": str(base)} if base else {}
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return list(
            drive(RunSpec(kind="import", run=1, epoch=1, config=config, inputs=inputs), folder)
        )

    return run


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run" / "output"


def test_the_card_says_what_ends_an_answer(model, add):
    edit(model / "generation_config.json", eos_token_id=[1, 4])
    facts = add(model)[-1].summary
    said = "<|end|> (tokenizer, generation_config.json); <|assistant|> (generation_config.json)"
    assert facts["answers_end_with"] == said
    assert facts["turn_closes_with"] == "nothing of its own"
    assert facts["prompt_ends_with"] == "<|assistant|>"


def test_a_template_that_drops_answers_is_refused(model, add):
    template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    (model / "chat_template.jinja").write_text(template)
    with pytest.raises(DataError, match="does not write an answer as it was given"):
        add(model)


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_model_is_kept_byte_for_byte_with_its_card(model, add, output):
    summary = add(model)[-1].summary
    verify(output)
    assert file_sha256(output / "model.safetensors") == file_sha256(model / "model.safetensors")
    assert (summary["parameters"], summary["layers"], summary["vocabulary"]) == (7360, 2, 16)
    assert (summary["architecture"], summary["dtype"]) == ("GPT2LMHeadModel", "float32")
    assert (summary["context_length"], summary["chat_template"]) == (32, True)
    trained = {"sft", "prefer", "reward", "classify", "align", "population"}
    changed = {"quantise", "prune", "factorise", "distil", "edit"}
    assert set(summary["memory"]) == {"generate", "evaluate"} | trained | changed
    assert summary["shape"]["parameters"] == 7360


def test_what_was_added_answers_as_before(model, add, output):
    add(model)
    ids = torch.tensor([[2, 6, 7]])
    before, after = (Policy.load(folder).model(ids).logits for folder in (model, output))
    torch.testing.assert_close(after, before)


def test_nothing_is_left_of_what_came_in(model, add, tmp_path):
    add(model)
    assert not (tmp_path / "run" / "incoming").exists()


def test_its_phases_are_told(model, add):
    phases = [event.name for event in add(model) if isinstance(event, PhaseStarted)]
    assert phases == ["copying", "checking", "loading", "trying"]


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def hostile(name, content):
    def spoil(folder):
        (folder / name).write_bytes(content)

    return spoil


def with_pickle(folder):
    """A name that loaders know, and a pickle that acts."""
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder.parent / "sprung")))


def with_link(folder):
    (folder / "merges.txt").symlink_to("/etc/passwd")


def with_pipe(folder):
    os.mkfifo(folder / "merges.txt")


def naming_code(folder):
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})


def naming_code_deep_in_the_tokenizer(folder):
    edit(folder / "tokenizer_config.json", extra=[{"inner": {"auto_map": ["x.Tokenizer", None]}}])


def with_pipelines(folder):
    edit(folder / "config.json", custom_pipelines={"own": {"impl": "own.Own"}})


def trusting(folder):
    edit(folder / "config.json", trust_remote_code=True)


def with_a_foreign_kernel(folder):
    edit(folder / "config.json", attn_implementation="somebody/kernel")


def cut_short(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def without_header(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)


def header(**rows):
    text = json.dumps(rows).encode()
    return struct.pack("<Q", len(text)) + text


def lying(folder):
    row = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}
    (folder / "model.safetensors").write_bytes(header(weight=row) + b"0000")


def with_a_gap(folder):
    row = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    (folder / "model.safetensors").write_bytes(header(weight=row) + b"00000000")


def with_foreign_shards(folder):
    index = {"weight_map": {"weight": "../../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def deep(folder):
    (folder / "config.json").write_text("[" * 100_000 + "]" * 100_000)


def of_an_unknown_kind(folder):
    edit(folder / "config.json", model_type="own")


def of_many_layers(folder):
    edit(folder / "config.json", n_layer=10**9)


def larger_than_its_files(folder):
    edit(folder / "config.json", n_embd=4096)


def quantised(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq"})


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def without_config(folder):
    (folder / "config.json").unlink()


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def with_a_broken_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


def lacking_a_layer(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["transformer.h.1.attn.c_attn.weight"]
    save_file(tensors, path, metadata={"format": "pt"})


def of_damaged_numbers(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.wte.weight"][:] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


def reading_both_ways(folder):
    """A model of a kind that writes, set to read ahead."""
    config = Gemma3TextConfig(**SMALL, head_dim=8, use_bidirectional_attention=True)
    Gemma3ForCausalLM(config).save_pretrained(folder)


def an_encoder(folder, kind=BertForMaskedLM, **changes):
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    config = BertConfig(**{name: SMALL[name] for name in names}, intermediate_size=32, **changes)
    kind(config).save_pretrained(folder)


def with_more_tokens_than_the_model_knows(folder):
    tokenizer = tiny_policy().tokenizer
    tokenizer.add_tokens([f"more{number}" for number in range(5)])
    tokenizer.save_pretrained(folder)


def with_a_failing_template(folder):
    (folder / "chat_template.jinja").write_text("{{ messages.nothing.at.all() }}")


HOSTILE = [
    (with_pickle, "pytorch_model.bin holds pickled"),
    (hostile("tf_model.h5", b""), "tf_model.h5 is not safetensors"),
    (hostile("flax_model.msgpack", b""), "flax_model.msgpack"),
    (hostile("model.ckpt", b""), "model.ckpt"),
    (hostile("modeling_own.py", b"import os"), "modeling_own.py is code"),
    (hostile("a b.json", b"{}"), "a b.json"),
    (hostile("generation_config.json", b"{"), "generation_config.json is not JSON"),
    (with_link, "merges.txt is a link out"),
    (with_pipe, "merges.txt"),
    (naming_code, "config.json asks for code"),
    (naming_code_deep_in_the_tokenizer, "tokenizer_config.json asks for code"),
    (with_pipelines, "config.json asks for code"),
    (trusting, "config.json asks for code"),
    (with_a_foreign_kernel, "config.json asks for a foreign kernel"),
    (cut_short, "model.safetensors should hold"),
    (without_header, "model.safetensors is cut short"),
    (lying, "model.safetensors has a damaged header"),
    (with_a_gap, "model.safetensors has a header with gaps"),
    (with_foreign_shards, "model.safetensors.index.json names"),
    (deep, "config.json is not JSON"),
    (of_an_unknown_kind, "config.json says “own”"),
    (of_many_layers, "config.json describes 1,000,000,000 layers"),
    (larger_than_its_files, "config.json describes"),
    (quantised, "config.json says the weights are quantised"),
    (without_weights, "no model.safetensors"),
    (without_config, "no config.json"),
    (without_tokenizer, "no tokenizer"),
    (with_a_broken_tokenizer, "tokenizer.json is no tokenizer that can be loaded"),
    (lacking_a_layer, "transformer.h.1.attn.c_attn.weight"),
    (of_damaged_numbers, "not a number"),
    (with_more_tokens_than_the_model_knows, "The tokenizer has 21 tokens"),
    (reading_both_ways, "no causal model"),
    (with_a_failing_template, "chat_template.jinja does not work"),
]


@pytest.mark.parametrize(("spoil", "words"), HOSTILE, ids=[words for _, words in HOSTILE])
def test_what_is_not_fine_is_refused_by_name(model, add, output, spoil, words):
    spoil(model)
    with pytest.raises(DataError) as refused:
        add(model)
    assert words in str(refused.value)
    assert not output.exists()
    assert not (model.parent / "sprung").exists()


@cases("template", ["own", "plain"])
def test_an_encoder_is_kept_for_reward_models(model, add, output, template):
    an_encoder(model)
    summary = add(model, template=template)[-1].summary
    assert (summary["encoder"], summary["architecture"]) == (True, "BertModel")
    assert set(summary["memory"]) == {"reward"}
    assert file_sha256(output / "model.safetensors") == file_sha256(model / "model.safetensors")
    assert RewardModel.fresh(output).pooling == "mean"


def test_a_decoder_of_an_encoder_s_kind_is_a_policy(model, add):
    an_encoder(model, BertLMHeadModel, is_decoder=True)
    assert "encoder" not in add(model)[-1].summary


@cases("outputs", [1, 3])
def test_a_model_that_rates_is_kept_to_be_a_reward_model(model, add, output, outputs):
    config = GPT2Config.from_pretrained(model, num_labels=outputs)
    GPT2ForSequenceClassification(config).save_pretrained(model)
    summary = add(model)[-1].summary
    assert (summary["rater"], summary["architecture"]) == (True, "GPT2ForSequenceClassification")
    assert file_sha256(output / "model.safetensors") == file_sha256(model / "model.safetensors")
    assert (
        RewardModel.of_classes(output, outputs - 1, "closed", "model")
        .raw([[5, 6]])
        .isfinite()
        .all()
    )


@pytest.mark.parametrize(("outputs", "kept"), [(1, "rater"), (2, "encoder")])
def test_an_encoder_that_gives_a_number_rates_and_one_of_classes_is_a_backbone(
    model, add, outputs, kept
):
    an_encoder(model, BertForSequenceClassification, num_labels=outputs)
    assert add(model)[-1].summary[kept] is True


def test_a_damaged_encoder_is_refused(model, add, output):
    an_encoder(model)
    weights = load_file(model / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"] *= float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="not a number"):
        add(model)
    assert not output.exists()


def test_the_trap_of_these_tests_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_token_may_be_called_like_a_key_that_names_code(model):
    (model / "vocab.json").write_text(json.dumps({"auto_map": 7}))
    assert check_folder(model).elements > 0


def test_paths_of_somebodys_machine_are_forgotten(model, add, output):
    edit(model / "tokenizer_config.json", vocab_file="/etc/passwd")
    add(model)
    assert "/etc/passwd" not in (output / "tokenizer_config.json").read_text()


def test_a_link_inside_the_allowed_folder_is_followed(model, add, output):
    (model / "config.json").rename(model.parent / "blob")
    (model / "config.json").symlink_to(model.parent / "blob")
    add(model)
    assert not (output / "config.json").is_symlink()


def test_a_folder_outside_the_allowed_one_is_refused(model, add, tmp_path):
    model.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="not below a folder"):
        add(tmp_path / "elsewhere")


def test_what_is_larger_than_allowed_is_refused(model, add):
    with pytest.raises(DataError, match="larger than is allowed"):
        add(model, limit_gib=1e-6)


def test_weights_that_do_not_fit_this_machine_are_refused_before_they_are_loaded():
    refuse_too_large(1000)
    with pytest.raises(OutOfMemoryError, match="take 4000000 GB"):
        refuse_too_large(10**15)


def without_template(folder):
    (folder / "chat_template.jinja").unlink()


def test_without_a_chat_template_one_is_asked_for(model, add):
    without_template(model)
    with pytest.raises(ConfigError, match="choose one"):
        add(model)


def test_a_plain_template_replaces_the_models_own(model, add, output):
    assert add(model, template="plain")[-1].summary["chat_template"] is False
    policy = Policy.load(output)
    text = policy.prompt_ids([Message(role="user", content="good day")])
    assert policy.tokenizer.chat_template is None
    assert text == policy.tokenizer("User: good day\nAssistant:")["input_ids"]


def test_chatml_needs_its_tokens(model, add):
    with pytest.raises(ConfigError, match=r"does not know .*im_start"):
        add(model, template="chatml")


def test_chatml_ends_answers_with_its_own_token(tmp_path, add, output):
    policy, folder = tiny_policy(vocabulary=18), tmp_path / "allowed" / "chat"
    policy.tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    folder.mkdir(parents=True)
    policy.save(folder)
    add(folder, template="chatml")
    kept = Policy.load(output)
    assert kept.tokenizer.convert_ids_to_tokens(kept.turn_end) == "<|im_end|>"
    assert "<|im_start|>" in kept.tokenizer.chat_template


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@cases("name", ["model.zip", "model.tar.gz"])
def test_an_archive_of_a_folder_becomes_a_model(model, add, inbox, output, name):
    packed(model, inbox / name)
    add(inbox, source="upload")
    assert (output / "model.safetensors").is_file()


def test_files_on_their_own_become_a_model(model, add, output):
    assert isinstance(add(model, source="upload")[-1], Finished)
    assert output.is_dir()


def test_an_upload_that_went_away_is_asked_for_again(add, tmp_path):
    with pytest.raises(DataError, match="upload the model again"):
        add(tmp_path / "gone", source="upload")


def test_an_archive_comes_alone(model, add, inbox):
    packed(model, inbox / "model.zip")
    (inbox / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"model\.zip"):
        add(inbox, source="upload")


# Adapters


@pytest.fixture(scope="module")
def saved_adapter(saved_policy, tmp_path_factory):
    """A LoRA adapter of the tiny model, to be copied, and the logits of both together."""
    torch.manual_seed(1)
    config = LoraConfig(
        r=2, target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights=False
    )
    wrapped = get_peft_model(Policy.load(saved_policy).model, config)
    folder = tmp_path_factory.mktemp("adapter")
    wrapped.save_pretrained(folder)
    return folder, wrapped(torch.tensor([[2, 6, 7]])).logits.detach()


@pytest.fixture
def adapter(saved_adapter, tmp_path):
    folder, logits = saved_adapter
    return shutil.copytree(folder, tmp_path / "allowed" / "adapter"), logits


def test_an_adapter_and_its_base_become_one_full_model(model, adapter, add, output):
    folder, expected = adapter
    summary = add(folder, base=model)[-1].summary
    assert summary["merged"] == "a LoRA adapter, into a full model"
    logits = Policy.load(output).model(torch.tensor([[2, 6, 7]])).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    assert (logits - Policy.load(model).model(torch.tensor([[2, 6, 7]])).logits).abs().max() > 0.1


def test_an_adapter_without_its_base_names_it(adapter, add):
    edit(adapter[0] / "adapter_config.json", base_model_name_or_path="owner/base")
    with pytest.raises(DataError, match="owner/base"):
        add(adapter[0])


def test_a_whole_model_takes_no_base(model, add):
    with pytest.raises(DataError, match="choose no base"):
        add(model, base=model)


@pytest.mark.parametrize("changes", [
    {"peft_type": "PREFIX_TUNING"}, {"megatron_config": {"x": 1}}, {"bias": "all"},
    {"layer_replication": [[0, 2]]}, {"target_modules": ["nowhere"]}, {"r": 3}, {"own": 1},
])  # fmt: skip
def test_an_adapter_that_means_something_else_is_refused(model, adapter, add, changes):
    edit(adapter[0] / "adapter_config.json", **changes)
    with pytest.raises(DataError):
        add(adapter[0], base=model)


@cases(
    ("changes", "words"),
    [
        ({"target_modules": "(((c|t|r|a|n|s|f|o|m|e|h|.|_|[0-9])+)+)+!"}, "did not finish within 1 s"),
        ({"target_modules": "("}, "cannot be understood"),
        ({"r": 10**9}, "describes 128,000,000,000 weights"),
        ({"r": -1}, "cannot be understood"),
        ({"r": "many"}, "cannot be understood"),
        ({"rank_pattern": {"c_attn": 10**9}}, "weights; adapter_model.safetensors holds"),
        ({"lora_alpha": "much"}, "cannot be understood"),
        ({"modules_to_save": 7}, "cannot be understood"),
    ], quick=[({"r": 10**9}, "describes 128,000,000,000 weights"), ({"r": -1}, "cannot be understood")])  # fmt: skip
def test_an_adapter_that_asks_for_too_much_is_refused(
    model, adapter, add, changes, words, monkeypatch
):
    monkeypatch.setattr("alignment.foreign.forks.SECONDS", 1)
    edit(adapter[0] / "adapter_config.json", **changes)
    with pytest.raises(DataError, match=r"^adapter_config\.json ") as refused:
        add(adapter[0], base=model)
    assert words in str(refused.value)


def test_an_adapter_that_lacks_a_layer_is_refused(model, adapter, add):
    path = adapter[0] / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors.pop(min(tensors))
    save_file(tensors, path)
    with pytest.raises(DataError, match="does not fit"):
        add(adapter[0], base=model)


def test_only_settings_that_say_what_the_weights_mean_are_read(adapter):
    edit(adapter[0] / "adapter_config.json", megatron_core="sprung", init_lora_weights="pissa")
    assert set(settings_of(adapter[0])) <= MEANT


def test_an_adapters_settings_import_nothing(model, adapter, add, tmp_path, monkeypatch):
    (tmp_path / "sprung.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    named = {"base_model_class": "X", "parent_library": "sprung"}
    edit(adapter[0] / "adapter_config.json", auto_mapping=named, megatron_core="sprung")
    assert isinstance(add(adapter[0], base=model)[-1], Finished)


# Architectures


@cases("kind", ["llama", "qwen3", "gemma3_text", "mixtral", "phi3"])
def test_shards_in_bfloat16_of_other_architectures_are_added(model, add, kind):
    tokens = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **SMALL, **tokens)
    shutil.rmtree(model)
    tiny_policy().tokenizer.save_pretrained(model)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(
        model, max_shard_size="3KB"
    )
    assert len(list(model.glob("model-*-of-*.safetensors"))) > 1
    summary = add(model)[-1].summary
    assert (summary["layers"], summary["dtype"]) == (2, "bfloat16")


def test_a_model_that_no_cache_can_hold_is_refused(model, add):
    shutil.rmtree(model)
    tiny_policy().tokenizer.save_pretrained(model)
    config = AutoConfig.for_model("mamba", vocab_size=16, hidden_size=16, num_hidden_layers=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(model)
    with pytest.raises(ConfigError, match="keeps no keys and values"):
        add(model)
