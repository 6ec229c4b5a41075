"""Where models may come from: folders that an admin allows, uploads, and the Hub.

An address never holds a path: forms offer the folders found here, and the trainer is told a path
only after it was found here once more.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from alignment.kinds.bring.settings import ImportConfig
from alignment.seam.modelfiles import safe_name
from webapp.projects.access import Action
from webapp.site.errors import Refusal
from webapp.site.words import Words

MARKS = ("config.json", "adapter_config.json")  # one of them makes a folder a model
DEPTH = 4  # below a root; a cache of the Hub needs three
MOST = 500  # folders offered


class SourceError(Refusal):
    """A model cannot be had from there; the message says why."""


class Source(NamedTuple):
    """A way for a model to come in, and who may use it."""

    title: Words
    help: Words
    needs: Action


SOURCES = {
    "hub": Source(
        _("From the Hub"),
        _("A public model of the Hugging Face Hub, at a commit that is kept."),
        Action.ADD_MODELS,
    ),
    "folder": Source(
        _("From a folder"),
        _("A model on the worker's disk, below a folder that an admin allows."),
        Action.ADD_MODELS,
    ),
    "upload": Source(
        _("Upload"),
        _("An archive or the files of a model, from your computer."),
        Action.UPLOAD_MODELS,
    ),
}


class ModelFolder(NamedTuple):
    """A folder that may be added: its root, and where it lies below it."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """What people see: the root's own name and the way below it."""
        return str(Path(self.root.name) / self.path.relative_to(self.root))


def model_folders() -> list[ModelFolder]:
    """The model folders below the allowed roots; links are not followed."""
    found = []
    for root in settings.MODEL_FOLDERS:
        real = Path(root).resolve()
        for path in _below(real, DEPTH):
            found.append(ModelFolder(real, path))
            if len(found) == MOST:
                return found
    return found


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # not there, or not ours to read: nothing to offer
        return
    if any(entry.name in MARKS for entry in entries):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _below(Path(entry.path), depth - 1)


def trainer_inputs(config: ImportConfig, key: str) -> dict[str, str]:
    """The paths of a run that adds a model, by role; raises SourceError where there are none.

    `key` is that of the run the files were uploaded for.
    """
    if config.source == "upload":
        return {"source": str(upload_folder(key))}
    if config.source == "folder":
        for folder in model_folders():
            if folder.name == config.name:
                return {"source": str(folder.path), "root": str(folder.root)}
        raise SourceError(
            _("There is no model folder “{name}” on this worker any more.").format(name=config.name)
        )
    return {}


def upload_folder(key: str) -> Path:
    """Where the files of an upload wait for their run, by the run's key."""
    return Path(settings.STORE) / "uploads" / safe_name(key)


def keep_upload(key: str, files: Iterable["UploadedFile[bytes]"]) -> None:
    """Keep uploaded files for the run of this key; a second time replaces them."""
    folder = upload_folder(key)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for file in files:
            with (folder / safe_name(file.name or "")).open("xb") as kept:
                for chunk in file.chunks():
                    kept.write(chunk)
    except BaseException:
        forget_upload(key)
        raise


def forget_upload(key: str) -> None:
    """Remove the files of an upload, if there are any."""
    shutil.rmtree(upload_folder(key), ignore_errors=True)
