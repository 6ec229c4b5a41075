"""Somebody's own model: fetched or copied, checked, loaded once, tried, and kept as it came.

Runs in the trainer, which has neither the database nor its credentials. An adapter is merged into
its base.
"""

import math
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from alignment.kinds.bring import hub
from alignment.kinds.bring.settings import ImportConfig
from alignment.kinds.spec import RunSpec
from alignment.models.adapter_checks import check_adapter_apart
from alignment.models.adapters import check_merged, is_adapter, merged, settings_of
from alignment.models.checks import check_apart
from alignment.models.loading import check_description, loaded, outputs_of, refusing
from alignment.models.policies import Policy
from alignment.models.processors import default_device
from alignment.models.trials import (
    apply_template,
    described,
    described_encoder,
    described_rater,
    drop_paths,
    try_out,
    try_rating,
    try_reading,
)
from alignment.models.uses import CLASS_HEADS, Use, is_masked
from alignment.seam import archives
from alignment.seam.architectures import family_in
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed, size
from alignment.seam.modelfiles import (
    Tensors,
    check_folder,
    printable,
    read_object,
    safe_name,
    wanted,
)
from alignment.seam.progress import counting, split, taking
from alignment.seam.words import _

Progress = Generator[Event, str | None, Mapping[str, object]]

STEPS = 4  # collect, check, load, try
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


def add(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Make a model of this project from `inputs["source"]` or the Hub; writes `folder/output`."""
    config = ImportConfig.stored(spec.config)
    yield Ready(total_steps=STEPS, threads=torch.get_num_threads(), device=str(default_device()))
    incoming = folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        found = yield from SOURCES[config.source](config, spec, folder)
        yield done(1)
        yield PhaseStarted(name=_("checking"))
        with counting(len(list(incoming.iterdir())), _("files")), taking(1):
            check_apart(incoming, check_folder)
        tensors = check_folder(incoming)
        if is_adapter(incoming):
            facts = yield from add_adapter(spec, folder, incoming)
        else:
            facts = yield from _add_model(spec, folder, incoming, tensors)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    yield Finished(summary={**facts, **found, "bytes": size(folder / "output")})


def done(step: int) -> StepDone:
    """One of the steps is over; also the moment at which a wish to stop is heard."""
    return StepDone(step=step, total=STEPS, metrics={})


def _add_model(spec: RunSpec, folder: Path, incoming: Path, tensors: Tensors) -> Progress:
    """A whole model, kept byte for byte but for a chosen chat template; an encoder has none.

    An encoder such as BERT can be the backbone of a reward model, and no policy; a model that rates is for rewards.
    """
    if "base" in spec.inputs:
        raise DataError(_("These files are a whole model, not an adapter; choose no base model."))
    template = ImportConfig.stored(spec.config).template
    use = use_of(incoming)
    written = use == "policy" or (use == "rater" and template != "own")  # by the chosen template
    check_description(incoming, tensors, use)
    drop_paths(incoming / "tokenizer_config.json")
    yield done(2)
    yield PhaseStarted(name=_("loading"))
    with counting(len(tensors.names), _("weights")), taking(1):
        model, tokenizer = loaded(incoming, use)
    placed: Any = model.to(default_device())  # type: ignore[arg-type]  # transformers wraps it without its arguments
    policy = Policy(placed.eval(), tokenizer)
    if written:
        apply_template(policy.tokenizer, template)
    yield done(3)
    yield PhaseStarted(name=_("trying"))
    with counting(100, "%"):
        trying, keeping = split(1, 1)
        with trying:
            TRIALS[use](policy)
        with keeping, committed(folder / "output") as output:
            for path in incoming.iterdir():
                path.rename(output / path.name)
            if template != "own" and written:
                (output / "chat_template.jinja").unlink(missing_ok=True)
                policy.tokenizer.save_pretrained(output)
    stored = sorted(DTYPES.get(name, name.lower()) for name in tensors.dtypes)
    return {**CARDS[use](policy), "dtype": ", ".join(stored)}


def use_of(folder: Path) -> Use:
    """What a whole model can be here: a policy, an encoder that backbones are made of, or one that rates.

    An encoder that tells several classes is kept as what it reads by, without its head.
    """
    names = read_object(folder / "config.json").get("architectures") or []
    rates = any(str(name).endswith(CLASS_HEADS["rater"]) for name in names)
    if is_masked(folder):
        return "rater" if rates and outputs_of(folder) == 1 else "backbone"
    return "rater" if rates else "policy"


TRIALS: Mapping[Use, Callable[[Policy], None]] = {
    "policy": try_out,
    "backbone": try_reading,
    "rater": try_rating,
}
CARDS: Mapping[Use, Callable[[Policy], dict[str, object]]] = {
    "policy": described,
    "backbone": described_encoder,
    "rater": described_rater,
}


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
            _(
                "This is a LoRA adapter for “{name}”. Add that model first, then choose it as the "
                "base."
            ).format(name=name)
        )
    place = folder / spec.inputs["base"]
    if reason := spec.described.refusal(spec.settings(), family_in(place)):
        raise ConfigError(reason)
    drop_paths(incoming / "tokenizer_config.json")
    yield done(2)
    yield PhaseStarted(name=_("merging"))
    policy, said = _added_to_base(place, incoming)
    template = ImportConfig.stored(spec.config).template
    if template != "own":  # else the adapter's or the base's, which may have none
        apply_template(policy.tokenizer, template)
    yield done(3)
    yield PhaseStarted(name=_("trying"))
    _try_and_keep(policy, folder, place, incoming)
    return {**described(policy), "dtype": "float32", "merged": said}


def _added_to_base(place: Path, incoming: Path) -> tuple[Policy, str]:
    """The base with an adapter merged into it, and what has become of it in words."""
    with counting(100, "%"):
        loading, checking, adding = split(2, 1, 2)
        with loading:
            base = Policy.load(place, "base model")
        before = base.tokenizer
        with checking:
            check_adapter_apart(base.model, settings_of(incoming), incoming)
        with adding, refusing("The adapter cannot be merged"):
            policy = merged(base, incoming)
    own = "" if policy.tokenizer is before else "; with the adapter's own tokenizer"
    return policy, f"a LoRA adapter, into a full model{own}"


def _try_and_keep(policy: Policy, folder: Path, place: Path, incoming: Path) -> None:
    """Commit a merged model that answers, once it is what PEFT makes of base and adapter."""
    with counting(100, "%"):
        trying, storing = split(1, 4)
        with trying:
            try_out(policy)
        with storing, committed(folder / "output") as output:
            keeping, comparing, _sealing = split(1, 2, 1)
            with keeping:
                policy.save(output)
            with comparing, refusing("The merged model cannot be compared with the adapter's own"):
                check_merged(Policy.load(output), Policy.load(place, "base model"), incoming)


def from_hub(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Fetch from the Hub; a branch or tag becomes the commit it stood for."""
    incoming = folder / "incoming"
    commit = yield from hub.fetch(config.name, config.revision, incoming, limit_of(config))
    return {"hub_name": config.name, "revision": commit}


def from_folder(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Copy the files of a folder that an admin allows; links may lead anywhere below its root."""
    yield PhaseStarted(name=_("copying"))
    source, root = (folder / spec.inputs[role] for role in ("source", "root"))
    root, room = root.resolve(), limit_of(config)
    if not source.resolve().is_relative_to(root):
        raise DataError(
            _("{name} is not below a folder that an admin allows.").format(name=config.name)
        )
    (folder / "incoming").mkdir()
    for path in by_size(files_of(source)):
        real = path.resolve()
        if not real.is_relative_to(root):
            raise DataError(_("{name} is a link out of the allowed folder.").format(name=path.name))
        room -= copy_plain(real, folder / "incoming" / path.name, room)
    return {}


def from_upload(config: ImportConfig, spec: RunSpec, folder: Path) -> Progress:
    """Unpack an uploaded archive, or take the uploaded files as they are."""
    yield PhaseStarted(name=_("unpacking"))
    incoming, room = folder / "incoming", limit_of(config)
    incoming.mkdir()
    source = folder / spec.inputs["source"]
    names = sorted(path.name for path in source.iterdir()) if source.is_dir() else []
    if not names:
        raise DataError(_("The upload is no longer there; upload the model again."))
    packed = [name for name in names if archives.is_archive(name)]
    if packed and len(names) > 1:
        raise DataError(
            _("Upload either one archive or the files themselves, not {packed} too.").format(
                packed=packed[0]
            )
        )
    if packed:
        for path in by_size([source / packed[0]]):
            archives.unpack(path, incoming, room)
        return {}
    for path in by_size(files_of(source)):
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


def by_size(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, counted by their bytes as each of them is copied."""
    sizes = {path: _size(path) for path in paths}
    total = sum(sizes.values())
    with counting(math.ceil(total / 1e6), "MB"):
        for path, own in sizes.items():
            with taking(own / (total or 1)):
                yield path


def _size(path: Path) -> int:
    """Bytes of a file; none of one that is not there, which whoever opens it will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def copy_plain(source: Path, target: Path, room: int) -> int:
    """Copy one regular file, never through a link or a pipe; its bytes. Raises DataError."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(
            _("{name} cannot be read: {strerror}.").format(
                name=source.name, strerror=error.strerror
            )
        ) from error
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise DataError(_("{name} is not a plain file.").format(name=source.name))
        if os.fstat(opened.fileno()).st_size > room:
            raise DataError(
                _("With {name} the model is larger than is allowed here.").format(name=target.name)
            )
        return archives.copy(archives.Counted(opened, opened), target, room)
