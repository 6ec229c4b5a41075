"""The file by which a model's folder says that its weights are kept in a form of their own.

Torch-free. `form.json` beside `config.json` names the form and what it was applied to; the forms
themselves are in `alignment/models/forms/`. A folder without it holds plain weights.
"""

from pathlib import Path
from typing import Any

from alignment.seam.errors import DataError
from alignment.seam.modelfiles import FORM, read_object
from alignment.seam.words import _


def form_named(folder: Path) -> str | None:
    """The name of a folder's form; None where its weights are plain. Raises DataError for a file that names none."""
    return None if (stored := stored_form(folder)) is None else str(stored["form"])


def stored_form(folder: Path) -> dict[str, Any] | None:
    """What a folder says of its form, not checked beyond its name; None where its weights are plain."""
    if not (folder / FORM).is_file():
        return None
    stored = read_object(folder / FORM)
    if not isinstance(stored.get("form"), str):
        raise DataError(_("{file} names no form.").format(file=FORM))
    return stored
