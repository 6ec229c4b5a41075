"""Tiny models of many architectures, made from their configs: what people bring, in kilobytes.

A row says only what makes an architecture small, in the words of its own config. The weights are random
and large enough for logits far from uniform, so that a token read wrongly shows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.models.policies import Policy

Settings = Mapping[str, Any]

WIDTH, LAYERS, CONTEXT = 32, 2, 256
SPREAD = 0.3  # standard deviation of the random matrices
PLAIN: Settings = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
OPENAI: Settings = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT}
HEADED = PLAIN | {"head_dim": 8}
NARROW = {"sliding_window": 8}  # tokens: less than a prompt and its completion
EXPERTS: Settings = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": WIDTH}
LOCAL: Settings = {"num_local_experts": 4, "num_experts_per_tok": 2}
STATES: Settings = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
}
LINEAR: Settings = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
HALF_LINEAR: Settings = {"layer_types": ["linear_attention", "full_attention"]}

ARCHITECTURES: Mapping[str, Settings] = {
    "apertus": PLAIN,
    "arcee": PLAIN,
    "bamba": PLAIN | STATES | {"attn_layer_indices": [1]},
    "biogpt": PLAIN,
    "bitnet": PLAIN,
    "bloom": {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": 4},
    "codegen": OPENAI | {"n_ctx": CONTEXT, "rotary_dim": 4},
    "cohere": PLAIN | {"logit_scale": 1.0},
    "cohere2": PLAIN | NARROW | {"logit_scale": 1.0},
    "deepseek_v3": PLAIN
    | {
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "moe_intermediate_size": WIDTH,
        "first_k_dense_replace": 1,
    },
    "ernie4_5": PLAIN,
    "exaone4": PLAIN | NARROW | {"layer_types": ["sliding_attention", "full_attention"]},
    "falcon": PLAIN | {"num_kv_heads": 2, "new_decoder_architecture": True},
    "falcon_h1": HEADED | STATES | {"mamba_d_ssm": 64},
    "falcon_mamba": PLAIN | {"state_size": 8},
    "gemma": HEADED,
    "gemma2": HEADED | NARROW | {"query_pre_attn_scalar": 8},
    "gemma3_text": HEADED | NARROW | {"layer_types": ["sliding_attention", "full_attention"]},
    "glm": HEADED,
    "glm4": HEADED,
    "gemma3n_text": HEADED
    | NARROW
    | {
        "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 16,
        "altup_num_inputs": 2,
        "laurel_rank": 8,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gpt2": OPENAI,
    "gpt_bigcode": OPENAI,
    "gpt_neo": {
        "hidden_size": WIDTH,
        "num_layers": LAYERS,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "max_position_embeddings": CONTEXT,
    },
    "gpt_neox": PLAIN,
    "gpt_oss": HEADED | NARROW | LOCAL | {"layer_types": ["sliding_attention", "full_attention"]},
    "gptj": OPENAI | {"rotary_dim": 4},
    "granite": PLAIN,
    "granitemoe": PLAIN | LOCAL,
    "granitemoehybrid": PLAIN
    | STATES
    | LOCAL
    | {"layer_types": ["linear_attention", "full_attention"], "shared_intermediate_size": WIDTH},
    "helium": HEADED,
    "jamba": PLAIN
    | LOCAL
    | {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 4,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
    },
    "hunyuan_v1_dense": HEADED,
    "lfm2": PLAIN | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "llama": PLAIN,
    "mamba": PLAIN | {"state_size": 8},
    "mamba2": PLAIN | {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1},
    "minimax": HEADED | LOCAL | {"layer_types": ["linear_attention", "full_attention"]},
    "mistral": PLAIN | NARROW,
    "mixtral": PLAIN | LOCAL,
    "mpt": {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 4, "max_seq_len": CONTEXT},
    "nemotron": PLAIN,
    "nemotron_h": PLAIN
    | {
        "layers_block_type": ["mamba", "attention"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "head_dim": 8,
    },
    "olmo": PLAIN,
    "olmo2": PLAIN,
    "olmo3": PLAIN | NARROW | {"layer_types": ["sliding_attention", "full_attention"]},
    "olmo_hybrid": PLAIN | LINEAR | HALF_LINEAR,
    "olmoe": PLAIN | {"num_experts": 4, "num_experts_per_tok": 2},
    "openai-gpt": OPENAI,
    "opt": PLAIN | {"ffn_dim": 2 * WIDTH, "word_embed_proj_dim": WIDTH},
    "persimmon": PLAIN,
    "phi": PLAIN,
    "phi3": PLAIN | NARROW,
    "phimoe": PLAIN | LOCAL,
    "qwen2": PLAIN,
    "qwen2_moe": PLAIN | EXPERTS | {"shared_expert_intermediate_size": WIDTH},
    "qwen3": HEADED,
    "qwen3_moe": HEADED | EXPERTS,
    "qwen3_next": HEADED
    | EXPERTS
    | LINEAR
    | HALF_LINEAR
    | {"shared_expert_intermediate_size": WIDTH},
    "recurrent_gemma": PLAIN
    | {
        "lru_width": WIDTH,
        "attention_window_size": 8,
        "block_types": ["recurrent", "attention"],
        "num_key_value_heads": 1,
    },
    "rwkv": {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "attention_hidden_size": WIDTH,
        "context_length": CONTEXT,
    },
    "seed_oss": HEADED,
    "smollm3": PLAIN,
    "stablelm": PLAIN,
    "starcoder2": PLAIN | NARROW,
    "xglm": {
        "d_model": WIDTH,
        "num_layers": LAYERS,
        "attention_heads": 4,
        "ffn_dim": 2 * WIDTH,
        "max_position_embeddings": CONTEXT,
    },
    "xlstm": {"hidden_size": WIDTH, "num_blocks": LAYERS, "num_heads": 4},
}
RELATIVE: Settings = {
    "d_model": WIDTH, "d_kv": 8, "d_ff": 2 * WIDTH, "num_layers": LAYERS, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "decoder_start_token_id": 0,
}  # fmt: skip
ENCODER_DECODERS: Mapping[str, Settings] = {
    "t5": RELATIVE | {"num_decoder_layers": 1},
    "mt5": RELATIVE | {"feed_forward_proj": "gated-gelu"},
    "umt5": RELATIVE,
    "bart": {
        "d_model": WIDTH,
        "encoder_layers": LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 2 * WIDTH,
        "decoder_ffn_dim": 2 * WIDTH,
        "max_position_embeddings": 48,
        "decoder_start_token_id": 1,
        "forced_eos_token_id": None,
    },
}
# Else configs name tokens of the model they are usually of, which a tiny one has not.
NO_TOKENS: Settings = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}


def model_of(name: str, vocabulary: int, *, seed: int = 0, **changes: object) -> PreTrainedModel:
    """A random model in fp32 and evaluation mode of so many tokens; changes are to its config."""
    known = {**ARCHITECTURES, **ENCODER_DECODERS}
    settings = {**known[name], **NO_TOKENS, "vocab_size": vocabulary, **changes}
    config = AutoConfig.for_model(name, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind: Any = AutoModelForSeq2SeqLM if name in ENCODER_DECODERS else AutoModelForCausalLM
        model: Any = kind.from_config(config, dtype=torch.float32)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=SPREAD)
    return model.eval()


def policy_of(name: str, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> Policy:
    """A random model of an architecture with as many tokens as this tokenizer."""
    vocabulary = changes.pop("vocabulary", len(tokenizer))
    return Policy(model_of(name, vocabulary, **changes), tokenizer)


def saved(name: str, tokenizer: PreTrainedTokenizerBase, folder: Path, **changes: Any) -> Path:
    """The folder, in which such a policy now lies as somebody's model would."""
    policy_of(name, tokenizer, **changes).save(folder)
    return folder
