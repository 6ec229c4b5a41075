"""The form that takes a corpus."""

from django import forms
from django.utils.translation import gettext_lazy as _

from alignment.kinds.pretrain.settings import DOCUMENTS
from webapp.datasets.files import FileForm


class CorpusForm(FileForm):
    """A file of documents, and how to read it while it is looked at."""

    takes = _("Plain text, JSON lines or Parquet, packed by gzip or not.")

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
