"""The form that takes a corpus."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from alignment.kinds.pretrain.settings import DOCUMENTS
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import safe_name


class CorpusForm(forms.Form):
    """A file of documents, and how to read it while it is looked at."""

    file = forms.FileField(
        label=_("File"),
        max_length=200,
        help_text=_("Plain text, JSON lines or Parquet, packed by gzip or not. At most {n} MB."),
        error_messages={"required": _("Choose a file first."), "empty": _("The file is empty.")},
    )
    document = forms.ChoiceField(
        label=_("A document of plain text is"),
        choices=[(name, _(words)) for name, words in DOCUMENTS.items()],
        help_text=_("What belongs together; of JSON lines and Parquet it is a row."),
    )
    column = forms.CharField(
        label=_("Column"),
        max_length=100,
        required=False,
        help_text=_("Of JSON lines and Parquet, the one that holds the text; empty means “text”."),
    )

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        field = self.fields["file"]
        field.help_text = str(field.help_text).format(n=f"{settings.IMPORT_LIMIT / 1e6:,.0f}")
        if too_large:
            field.error_messages["required"] = larger()

    def clean_file(self) -> "UploadedFile[bytes]":
        """Refuse a file that is too large, and a name that cannot be stored."""
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > settings.IMPORT_LIMIT:
            raise forms.ValidationError(larger())
        try:
            safe_name(file.name or "")
        except DataError as error:
            raise forms.ValidationError(str(error)) from error
        return file


def larger() -> str:
    """What to do about a corpus that is too large."""
    return str(_("The file is larger than {n} MB. Pack it with gzip or split it.")).format(
        n=f"{settings.IMPORT_LIMIT / 1e6:,.0f}"
    )
