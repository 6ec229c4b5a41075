"""The form that takes texts with classes."""

from django import forms
from django.utils.translation import gettext_lazy as _

from alignment.kinds.classify.settings import ClassifyConfig
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

    text_column = column_field("text_column", _("What is read."))
    class_column = column_field(
        "class_column", _("A word or a number; every different one is a class.")
    )
    prompt_column = column_field(
        "prompt_column", _("What the text answers; empty where it answers nothing."), required=False
    )
