"""Somebody's own model: fetched or copied, checked, loaded once, tried, and kept as it came.

Runs in the trainer, which has neither the database nor its credentials. What is loaded was checked
before by `modelfiles`: no pickle, no code, no links. An adapter is merged into its base.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment import archives, hub, memory
from alignment.adapters import is_adapter, merged
from alignment.config import ImportConfig, RunSpec
from alignment.config.models import TemplateName
from alignment.errors import AlignmentError, ConfigError, DataError, OutOfMemoryError
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed, size
from alignment.modelfiles import (
    Tensors,
    check_folder,
    printable,
    read_object,
    safe_name,
    wanted,
)
from alignment.policies import Policy, default_device
from alignment.records import Message
from alignment.sampling import sample

Progress = Generator[Event, str | None, Mapping[str, object]]

STEPS = 4  # collect, check, load, try
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
DEEPEST = 512  # layers
AHEAD = 1e-5  # of the largest logit: more than rounding
UNLIMITED = 1_000_000_000  # tokens; tokenizers write 1e30 where a model has no limit
FEWEST = 0.5  # share of the described weights that the files must hold; ties may halve nothing more
TRIED = (Message(role="user", content="Hello"),)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


def add(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Make a model of this project from `inputs["source"]` or the Hub; writes `folder/output`."""
    config = ImportConfig.model_validate(spec.config)
    yield Ready(total_steps=STEPS, threads=torch.get_num_threads(), device=str(default_device()))
    incoming = folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        found = yield from SOURCES[config.source](config, spec, folder)
        yield done(1)
        yield PhaseStarted(name="checking")
        tensors = check_folder(incoming)
        if is_adapter(incoming):
            facts = yield from add_adapter(spec, folder, incoming)
        else:
            facts = yield from add_model(spec, folder, incoming, tensors)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    yield Finished(summary={**facts, **found, "bytes": size(folder / "output")})


def done(step: int) -> StepDone:
    """One of the steps is over; also the moment at which a wish to stop is heard."""
    return StepDone(step=step, total=STEPS, metrics={})


def add_model(spec: RunSpec, folder: Path, incoming: Path, tensors: Tensors) -> Progress:
    """A whole model, kept byte for byte but for a chosen chat template."""
    if "base" in spec.inputs:
        raise DataError("These files are a whole model, not an adapter; choose no base model.")
    template = ImportConfig.model_validate(spec.config).template
    check_description(incoming, tensors)
    yield done(2)
    yield PhaseStarted(name="loading")
    policy = load(incoming)
    apply_template(policy.tokenizer, template)
    yield done(3)
    yield PhaseStarted(name="trying")
    try_out(policy)
    with committed(folder / "output") as output:
        for path in incoming.iterdir():
            path.rename(output / path.name)
        if template != "own":
            (output / "chat_template.jinja").unlink(missing_ok=True)
            policy.tokenizer.save_pretrained(output)
    stored = sorted(DTYPES.get(name, name.lower()) for name in tensors.dtypes)
    return {**described(policy), "dtype": ", ".join(stored)}


def add_adapter(spec: RunSpec, folder: Path, incoming: Path) -> Progress:
    """A LoRA adapter, merged into its base: what is kept is a full model in fp32."""
    if "base" not in spec.inputs:
        name = printable(
            str(
                read_object(incoming / "adapter_config.json").get(
                    "base_model_name_or_path", "its base"
                )
            )
        )
        raise DataError(
            f"This is a LoRA adapter for “{name}”. Add that model first, then choose it as the base."
        )
    yield done(2)
    yield PhaseStarted(name="merging")
    base = Policy.load(folder / spec.inputs["base"])
    with refusing("The adapter cannot be merged"):
        policy = merged(base, incoming)
    yield done(3)
    yield PhaseStarted(name="trying")
    try_out(policy)
    with committed(folder / "output") as output:
        policy.save(output)
    return {**described(policy), "dtype": "float32", "merged": "a LoRA adapter, into a full model"}


def from_hub(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Fetch from the Hub; a branch or tag becomes the commit it stood for."""
    incoming = folder / "incoming"
    commit = yield from hub.fetch(config.name, config.revision, incoming, limit_of(config))
    return {"hub_name": config.name, "revision": commit}


def from_folder(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Copy the files of a folder that an admin allows; links may lead anywhere below its root."""
    yield PhaseStarted(name="copying")
    source, root = (folder / spec.inputs[role] for role in ("source", "root"))
    root, room = root.resolve(), limit_of(config)
    if not source.resolve().is_relative_to(root):
        raise DataError(f"{config.name} is not below a folder that an admin allows.")
    (folder / "incoming").mkdir()
    for path in files_of(source):
        real = path.resolve()
        if not real.is_relative_to(root):
            raise DataError(f"{path.name} is a link out of the allowed folder.")
        room -= copy_plain(real, folder / "incoming" / path.name, room)
    return {}


def from_upload(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Unpack an uploaded archive, or take the uploaded files as they are."""
    yield PhaseStarted(name="unpacking")
    incoming, room = folder / "incoming", limit_of(config)
    incoming.mkdir()
    source = folder / spec.inputs["source"]
    names = sorted(path.name for path in source.iterdir()) if source.is_dir() else []
    if not names:
        raise DataError("The upload is no longer there; upload the model again.")
    packed = [name for name in names if archives.is_archive(name)]
    if packed and len(names) > 1:
        raise DataError(f"Upload either one archive or the files themselves, not {packed[0]} too.")
    if packed:
        archives.unpack(source / packed[0], incoming, room)
        return {}
    for path in files_of(source):
        room -= copy_plain(path, incoming / path.name, room)
    return {}


SOURCES: Mapping[str, Callable[[ImportConfig, RunSpec, Path], Progress]] = {
    "hub": from_hub,
    "folder": from_folder,
    "upload": from_upload,
}


def limit_of(config: ImportConfig) -> int:
    """The largest size in bytes."""
    return int(config.limit_gib * 2**30)


def files_of(source: Path) -> Iterator[Path]:
    """The files of a folder that belong to a model; what lies deeper is not looked at."""
    for path in sorted(source.iterdir()):
        if not path.name.startswith(".") and not path.is_dir() and wanted(path.name):
            yield path.with_name(safe_name(path.name))


def copy_plain(source: Path, target: Path, room: int) -> int:
    """Copy one regular file, never through a link or a pipe; its bytes. Raises DataError."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(f"{source.name} cannot be read: {error.strerror}.") from error
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise DataError(f"{source.name} is not a plain file.")
        if os.fstat(opened.fileno()).st_size > room:
            raise DataError(f"With {target.name} the model is larger than is allowed here.")
        return archives.copy(opened, target, room)


def check_description(folder: Path, tensors: Tensors) -> None:
    """Whether config.json describes a causal language model that these files hold."""
    config = read_object(folder / "config.json")
    kind = str(config.get("model_type"))
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise DataError(
            f"config.json says “{printable(kind)}”, which is no causal language model known here."
        )
    if config.get("quantization_config"):
        raise DataError("config.json says the weights are quantised; add the full-precision model.")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise DataError(f"There is no tokenizer: none of {', '.join(VOCABULARIES)}.")
    if not tensors.elements:
        raise DataError("There is no model.safetensors, nor shards of it.")
    _drop_paths(folder / "tokenizer_config.json")
    with refusing("config.json cannot be understood"):
        parameters = described_parameters(folder)
    if tensors.elements < FEWEST * parameters:
        raise DataError(
            f"config.json describes {parameters:,} weights; the files hold {tensors.elements:,}."
        )
    refuse_too_large(parameters)


def described_parameters(folder: Path) -> int:
    """How many weights config.json describes, without making them."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if layers > DEEPEST:
        raise DataError(f"config.json describes {layers:,} layers.")
    with torch.device("meta"):
        auto: Any = AutoModelForCausalLM  # untyped
        model = auto.from_config(config, trust_remote_code=False)
    return int(model.num_parameters())


def refuse_too_large(parameters: int) -> None:
    """Say before loading what the machine would only answer with an end."""
    needed = memory.FLOAT * parameters
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise OutOfMemoryError(
            f"The weights alone take {needed / 1e9:.0f} GB in fp32, and this machine has "
            f"{there / 1e9:.0f} GB of memory."
        )


def load(folder: Path) -> Policy:
    """Model and tokenizer of checked files; raises DataError for what does not fit together."""
    with refusing("The tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    with refusing("The model cannot be loaded"):
        auto: Any = AutoModelForCausalLM  # its type says nothing of the second value
        model, info = auto.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    if missing := sorted(info["missing_keys"]):
        raise DataError(
            f"The files lack {len(missing)} of the model's weights, “{printable(missing[0])}” first."
        )
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise DataError(
            f"The tokenizer has {len(tokenizer):,} tokens and the model knows {rows:,}; they do not "
            "belong together."
        )
    return Policy(model.to(default_device()).eval(), tokenizer)


def apply_template(tokenizer: PreTrainedTokenizerBase, template: TemplateName) -> None:
    """Set the chosen chat template; raises ConfigError where the model cannot use it."""
    if template == "own" and tokenizer.chat_template is None:
        raise ConfigError(
            "The model has no chat template. Add it again and choose one: “plain” for a model that "
            "was trained on text alone."
        )
    if template == "plain":
        tokenizer.chat_template = None  # what policies.Policy then writes is the plain form
    if template == "chatml":
        known = tokenizer.get_vocab()
        if lacking := [token for token in CHATML_TOKENS if token not in known]:
            raise ConfigError(f"The tokenizer does not know {lacking[0]}; ChatML needs it.")
        tokenizer.chat_template, tokenizer.eos_token = CHATML, CHATML_TOKENS[1]


def try_out(policy: Policy) -> None:
    """Let the model answer once; raises DataError where it cannot."""
    with refusing("The chat template does not work", TemplateError):
        prompt = policy.prompt_ids(TRIED)
    with refusing("The model cannot answer a prompt"):
        rollouts = sample(
            policy,
            [prompt],
            completions=2,
            max_new_tokens=4,
            generator=torch.Generator().manual_seed(0),
        )
    if not rollouts.token_logps.isfinite().all():
        raise DataError("The model answers with what is not a number; its weights are damaged.")
    if looks_ahead(policy, prompt):
        raise DataError(
            "What the model says of a word depends on the words after it; it is no causal model."
        )


@torch.no_grad()
def looks_ahead(policy: Policy, prompt: Sequence[int]) -> bool:
    """Whether another last token changes what is predicted before it."""
    ids = torch.tensor([[*prompt, 0], [*prompt, policy.eos_id or 1]], device=policy.device)
    one, other = policy.model(input_ids=ids, use_cache=False).logits[:, : len(prompt)]
    return bool((one - other).abs().max() > AHEAD * max(1.0, float(one.abs().max())))


def described(policy: Policy) -> dict[str, object]:
    """What a card says about a model."""
    shape = shape_of(policy)
    return {
        "parameters": shape.parameters,
        "layers": shape.layers,
        "context_length": shape.context if shape.context < UNLIMITED else "without a limit",
        "vocabulary": len(policy.tokenizer),
        "architecture": type(policy.model).__name__,
        "chat_template": policy.tokenizer.chat_template is not None,
        "memory": dict(memory.needed(shape)),
    }


def shape_of(policy: Policy) -> memory.Shape:
    """What decides the model's memory, from its configuration."""
    config: Any = policy.model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1))
    head_width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return memory.Shape(
        parameters=int(policy.model.num_parameters()),
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        heads=heads,
        key_width=head_width * int(getattr(config, "num_key_value_heads", None) or heads),
        vocabulary=int(config.vocab_size),
        context=policy.context_length,
    )


@contextmanager
def refusing(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Tell a foreign loader's error as a refusal: whatever it is, the files are why it was raised."""
    try:
        yield
    except (AlignmentError, MemoryError, torch.OutOfMemoryError):
        raise
    except kind as error:
        reason = printable(str(error).partition("\n")[0])
        raise DataError(f"{what}: {type(error).__name__}: {reason}") from error


def _drop_paths(path: Path) -> None:
    """Forget where files lay on somebody's machine: a tokenizer may open what such a key names."""
    if path.is_file():
        kept = {key: value for key, value in read_object(path).items() if not _is_path(key)}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")


def _is_path(key: str) -> bool:
    return key.endswith(("_file", "_files", "name_or_path"))
