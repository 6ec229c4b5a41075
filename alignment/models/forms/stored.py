"""Folders whose weights are in a form: held against what the model needs, read, written.

Whatever the files say is checked before a layer is made of it: what is named is a layer of the model that
`config.json` describes, each tensor has the dtype and shape that the form and the layer give it, and scales are
positive numbers. Somebody else's folder is read by the same way as our own.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignment.models.forms import factors, int8
from alignment.models.forms.form import Record, StorageForm
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.forms import stored_form
from alignment.seam.modelfiles import FORM, header_of, printable
from alignment.seam.words import _

FORMS: Mapping[str, StorageForm] = {form.name: form for form in (int8.FORM, factors.FORM)}


@dataclass(frozen=True)
class StoredForm:
    """A form with what a folder says of it, and the files of its tensors."""

    form: StorageForm
    record: Record
    files: tuple[Path, ...]

    def at(self, budget: factors.Budget) -> "StoredForm":
        """The same form, used by another budget; raises ConfigError where it has none."""
        if not isinstance(self.record, factors.FactorRecord):
            raise ConfigError(_("Only a factorised model can be loaded at a budget."))
        return replace(self, record=factors.at_budget(self.record, budget))

    def check(self, outline: nn.Module) -> frozenset[str]:
        """Raise DataError where the files do not hold what the form needs of this model; the names of its tensors."""
        held = {
            name: (dtype, shape) for path in self.files for name, dtype, shape in header_of(path)
        }
        wanted = self.form.tensors(self.record, outline)
        for name, kept in wanted.items():
            if name not in held:
                raise DataError(
                    _("The files lack “{name}”, which the form {form} needs.").format(
                        name=printable(name), form=self.form.name
                    )
                )
            if held[name] != tuple(kept):
                raise DataError(
                    _(
                        "“{name}” is {held} in the files; the form {form} has {wanted} there."
                    ).format(
                        name=printable(name),
                        held=_in_words(*held[name]),
                        form=self.form.name,
                        wanted=_in_words(*kept),
                    )
                )
        return frozenset(wanted)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the files."""
        return {name: tensor for path in self.files for name, tensor in load_file(path).items()}

    def load(
        self, outline: PreTrainedModel
    ) -> tuple[PreTrainedModel, dict[str, Any], dict[str, Tensor]]:
        """The model with the plain weights that the form stands for, what was missing, and the form's tensors.

        Raises DataError as `check` does, and where numbers stand for no weights.
        """
        names = self.check(outline)
        tensors = self.tensors()
        own = {name: tensors.pop(name) for name in names}
        stood_for = self.form.plain(self.record, outline, own)
        if twice := sorted(tensors.keys() & stood_for.keys()):
            raise DataError(
                _("The files hold “{name}” plain, beside what the form {form} has for it.").format(
                    name=printable(twice[0]), form=self.form.name
                )
            )
        plain = tensors | stood_for
        loader: Any = type(outline)
        model, info = loader.from_pretrained(
            None,
            config=outline.config,
            state_dict=plain,
            dtype="float32",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        return model, info, own

    def place(self, model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
        """Let a loaded model compute in the form."""
        self.form.place(self.record, model, tensors)


def stored_in(folder: Path, files: list[Path]) -> StoredForm | None:
    """The form of a folder; None where its weights are plain. Raises DataError where it is none of ours."""
    if (found := stored_form(folder)) is None:
        return None
    if (form := FORMS.get(found["form"])) is None:
        raise DataError(
            _("{file} says “{form}”, a form that is not known here; there are {known}.").format(
                file=FORM, form=printable(found["form"]), known=", ".join(FORMS)
            )
        )
    try:
        return StoredForm(form, form.record.model_validate(found), tuple(files))
    except ValidationError as error:
        row = error.errors()[0]
        where = printable(".".join(map(str, row["loc"])))
        raise DataError(
            _("{file} cannot be understood: {where}: {reason}.").format(
                file=FORM, where=where, reason=row["msg"]
            )
        ) from error


def write_form(
    model: PreTrainedModel,
    record: Record,
    kept: Mapping[str, Tensor],
    folder: Path,
    replaced: Collection[str] = (),
) -> None:
    """Write a plain model with these tensors in place of its weights of their names, and what they are.

    `replaced` are weights of other names that they stand for.

    What is tied to a weight that is replaced is tied to what replaces it, and is not written.
    """
    state = model.state_dict()
    away = {state[name].data_ptr() for name in (*kept, *replaced) if name in state}
    rest = {name: one for name, one in state.items() if one.data_ptr() not in away}
    model.save_pretrained(folder, state_dict=rest | dict(kept))
    write_record(record, folder)


def write_record(record: Record, folder: Path) -> None:
    """Say in a model's folder which form it is in."""
    text = json.dumps(record.model_dump(mode="json"), indent=1)
    (folder / FORM).write_text(text, encoding="utf-8")


def _in_words(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {' by '.join(map(str, shape))}"
