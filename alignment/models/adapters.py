"""LoRA adapters, merged into the model they were trained on.

Only the weights and the tokenizer are read from the adapter's folder, and of its settings only those that
say what the weights mean: a PEFT configuration can name modules to import.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.models.loading import (
    OF_A_TOKENIZER,
    VOCABULARIES,
    check_rows,
    tokenizer_of,
    vocabulary_of,
)
from alignment.models.policies import Policy
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import printable, read_object
from alignment.seam.words import _

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MEANT = {
    "r", "lora_alpha", "target_modules", "fan_in_fan_out", "use_rslora", "rank_pattern",
    "alpha_pattern", "layers_to_transform", "layers_pattern", "use_dora", "modules_to_save",
    "exclude_modules", "ensure_weight_tying", "init_lora_weights",
}  # fmt: skip
INERT = {
    "peft_type", "task_type", "base_model_name_or_path", "revision", "peft_version", "auto_mapping",
    "inference_mode", "lora_dropout", "megatron_core", "qalora_group_size", "runtime_config",
}  # fmt: skip
# Ways to begin that leave the base as it is, or change it by nothing but its own weights.
BEGUN = {"gaussian", "orthogonal", "eva", "pissa", "olora"}
PREFIX = "base_model.model."  # of the names of an adapter's weights
COPIED = ".modules_to_save."  # in the name of what was saved a second time, as an embedding layer
NEAR = 1e-4  # of the largest logit: what merging may round away
COMPARED = (4, 16)  # rows and tokens


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a whole model."""
    return (folder / SETTINGS).is_file()


def merged(base: Policy, folder: Path) -> Policy:
    """The base with the adapter's product of matrices added to its weights, and the adapter's tokenizer.

    Raises DataError where they do not belong together. The base's model is changed in place.
    """
    model = with_adapter(base.model, folder)
    tokenizer = tokenizer_with(base.tokenizer, folder)
    untie_touched(model)
    inner: Any = model
    plain = inner.merge_and_unload()
    untie_different(plain)
    check_rows(plain, tokenizer)
    return Policy(plain.eval(), tokenizer)


@torch.no_grad()
def check_merged(stored: Policy, base: Policy, folder: Path) -> None:
    """Raise DataError where a stored model is not what PEFT's own loading of the adapter computes.

    The base is a fresh one, which is changed in place.
    """
    with checked_copy(folder) as copy:
        fit_rows(base.model, load_file(copy / WEIGHTS), settings_of(copy))
        own: Any = PeftModel.from_pretrained(base.model, str(copy)).eval()
    rows = min(vocabulary_of(stored.tokenizer), stored.width)
    ids = torch.randint(rows, COMPARED, generator=torch.Generator().manual_seed(0))
    ids = ids.to(stored.device)
    wanted, found = (one(input_ids=ids, use_cache=False).logits for one in (own, stored.model))
    distance = (wanted - found).abs().nan_to_num(torch.inf).max().item()
    if distance > NEAR * max(1.0, wanted.abs().max().item()):
        raise DataError(
            _(
                "The merged model's logits are {distance:.2g} from those of the adapter beside its "
                "base, so it would be another model; merge it with PEFT's merge_and_unload where it "
                "was trained, and add the result."
            ).format(distance=distance)
        )


def with_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """The model, fitted to the adapter's rows and with its weights beside its own; raises DataError."""
    settings, weights = settings_of(folder), load_file(folder / WEIGHTS)
    fit_rows(model, weights, settings)
    wrapped: Any = get_peft_model(model, LoraConfig(**settings))
    loaded: Any = set_peft_model_state_dict(wrapped, weights)
    lacking = [name for name in loaded.missing_keys if ".lora_" in name]
    foreign = [name for name in loaded.unexpected_keys if name.replace(COPIED, ".") not in weights]
    for name in [*foreign, *lacking][:1]:
        raise DataError(
            _("{weights} does not fit its settings or the base model: “{name}”.").format(
                weights=WEIGHTS, name=printable(name)
            )
        )
    adapter: PeftModel = wrapped.eval()
    return adapter


def fit_rows(
    model: PreTrainedModel, weights: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> None:
    """Give the model as many tokens as the adapter was trained with; raises DataError where rows are lacking."""
    read, written = (_name_of(model, layer) for layer in ends_of(model))
    saved = {name: weights.get(f"{PREFIX}{name}.weight") for name in (read, written)}
    sizes = {weight.shape[0] for weight in saved.values() if weight is not None}
    embedding = ends_of(model)[0]
    if not sizes or sizes == {embedding.weight.shape[0]}:
        return
    if max(sizes) > embedding.weight.shape[0]:
        shared = is_tied(model) and (
            read not in (settings.get("modules_to_save") or ())
            or settings.get("ensure_weight_tying")
        )
        if saved[read] is None or (saved[written] is None and not shared):
            lost = read if saved[read] is None else written
            raise DataError(
                _(
                    "The adapter was trained with {sizes:,} tokens and its base knows {shape:,}; the new "
                    "rows of “{lost}” were not saved with it. Save it with save_embedding_layers=True."
                ).format(sizes=max(sizes), shape=embedding.weight.shape[0], lost=lost)
            )
    model.resize_token_embeddings(max(sizes), mean_resizing=False)


def ends_of(model: PreTrainedModel) -> tuple[Any, Any]:
    """The layers that read tokens and that write them."""
    return model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers has no types for it


def _name_of(model: nn.Module, layer: nn.Module) -> str:
    """What a layer of the model is called."""
    found: str = next(name for name, module in model.named_modules() if module is layer)
    return found


def is_tied(model: PreTrainedModel) -> bool:
    """Whether the same weights read and write tokens."""
    read, written = ends_of(model)
    return bool(read.weight is written.weight)


def untie_touched(wrapped: PeftModel) -> None:
    """Give the output layer weights of its own where an adapter changes one of a tied pair."""
    handle: Any = wrapped
    read, written = ends_of(handle.get_base_model())
    adapted = [isinstance(one, BaseTunerLayer) for one in (read, written)]
    of_read, of_written = (
        one.get_base_layer() if own else one
        for one, own in zip((read, written), adapted, strict=True)
    )
    if any(adapted) and of_read.weight is of_written.weight:
        of_written.weight = nn.Parameter(of_written.weight.detach().clone())


def untie_different(model: PreTrainedModel) -> None:
    """Let a model whose tied pair has become two say so, as a loader would else tie them again."""
    read, written = ends_of(model)
    if read.weight is not written.weight and not torch.equal(read.weight, written.weight):
        for config in {
            id(one): one for one in (model.config, model.config.get_text_config())
        }.values():
            config.tie_word_embeddings = False


def tokenizer_with(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """The base's tokenizer with what the adapter's folder brings: tokens, their roles, the template.

    Raises DataError where the two give one token different numbers.
    """
    brought = [name for name in OF_A_TOKENIZER if (folder / name).is_file()]
    if not brought:
        return tokenizer
    with TemporaryDirectory() as aside:
        place = Path(aside)
        tokenizer.save_pretrained(place)
        for name in replaced_by(folder, brought):
            (place / name).unlink(missing_ok=True)
        for name in brought:
            shutil.copyfile(folder / name, place / name)
        found = tokenizer_of(place)
    before, after = tokenizer.get_vocab(), found.get_vocab()
    for token in before.keys() & after.keys():
        if before[token] != after[token]:
            raise DataError(
                _(
                    "The adapter brings a tokenizer that numbers “{token}” {after:,}, and its base's "
                    "says {before:,}; choose the base that it was trained on."
                ).format(token=printable(token), after=after[token], before=before[token])
            )
    return found


def replaced_by(folder: Path, brought: list[str]) -> Iterator[str]:
    """The files of a base's tokenizer that mean nothing beside those that an adapter brings."""
    if set(brought) & set(VOCABULARIES):
        yield from (*VOCABULARIES, "merges.txt", "added_tokens.json", "special_tokens_map.json")
    config = folder / "tokenizer_config.json"
    if config.is_file() and read_object(config).get("chat_template"):
        yield "chat_template.jinja"


@contextmanager
def checked_copy(folder: Path) -> Iterator[Path]:
    """A folder with the adapter's weights, and of its settings those that mean something."""
    settings = {**settings_of(folder), "peft_type": "LORA", "inference_mode": True}
    with TemporaryDirectory() as aside:
        copy = Path(aside)
        (copy / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        (copy / WEIGHTS).symlink_to((folder / WEIGHTS).resolve())
        yield copy


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that decide what the weights mean; raises DataError for those we do not know."""
    if not (folder / WEIGHTS).is_file():
        raise DataError(_("There is no {weights}.").format(weights=WEIGHTS))
    stored = read_object(folder / SETTINGS)
    if stored.get("peft_type") != "LORA":
        raise DataError(
            _("{settings} is of type {get}; only LORA can be merged.").format(
                settings=SETTINGS, get=stored.get("peft_type")
            )
        )
    if (bias := stored.get("bias", "none")) != "none":
        raise DataError(
            _("{settings} trains biases ({bias}); that is not supported.").format(
                settings=SETTINGS, bias=printable(str(bias))
            )
        )
    for name, value in stored.items():
        if value and name not in MEANT | INERT | {"bias"}:
            raise DataError(
                _("{settings} uses “{name}”, which cannot be merged here.").format(
                    settings=SETTINGS, name=printable(name)
                )
            )
    check_beginning(stored.get("init_lora_weights", True))
    return {name: value for name, value in stored.items() if name in MEANT and value is not None}


def check_beginning(begun: object) -> None:
    """Raise DataError where the adapter belongs to a base that was changed in a way nobody can repeat."""
    if isinstance(begun, bool) or (isinstance(begun, str) and begun.lower() in BEGUN):
        return
    raise DataError(
        _(
            "{settings} says init_lora_weights “{begun}”: the adapter is relative to a base that "
            "was changed by chance or by data, which is not here. Save it with "
            "path_initial_model_for_weight_conversion, or merge it where it was trained."
        ).format(settings=SETTINGS, begun=printable(str(begun)))
    )
