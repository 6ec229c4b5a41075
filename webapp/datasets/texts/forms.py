"""The form that takes texts with classes."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from alignment.kinds.classify.settings import HEADS, ClassifyConfig
from webapp.datasets.files import FileForm
from webapp.site.words import Words


def column_field(name: str, help: Words, *, required: bool = True) -> forms.CharField:
    """A field for one of a run's settings that name a column."""
    setting = ClassifyConfig.model_fields[name]
    return forms.CharField(
        label=_(setting.title or ""),
        max_length=100,
        initial=setting.default,
        required=required,
        help_text=help,
    )


class TextsForm(FileForm):
    """A table of texts and their classes, and its columns."""

    takes = _("CSV, TSV, JSON lines or Parquet, packed by gzip or not.")

    head = forms.ChoiceField(
        label=_(ClassifyConfig.model_fields["head"].title or ""),
        choices=[(name, _(words)) for name, words in HEADS.items()],
        initial="text",
        required=False,
        help_text=_(
            "One class of each text, a tag of each of its words, or its answer to a question."
        ),
    )
    text_column = column_field(
        "text_column", _("What is read; of words a list, or with spaces between them.")
    )
    class_column = column_field(
        "class_column",
        _("A word or a number; a list of tags, or the answer as it stands in the text."),
    )
    prompt_column = column_field(
        "prompt_column",
        _("What the text answers, or the question about it; empty where there is none."),
        required=False,
    )

    def clean_head(self) -> str:
        """Of each text a class, unless something else was chosen."""
        return self.cleaned_data["head"] or "text"

    def clean(self) -> dict[str, Any]:
        """A question needs a column of its own."""
        super().clean()
        if self.cleaned_data.get("head") == "span" and not self.cleaned_data.get("prompt_column"):
            self.add_error("prompt_column", _("Name the column of the questions."))
        return self.cleaned_data
