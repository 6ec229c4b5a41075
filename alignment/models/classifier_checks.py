"""A classifier's folder, looked at before its weights are loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from alignment.kinds.classify.settings import ReadsName
from alignment.models.loading import check_files, check_folder_is_there, check_kind_of_folder
from alignment.models.uses import check_type
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import read_object
from alignment.seam.words import _

CLASSIFIER = "classifier.json"  # what a classifier reads


def check_classifier_files(folder: Path, *, spread: bool = False) -> dict[str, Any]:
    """What `classifier.json` says, once the model's files were looked at; raises DataError.

    A classifier that transformers stored has no such file, and reads the text alone. `spread` is as `check_files` has it.
    """
    check_folder_is_there(folder)
    check_kind_of_folder(folder, "classifier")
    config = read_object(folder / "config.json")
    check_type(folder, config, "classifier")
    check_classes(config)
    stored = {"reads": "answer"}
    if (folder / CLASSIFIER).is_file():
        stored |= read_object(folder / CLASSIFIER)
    if stored["reads"] not in get_args(ReadsName):
        raise DataError(_("{file} does not say what the classifier reads.").format(file=CLASSIFIER))
    check_files(folder, "classifier", spread=spread)
    return stored


def reads_prompts(folder: Path) -> bool:
    """Whether a classifier reads the prompt of an answer too; raises DataError as `check_classifier_files`."""
    return bool(check_classifier_files(folder, spread=True)["reads"] == "conversation")


def check_classes(config: Mapping[str, Any]) -> None:
    """Raise DataError where config.json does not name two classes or more, of which a text has one."""
    names = config.get("id2label")
    if not isinstance(names, dict) or set(names) != set(map(str, range(len(names)))):
        raise DataError(_("config.json does not name its classes by id2label, from 0 on."))
    words = [name for name in names.values() if isinstance(name, str) and name.strip()]
    if len(set(words)) < max(2, len(names)):
        raise DataError(_("config.json names fewer than two classes, or two of them alike."))
    if config.get("problem_type") not in (None, "single_label_classification"):
        raise DataError(
            _("The classifier gives a text several classes, or a number; one class is needed.")
        )
