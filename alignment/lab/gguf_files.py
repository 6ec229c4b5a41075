"""A model as one file for llama.cpp and its like: GGUF, in F16 or Q8_0, with tokenizer and chat template inside.

GPT-2's and Llama's architectures with byte-level BPE. What such a file cannot say is refused by name: other attention,
other positions, other ways to cut a text. Llama's rotations turn neighbouring channels there, and the halves of a
head here, so that the rows of queries and keys change places.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.models.forms.form import make_plain
from alignment.models.loading import refusing
from alignment.models.policies import Policy, fuse_activations
from alignment.sampling.sampling import Rollouts, sample
from alignment.sampling.scoring import completion_token_logps
from alignment.sampling.warps import Warp
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import printable
from alignment.seam.records import Message
from alignment.seam.words import _

WeightsName = Literal["f16", "q8_0"]
TYPES: Mapping[str, Type] = {"f16": Type.F16, "q8_0": Type.Q8_0}
FILE_TYPES: Mapping[str, int] = {
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
BLOCK = 32  # weights that Q8_0 gives one scale
GELU = {"gelu_new", "gelu_pytorch_tanh"}  # the tanh one, which llama.cpp computes
POSITIONS = "position_embd"  # which stays in fp32
ANSWER = 16  # tokens of an answer that is checked
ASKED = tuple(
    (Message(role="user", content=text),)
    for text in ("hello", "tell me a story", "why is the sky blue", "name a planet")
)
Array = NDArray[Any]


class Answers(NamedTuple):
    """The most probable answers of a model and of its file, and how far their log-probabilities are apart."""

    same: int
    asked: int
    largest_gap: float  # nats a token, of the model's own answers


def write_gguf(policy: Policy, path: Path, weights: WeightsName) -> None:
    """Write a policy as a file; raises DataError for what the format does not know. The model is plain afterwards."""
    model = make_plain(policy.model)
    arch = _architecture(model)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_file_type(FILE_TYPES[weights])
    _describe(writer, model.config.get_text_config())
    _tell_tokens(writer, policy)
    for name, array in _tensors(model, arch):
        kind = _type_of(name, array, TYPES[weights])
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture(model: PreTrainedModel) -> gguf.MODEL_ARCH:
    """What the format calls a model; raises DataError where it has no name for it, or for a part of it."""
    config: Any = model.config.get_text_config()
    kind = str(config.model_type)
    if kind == "gpt2":
        variant = not config.scale_attn_weights or config.scale_attn_by_inverse_layer_idx
        if config.activation_function in GELU and not variant:
            return gguf.MODEL_ARCH.GPT2
    elif kind == "llama":
        rope = getattr(config, "rope_parameters", None) or {}
        usual = rope.get("rope_type", "default") == "default" and config.hidden_act == "silu"
        if usual and not config.attention_bias and not config.mlp_bias:
            return gguf.MODEL_ARCH.LLAMA
    else:
        raise DataError(
            _("A model of type “{kind}” is not written as GGUF here; GPT-2 and Llama are.").format(
                kind=printable(kind)
            )
        )
    raise DataError(
        _("This {kind} differs from the usual one in a way that GGUF does not say.").format(
            kind=printable(kind)
        )
    )


def _describe(writer: gguf.GGUFWriter, config: Any) -> None:  # noqa: ANN401 - of either architecture
    """The model's sizes."""
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(width)
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(inner or 4 * width))
    writer.add_head_count(heads)
    writer.add_vocab_size(int(config.vocab_size))
    if config.model_type == "gpt2":
        writer.add_layer_norm_eps(float(config.layer_norm_epsilon))
        return
    writer.add_head_count_kv(int(config.num_key_value_heads))
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    size = int(getattr(config, "head_dim", None) or width // heads)
    writer.add_rope_dimension_count(size)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))


def _tell_tokens(writer: gguf.GGUFWriter, policy: Policy) -> None:
    """The tokenizer, the token that ends an answer, and the chat template; raises DataError for another tokenizer."""
    tokenizer: Any = policy.tokenizer
    with refusing(_("The tokenizer is none that GGUF holds")):
        document = json.loads(tokenizer.backend_tokenizer.to_str())
    cut = document.get("pre_tokenizer") or {}
    bytes_alone = cut.get("type") == "ByteLevel" and cut.get("use_regex") is True
    if document["model"]["type"] != "BPE" or not bytes_alone or document.get("normalizer"):
        raise DataError(
            _("The tokenizer is no byte-level BPE as GPT-2 has it, which alone is written as GGUF.")
        )
    known = {place: token for token, place in tokenizer.get_vocab().items()}
    marks = {one["id"]: one["special"] for one in document["added_tokens"]}
    size = policy.width
    names = [known.get(place, f"[PAD{place}]") for place in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([_kind_of(place, known, marks) for place in range(size)])
    writer.add_token_merges([_joined(merge) for merge in document["model"]["merges"]])
    writer.add_eos_token_id(policy.turn_end)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)  # noqa: FBT003 - the template writes what is to stand first
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _kind_of(place: int, known: Mapping[int, str], marks: Mapping[int, bool]) -> int:
    if place not in known:
        return gguf.TokenType.UNUSED
    if place not in marks:
        return gguf.TokenType.NORMAL
    return gguf.TokenType.CONTROL if marks[place] else gguf.TokenType.USER_DEFINED


def _joined(merge: str | Sequence[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _tensors(model: PreTrainedModel, arch: gguf.MODEL_ARCH) -> Iterator[tuple[str, Array]]:
    """Each weight under the format's name, as the format has it; what is tied comes once. Raises DataError."""
    config: Any = model.config.get_text_config()
    names = gguf.get_tensor_name_map(arch, int(config.num_hidden_layers))
    turned = {f"{name}.weight" for name, one in model.named_modules() if isinstance(one, Conv1D)}
    for name, weight in model.named_parameters():
        if (found := names.get_name(name, try_suffixes=(".weight", ".bias"))) is None:
            raise DataError(
                _("GGUF has no place for “{name}” of this model.").format(name=printable(name))
            )
        tensor = weight.detach().float().cpu()
        if name in turned:
            tensor = tensor.T
        if arch == gguf.MODEL_ARCH.LLAMA and name.endswith(("q_proj.weight", "k_proj.weight")):
            queries = name.endswith("q_proj.weight")
            heads = config.num_attention_heads if queries else config.num_key_value_heads
            tensor = neighbours(tensor, int(heads))
        yield found, np.ascontiguousarray(tensor.numpy())


def neighbours(weight: Tensor, heads: int) -> Tensor:
    """A weight (heads * size, in) whose channels that rotate together, half a head apart, stand side by side."""
    size = weight.shape[0] // heads
    return weight.view(heads, 2, size // 2, -1).transpose(1, 2).reshape(weight.shape)


def _type_of(name: str, array: Array, wanted: Type) -> Type:
    """Norms, biases and positions stay in fp32; rows that do not divide into blocks are F16."""
    if array.ndim == 1 or name.startswith(POSITIONS):
        return Type.F32
    return wanted if wanted == Type.F16 or array.shape[-1] % BLOCK == 0 else Type.F16


def read_gguf(path: Path, policy: Policy) -> Policy:
    """What transformers reads of a file, with a policy's tokenizer; raises DataError where it reads none."""
    with refusing(_("The written file cannot be read")):
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            config=policy.model.config,
            dtype=torch.float32,
            local_files_only=True,
        )
    model.generation_config = policy.model.generation_config
    fuse_activations(model)
    placed: Any = model.to(policy.device)  # type: ignore[arg-type]  # transformers wraps it without its arguments
    return Policy(placed.eval(), policy.tokenizer)


def write_checked(folder: Path, path: Path, weights: WeightsName) -> Answers:
    """Write the policy of a folder as a file, which is there only once it was read back and has answered."""
    policy = Policy.load(folder, "policy")
    aside = path.with_name(f".tmp-{path.name}")
    try:
        write_gguf(policy, aside, weights)
        found = check_answers(policy, aside, ASKED)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return found


def check_answers(policy: Policy, path: Path, prompts: Sequence[Sequence[Message]]) -> Answers:
    """Ask a model and its file the same; for how many prompts the most probable answer is the same, token by token."""
    other = read_gguf(path, policy)
    ids = [policy.prompt_ids(turns) for turns in prompts]
    before, after = (_most_probable(one, ids) for one in (policy, other))
    pairs = zip(before.completion_ids(), after.completion_ids(), strict=True)
    with torch.no_grad():
        logps = [completion_token_logps(one.model, before) for one in (policy, other)]
    gap = (logps[0] - logps[1]).abs().max().item()
    return Answers(sum(one == two for one, two in pairs), len(ids), gap)


def _most_probable(policy: Policy, ids: Sequence[Sequence[int]]) -> Rollouts:
    return sample(
        policy,
        ids,
        completions=1,
        max_new_tokens=ANSWER,
        warp=Warp(temperature=1e-4),
        generator=torch.Generator().manual_seed(0),
    )
