"""Adapters as people bring them: what is stored is what PEFT's own loading computes, or nothing is."""

import json
import shutil
from copy import deepcopy
from functools import cache

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignment.kinds.bring import run as importing
from alignment.kinds.spec import RunSpec
from alignment.models.policies import Policy
from alignment.seam.errors import DataError
from alignment.trainer import drive
from tests.alignment.conftest import tiny_tokenizer
from tests.architectures import saved
from tests.cases import cases

TARGETS = {"gpt2": ["c_attn"], "llama": ["q_proj", "down_proj"]}
TOKENS = torch.tensor([[2, 6, 7, 9, 3, 12], [4, 4, 8, 10, 15, 1]])


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """The folders of base models, which nobody changes."""
    folder = tmp_path_factory.mktemp("bases")
    return {name: saved(name, tiny_tokenizer(), folder / name) for name in TARGETS}


@pytest.fixture(params=["gpt2", pytest.param("llama", marks=pytest.mark.slow)])
def base(request, bases):
    """The folder of a base model: its output layer is tied to its embeddings, or has weights of its own."""
    return bases[request.param]


@pytest.fixture(scope="module")
def usual(bases, tmp_path_factory):
    """Adapters of each base with the usual settings, to be copied, and what they compute."""
    folder = tmp_path_factory.mktemp("usual")
    return {name: trained(base, folder / name) for name, base in bases.items()}


@pytest.fixture
def plain_adapter(base, usual, tmp_path):
    return shutil.copytree(usual[base.name][0], tmp_path / "allowed" / "adapter")


@pytest.fixture
def add(tmp_path):
    def run(adapter, base, **settings):
        config = {"source": "folder", "name": "tiny"} | settings
        inputs = {"source": adapter, "root": tmp_path / "allowed", "base": base}
        spec = RunSpec(
            kind="import",
            run=1,
            epoch=1,
            config=config,
            inputs={role: str(path) for role, path in inputs.items()},
        )
        (tmp_path / "run").mkdir(exist_ok=True)
        summary = list(drive(spec, tmp_path / "run"))[-1].summary
        return summary, tmp_path / "run" / "output"

    return run


@cache
def opened(base):
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def plain(base):
    """A base model to be changed."""
    return deepcopy(opened(base))


def trained(base, folder, *, rows=None, **settings):
    """Somebody's adapter after some training, in a folder beside its base."""
    model = plain(base)
    if rows:
        model.resize_token_embeddings(rows)
    torch.manual_seed(1)
    conv = base.name == "gpt2"
    config = {"r": 4, "target_modules": TARGETS[base.name], "fan_in_fan_out": conv} | settings
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))
    for weight in wrapped.parameters():
        if weight.requires_grad:
            weight.data += 0.1 * torch.randn(weight.shape)
    wrapped.save_pretrained(folder)
    return folder, wrapped.eval()(TOKENS).logits.detach()


def of_peft(base, adapter, rows=None):
    """What PEFT computes that loads the adapter itself."""
    model = plain(base)
    if rows:
        model.resize_token_embeddings(rows)
    return PeftModel.from_pretrained(model, adapter).eval()(TOKENS).logits.detach()


def logits(output):
    return Policy.load(output).model(TOKENS).logits


SETTINGS = {
    "plain": {},
    "pissa": {"init_lora_weights": "pissa"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "with patterns": {"rank_pattern": {"0": 2}, "alpha_pattern": {"1": 16}},
    "all layers": {"target_modules": "all-linear"},
}


@cases("changes", SETTINGS.values(), ids=SETTINGS)
def test_a_merged_adapter_is_what_peft_makes_of_it(base, add, tmp_path, changes):
    adapter, expected = trained(base, tmp_path / "allowed" / "adapter", **changes)
    _, output = add(adapter, base)
    torch.testing.assert_close(of_peft(base, adapter), expected, atol=1e-4, rtol=0)
    found = logits(output)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - opened(base)(TOKENS).logits).abs().max() > 0.01


def test_an_adapter_that_began_by_olora_is_what_peft_makes_of_it(bases, add, tmp_path):
    """Of linear layers: PEFT begins so with no others."""
    base = bases["llama"]
    place = tmp_path / "allowed" / "adapter"
    adapter, expected = trained(base, place, init_lora_weights="olora")
    _, output = add(adapter, base)
    torch.testing.assert_close(of_peft(base, adapter), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(logits(output), expected, atol=1e-4, rtol=0)


ENDS = {"gpt2": ("wte", "lm_head"), "llama": ("embed_tokens", "lm_head")}
OF_THE_ENDS = {
    "embeddings saved": lambda read, written: {"modules_to_save": [read]},
    "head saved": lambda read, written: {"modules_to_save": [written]},
    "both saved": lambda read, written: {"modules_to_save": [read, written]},
    "embeddings adapted": lambda read, written: {"target_modules": [read]},
    "head adapted": lambda read, written: {"target_modules": [written], "fan_in_fan_out": False},
}


@cases("changes", OF_THE_ENDS.values(), ids=OF_THE_ENDS)
def test_an_adapter_of_a_tied_layer_is_merged_into_that_alone(base, add, tmp_path, changes):
    settings = {"fan_in_fan_out": False} | changes(*ENDS[base.name])
    settings.setdefault("target_modules", ["mlp.c_fc"] if base.name == "gpt2" else ["q_proj"])
    adapter, expected = trained(base, tmp_path / "allowed" / "adapter", **settings)
    _, output = add(adapter, base)
    torch.testing.assert_close(logits(output), expected, atol=1e-4, rtol=0)


@cases("begun", ["pissa_niter_4", "loftq", "corda", "lora_ga", "unheard_of"])
def test_an_adapter_whose_base_was_changed_by_chance_is_refused_by_name(
    base, plain_adapter, add, begun
):
    stored = json.loads((plain_adapter / "adapter_config.json").read_text())
    (plain_adapter / "adapter_config.json").write_text(
        json.dumps(stored | {"init_lora_weights": begun})
    )
    with pytest.raises(DataError, match=f"init_lora_weights “{begun}”"):
        add(plain_adapter, base)


def larger_tokenizer(*, template=None):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|turn|>", "<|done|>"]})
    tokenizer.eos_token = "<|done|>"
    if template:
        tokenizer.chat_template = template
    return tokenizer


TEMPLATE = "{% for m in messages %}<|turn|> {{ m['content'] }} {% endfor %}<|turn|>"


def test_an_adapter_after_resized_embeddings_brings_them_and_its_tokenizer(base, add, tmp_path):
    place = tmp_path / "allowed" / "adapter"
    ends = list(ENDS[base.name])
    adapter, expected = trained(base, place, rows=18, modules_to_save=ends)
    larger_tokenizer(template=TEMPLATE).save_pretrained(adapter)
    summary, output = add(adapter, base)
    torch.testing.assert_close(logits(output), expected, atol=1e-4, rtol=0)
    kept = Policy.load(output)
    assert kept.tokenizer.chat_template == TEMPLATE
    assert kept.tokenizer.eos_token == "<|done|>"
    assert (summary["vocabulary"], kept.width) == (18, 18)
    assert "adapter's own tokenizer" in summary["merged"]


@pytest.mark.slow
def test_an_adapter_that_saved_its_embedding_layers_brings_them(base, add, tmp_path):
    place = tmp_path / "allowed" / "adapter"
    adapter, expected = trained(base, place, rows=18)
    names = load_file(adapter / "adapter_model.safetensors")
    assert any("wte.weight" in name or "embed_tokens.weight" in name for name in names)
    larger_tokenizer().save_pretrained(adapter)
    _, output = add(adapter, base)
    torch.testing.assert_close(logits(output), expected, atol=1e-4, rtol=0)


def test_an_adapter_whose_new_rows_were_never_saved_is_refused(base, plain_adapter, add):
    larger_tokenizer().save_pretrained(plain_adapter)
    with pytest.raises(DataError, match="18 tokens and the model knows 16"):
        add(plain_adapter, base)


def test_new_rows_of_the_head_that_were_never_saved_are_named(bases, add, tmp_path):
    base = bases["llama"]
    place = tmp_path / "allowed" / "adapter"
    adapter, _ = trained(base, place, rows=18, modules_to_save=["embed_tokens"])
    path = adapter / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "lm_head" not in k}, path)
    with pytest.raises(DataError, match="new rows of “lm_head” were not saved"):
        add(adapter, base)


def test_a_template_alone_is_used(base, plain_adapter, add):
    (plain_adapter / "chat_template.jinja").write_text("{{ messages[-1]['content'] }} now")
    _, output = add(plain_adapter, base)
    kept = AutoTokenizer.from_pretrained(output)
    assert kept.chat_template == "{{ messages[-1]['content'] }} now"
    assert kept.get_vocab() == tiny_tokenizer().get_vocab()


def test_a_tokenizer_that_brings_no_template_leaves_the_base_s(base, plain_adapter, add):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(plain_adapter)
    _, output = add(plain_adapter, base)
    assert AutoTokenizer.from_pretrained(output).chat_template == tiny_tokenizer().chat_template


@pytest.mark.slow
def test_a_template_in_the_tokenizers_settings_is_used(base, plain_adapter, add):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(plain_adapter)
    settings = json.loads((plain_adapter / "tokenizer_config.json").read_text())
    changed = settings | {"chat_template": "{{ messages[-1]['content'] }} please"}
    (plain_adapter / "tokenizer_config.json").write_text(json.dumps(changed))
    _, output = add(plain_adapter, base)
    assert AutoTokenizer.from_pretrained(output).chat_template.endswith("please")


def test_a_tokenizer_that_numbers_tokens_otherwise_is_refused_by_name(base, plain_adapter, add):
    tiny_tokenizer().save_pretrained(plain_adapter)
    stored = json.loads((plain_adapter / "tokenizer.json").read_text())
    words = stored["model"]["vocab"]
    words["sun"], words["rain"] = words["rain"], words["sun"]
    (plain_adapter / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match=r"numbers “(sun|rain)”"):
        add(plain_adapter, base)


def test_a_merge_that_went_wrong_stores_nothing(base, plain_adapter, add, tmp_path, monkeypatch):
    whole = importing.merged

    def spoiled(policy, folder):
        made = whole(policy, folder)
        next(made.model.parameters()).data[7] *= 1.1
        return made

    monkeypatch.setattr(importing, "merged", spoiled)
    with pytest.raises(DataError, match="from those of the adapter beside its base"):
        add(plain_adapter, base)
    assert not (tmp_path / "run" / "output").exists()
