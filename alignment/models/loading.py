"""The one door: a model's folder is read here, and refused here by name, whoever asks for it.

First what its files say, which is cheap; then what was loaded. What a run of ours committed, and nobody
has changed since, was finite when it was written: its weights are not looked through again.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME, logging

from alignment.kinds.adopt.settings import EndingName
from alignment.kinds.reward.settings import PoolingName
from alignment.models.checks import check_apart
from alignment.models.devices import ONE, Placement, is_fetched
from alignment.models.encoder_decoders import reads_apart, starts_of
from alignment.models.forms.factors import Budget
from alignment.models.forms.stored import StoredForm, stored_in
from alignment.models.unfilled import Unfilled
from alignment.models.uses import CLASS_HEADS, Use, check_precision, check_type
from alignment.seam import memory
from alignment.seam.architectures import family_in
from alignment.seam.errors import AlignmentError, ConfigError, DataError, OutOfMemoryError
from alignment.seam.folders import MANIFEST
from alignment.seam.modelfiles import (
    Tensors,
    check_json,
    header_of,
    printable,
    read_object,
    shards_of,
    tensors_of,
    weights_of,
)
from alignment.seam.progress import split, through
from alignment.seam.words import _

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
REWARD, HEAD = "reward.json", "head.safetensors"  # what a reward model has beside its backbone
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
OF_A_TOKENIZER = (
    *VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
READ = ("config.json", "generation_config.json", *OF_A_TOKENIZER)
POOLINGS = (None, *get_args(PoolingName))
DEEPEST = 512  # layers
FEWEST = 0.5  # share of the described weights that the files must hold; ties may halve nothing more
UNREAD = ("pooler.",)  # of encoders, which reward models read without it
COMPUTED = ("inv_freq", "attn.bias", "attention.bias", "masked_bias", "position_ids")  # once stored


class _Opened(NamedTuple):
    """A model in fp32, on the CPU, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def open_model(
    folder: Path,
    use: Use,
    role: str = "model",
    budget: Budget | None = None,
    placement: Placement = ONE,
) -> _Opened:
    """Read a folder for this use, safetensors only; raises DataError naming role, folder and cause.

    A factorised model may be read at another budget than its own; of another one ConfigError is raised.
    """
    checking, loading = split(1, 4)
    with naming(folder, role):
        with checking:
            check_files(folder, use, spread=placement.spread)
        with loading:
            return loaded(folder, use, budget, placement)


@contextmanager
def naming(folder: Path, role: str) -> Iterator[None]:
    """Begin every refusal with the folder, and what it was to be."""
    try:
        yield
    except AlignmentError as error:
        kind = type(error)
        raise kind(f"{folder} does not hold a {role} that can be used: {error}") from error


def check_files(folder: Path, use: Use, *, spread: bool = False) -> Tensors:
    """What config, tokenizer and headers say, without the weights; raises DataError.

    `spread` says that memory need not hold them.
    """
    check_folder_is_there(folder)
    check_apart(folder)
    check_kind_of_folder(folder, use)
    tensors = tensors_of(weight_files(folder))
    if is_sealed(folder):
        check_type(folder, read_object(folder / "config.json"), use)
        if not spread:
            refuse_too_large(tensors.elements)
        return tensors
    for path in sorted(folder / name for name in READ if name.endswith(".json")):
        if path.is_file():
            check_json(path)
    parameters = check_description(folder, tensors, use)
    if not spread:
        refuse_too_large(parameters)
    return tensors


def check_folder_is_there(folder: Path) -> None:
    """Raise DataError where nothing is, or a file."""
    if not folder.exists():
        raise DataError(_("there is no such folder."))
    if not folder.is_dir():
        raise DataError(_("it is a file; name the folder that the model's files are in."))
    if not any(folder.iterdir()):
        raise DataError(_("the folder is empty."))


def check_kind_of_folder(folder: Path, use: Use) -> None:
    """Raise DataError for what is another thing than a whole model."""
    if (folder / ADAPTER).is_file():
        raise DataError(_("it holds an adapter; merge it into its base first."))
    if use not in ("backbone", "rater") and (folder / REWARD).is_file():
        raise DataError(
            _(
                "it holds a reward model, which rates answers and writes none; name the model it "
                "learned to rate."
            )
        )
    if not (folder / "config.json").is_file():
        inner = sorted(path.parent.name for path in folder.glob("*/config.json"))
        hint = f" Its folders {', '.join(inner)} hold one each; name one of them." if inner else ""
        raise DataError(_("there is no config.json.{hint}").format(hint=hint))


def check_reward_files(folder: Path, *, spread: bool = False) -> dict[str, Any]:
    """What `reward.json` says, once it and the backbone's files were looked at; raises DataError.

    Models of one causal head were once stored with less.
    """
    check_folder_is_there(folder)
    if not (folder / REWARD).is_file():
        raise DataError(
            _(
                "there is no {reward}: it is no reward model, though one may be trained on it; name "
                "the result of a reward run."
            ).format(reward=REWARD)
        )
    stored = read_object(folder / REWARD)
    if isinstance(stored.get("center"), float):
        stored["center"] = [stored["center"]]
    stored = {"pooling": None, "caution": 0.0, "temperature": 1.0, "output": None} | stored
    check_reward_numbers(stored)
    if stored["output"] is not None:
        check_output(folder, stored, spread=spread)
        return stored
    if not (folder / HEAD).is_file():
        raise DataError(_("there is no {head}.").format(head=HEAD))
    shapes = [shape for _, _, shape in header_of(folder / HEAD)]
    if [shape[0] for shape in shapes if shape] != [len(stored["center"])]:
        raise DataError(
            _("{head} does not hold the {n} heads of {reward}.").format(
                head=HEAD, n=len(stored["center"]), reward=REWARD
            )
        )
    check_files(folder, "backbone", spread=spread)
    return stored


def check_output(folder: Path, stored: Mapping[str, Any], *, spread: bool) -> None:
    """Raise DataError where a model for classes has no such output as `reward.json` takes, or is none."""
    check_files(folder, "rater", spread=spread)
    count = outputs_of(folder)
    known = isinstance(stored["output"], int) and 0 <= stored["output"] < count
    if not known or stored.get("reads") not in get_args(EndingName) or len(stored["center"]) != 1:
        raise DataError(
            _(
                "{reward} does not say which of the {n} outputs is the reward, and how it is read."
            ).format(reward=REWARD, n=count)
        )


def outputs_of(folder: Path) -> int:
    """How many outputs the head of a model for classes has, by its config.json."""
    config = read_object(folder / "config.json")
    names, count = config.get("id2label"), config.get("num_labels")
    return len(names) if isinstance(names, dict) else int(count or 2)  # as transformers takes it


def check_reward_numbers(stored: Mapping[str, Any]) -> None:
    """Raise DataError where `reward.json` lacks a number or has none there."""
    center = stored.get("center")
    numbers = [*(center if isinstance(center, list) and center else [None])]
    numbers += [stored.get(name) for name in ("scale", "caution", "temperature")]
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise DataError(
            _("{reward} must say center, scale, caution and temperature as numbers.").format(
                reward=REWARD
            )
        )
    if stored["scale"] <= 0 or stored["temperature"] <= 0 or stored["pooling"] not in POOLINGS:
        raise DataError(
            _("{reward} has a scale, a temperature or a pooling that no reward model has.").format(
                reward=REWARD
            )
        )


def stored_names(folder: Path) -> frozenset[str]:
    """The names of a folder's tensors."""
    return tensors_of(weight_files(folder)).names


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that a loader reads: the one file, or else those of an index."""
    whole, index = folder / WHOLE, folder / INDEX
    if index.is_file():
        shards = [folder / name for name in shards_of(index)]
        return [whole] if whole.is_file() else shards
    if not whole.is_file() and weights_of(path.name for path in folder.iterdir()):
        raise DataError(
            _("There are shards of a model and no {index}, which says what is in each.").format(
                index=INDEX
            )
        )
    return [whole] if whole.is_file() else []


def check_description(folder: Path, tensors: Tensors, use: Use) -> int:
    """The weights of the model for this use that config.json describes; raises DataError where the files hold another."""
    config = read_object(folder / "config.json")
    check_type(folder, config, use)
    form = stored_in(folder, weight_files(folder))
    if form is None:
        check_precision(config, tensors)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise DataError(
            _("There is no tokenizer: none of {vocabularies}.").format(
                vocabularies=", ".join(VOCABULARIES)
            )
        )
    if not tensors.elements:
        raise DataError(_("There is no model.safetensors, nor shards of it."))
    with refusing("config.json cannot be understood"):
        described = outline_of(folder, use)
    parameters = int(described.num_parameters())
    if form is not None:
        form.check(described)
    elif tensors.elements < FEWEST * parameters:
        raise DataError(
            _("config.json describes {parameters:,} weights; the files hold {elements:,}.").format(
                parameters=parameters, elements=tensors.elements
            )
        )
    return parameters


def outline_of(folder: Path, use: Use) -> PreTrainedModel:
    """The model that config.json describes, without weights."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if layers > DEEPEST:
        raise DataError(_("config.json describes {layers:,} layers.").format(layers=layers))
    with Unfilled(), torch.device("meta"):
        model: PreTrainedModel = auto_class(folder, use).from_config(
            config, trust_remote_code=False
        )
    return model


def auto_class(folder: Path, use: Use) -> Any:  # noqa: ANN401 - transformers' auto classes are untyped
    """What loads a model: with the head of its use, without one where it only reads."""
    heads = {
        "policy": AutoModelForSeq2SeqLM if family_in(folder) else AutoModelForCausalLM,
        "masked": AutoModelForMaskedLM,
        "classifier": AutoModelForSequenceClassification,
        "tagger": AutoModelForTokenClassification,
        "answerer": AutoModelForQuestionAnswering,
        "rater": AutoModelForSequenceClassification,
    }
    return heads.get(use, AutoModel)


def refuse_too_large(parameters: int) -> None:
    """Say before loading what the machine would only answer with an end."""
    needed = memory.FLOAT * parameters
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise OutOfMemoryError(
            _(
                "The weights alone take {needed:.0f} GB in fp32, and this machine has {there:.0f} GB "
                "of memory."
            ).format(needed=needed / 1e9, there=there / 1e9)
        )


def loaded(
    folder: Path, use: Use, budget: Budget | None = None, placement: Placement = ONE
) -> _Opened:
    """Model and tokenizer of checked files; raises DataError for what does not fit together."""
    tokenizer = tokenizer_of(folder)
    form = form_at(folder, budget)
    if form is not None and (placement.spread or placement.rounded):
        raise ConfigError(
            _(
                "A factorised or rounded model is used on one device, and with its weights as they are; choose that."
            )
        )
    with refusing("The model cannot be loaded"), weights_counted(), Unfilled():
        if form is not None:
            model, info, kept = form.load(outline_of(folder, use))
            add_generation(model, folder)
        else:
            model, info = auto_class(folder, use).from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below in words
                **placement.arguments(lambda: outline_of(folder, use)),
            )
    check_all_came(info, use)
    check_rows(model, tokenizer)
    if reads_apart(model):
        starts_of(model)
    if not is_sealed(folder):
        check_finite(model)
        if is_fetched(model) or placement.rounded:
            check_finite_files(weight_files(folder))
    if form is not None and use == "policy":  # what only reads beside a head is trained with it
        form.place(model, kept)
    return _Opened(model, tokenizer)


def form_at(folder: Path, budget: Budget | None) -> StoredForm | None:
    """A folder's form, used by this budget where there is one; raises ConfigError where it has no such use."""
    form = stored_in(folder, weight_files(folder))
    if budget is None:
        return form
    if form is None:
        raise ConfigError(_("Only a factorised model can be loaded at a budget."))
    return form.at(budget)


def add_generation(model: PreTrainedModel, folder: Path) -> None:
    """Give a model that was not read from its folder what that says of generating."""
    if (folder / GENERATION_CONFIG_NAME).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)


def generation_of(folder: Path, config: PreTrainedConfig) -> GenerationConfig:
    """What a stored model says of generating."""
    if (folder / GENERATION_CONFIG_NAME).is_file():
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    return GenerationConfig.from_model_config(config)


@contextmanager
def weights_counted() -> Iterator[None]:
    """Count what transformers loads meanwhile, weight by weight."""

    def count(
        bar: Callable[..., Any], given: tuple[Any, ...], how: dict[str, Any]
    ) -> Iterable[Any]:
        return through(given[0], len(given[0])) if given else bar(**how)

    before = logging.set_tqdm_hook(count)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of checked files; raises DataError where they make none."""
    with refusing("The tokenizer cannot be loaded"):
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return found


def check_all_came(info: Mapping[str, Any], use: Use) -> None:
    """Raise DataError where weights are missing, of another size, or of another architecture."""
    for name, stored, described in sorted(info["mismatched_keys"]):
        raise DataError(
            _("“{name}” is {stored} in the files and {described} by config.json.").format(
                name=printable(name), stored=sides(stored), described=sides(described)
            )
        )
    unread = () if use in CLASS_HEADS else UNREAD
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith(unread)):
        raise DataError(
            _("The files lack {n} of the model's weights, “{missing}” first.").format(
                n=len(missing), missing=printable(missing[0])
            )
        )
    foreign = sorted(key for key in info["unexpected_keys"] if not key.endswith(COMPUTED))
    if foreign and use == "policy":
        raise DataError(
            _(
                "The files hold weights that the model of config.json has no place for, “{foreign}” "
                "first: they are of another model."
            ).format(foreign=printable(foreign[0]))
        )


def sides(shape: Any) -> str:  # noqa: ANN401 - a torch.Size
    """A shape as people write it."""
    return " by ".join(f"{size:,}" for size in shape)


def check_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise DataError where the tokenizer writes numbers that the model has no embedding for."""
    embedding: Any = model.get_input_embeddings()
    rows, tokens = embedding.num_embeddings, vocabulary_of(tokenizer)
    if tokens > rows:
        raise DataError(
            _(
                "The tokenizer has {tokens:,} tokens and the model knows {rows:,}; they do not "
                "belong together."
            ).format(tokens=tokens, rows=rows)
        )


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest token; numbers may be left out."""
    return max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))


def check_same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> None:
    """Raise ConfigError where policy and reference number tokens differently."""
    if one is not other and one.get_vocab() != other.get_vocab():
        raise ConfigError(
            _(
                "The policy and the reference have different tokenizers; take the model that the "
                "policy was trained from as the reference."
            )
        )


def check_same_reading(policy: bool, reference: bool) -> None:  # noqa: FBT001
    """Raise ConfigError where one of policy and reference is an encoder-decoder, which reads other tokens."""
    if policy != reference:
        raise ConfigError(
            _(
                "One of the policy and the reference is an encoder-decoder and the other is not, so they cannot "
                "be compared; take the model that the policy was trained from as the reference."
            )
        )


def check_same_template(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> None:
    """Raise ConfigError where policy and reference do not read a conversation as the same tokens."""
    if one.chat_template != other.chat_template:
        raise ConfigError(
            _(
                "The policy and the reference write prompts by different templates; take a model "
                "that was fine-tuned with the policy's as the reference, or the policy itself."
            )
        )


def check_same_width(policy: int, reference: int) -> None:
    """Raise ConfigError where policy and reference spread probability over differently many outputs.

    What the wider one gives to outputs that no token has would make their divergence infinite.
    """
    if policy != reference:
        raise ConfigError(
            _(
                "The policy gives probabilities to {policy:,} outputs and the reference to "
                "{reference:,}, padding included, so they cannot be compared; take the model that "
                "the policy was trained from as the reference, or resize the embeddings of one of "
                "them."
            ).format(policy=policy, reference=reference)
        )


@torch.no_grad()
def check_finite(model: nn.Module) -> None:
    """Raise DataError where a weight is not a number; one pass over them."""
    for name, weight in model.named_parameters():
        if not weight.is_meta:
            refuse_infinite(name, weight)


def check_finite_files(files: Iterable[Path]) -> None:
    """The same of all weights in files, of which one is held at a time."""
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                refuse_infinite(name, opened.get_tensor(name))


def refuse_infinite(name: str, weight: Tensor) -> None:
    """Raise DataError where a weight is not a number."""
    if not weight.sum().isfinite() and not weight.isfinite().all():
        raise DataError(
            _("“{name}” holds what is not a number; the weights are damaged.").format(
                name=printable(name)
            )
        )


def is_sealed(folder: Path) -> bool:
    """Whether a run of ours committed this folder, or one around it, and no file is newer than that."""
    for outer in (folder, folder.parent):
        manifest = outer / MANIFEST
        if manifest.is_file():
            return _unchanged(folder, outer, manifest)
    return False


def _unchanged(folder: Path, outer: Path, manifest: Path) -> bool:
    try:
        listed = {row["path"]: row["size"] for row in json.loads(manifest.read_text())["files"]}
        found = [path.stat() for path in folder.iterdir() if path.is_file()]
        names = [path.relative_to(outer) for path in folder.iterdir() if path.is_file()]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    sealed = manifest.stat().st_mtime_ns
    return all(
        name == Path(MANIFEST)
        or (listed.get(name.as_posix()) == stat.st_size and stat.st_mtime_ns <= sealed)
        for name, stat in zip(names, found, strict=True)
    )


@contextmanager
def refusing(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Tell a foreign loader's error as a refusal: whatever it is, the files are why it was raised."""
    try:
        yield
    except (AlignmentError, MemoryError, torch.OutOfMemoryError):
        raise
    except kind as error:
        reason = printable(str(error).strip().partition("\n")[0])
        raise DataError(f"{what}: {type(error).__name__}: {reason}") from error
