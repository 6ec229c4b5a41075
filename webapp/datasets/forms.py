"""Forms of datasets."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from webapp.datasets.exports import CONSUMERS, TEXT_FORMS, name_of
from webapp.datasets.imports import GUESS, TITLES
from webapp.projects.models import Project


class FreezeForm(forms.Form):
    """What a snapshot takes in beyond people's labels."""

    include_simulated = forms.BooleanField(
        required=False, initial=True, label="Labels by simulated annotators"
    )
    include_ranks = forms.BooleanField(required=False, initial=True, label="Imported rankings")


class ImportForm(forms.Form):
    """A file, and how to read it."""

    file = forms.FileField(
        max_length=200,
        help_text="JSON lines, gzipped or not. Drop it here, or choose it.",
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )
    format = forms.ChoiceField(
        choices=[(GUESS, "Detect it")] + [(name, format.title) for name, format in TITLES.items()],
        help_text=" ".join(f"{format.title}: {format.help}" for format in TITLES.values()),
    )

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        if too_large:
            self.fields["file"].error_messages["required"] = too_large_sentence()

    def clean_file(self) -> UploadedFile:
        """Also refuse a file that came in small parts but is too large."""
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_LIMIT:
            raise forms.ValidationError(too_large_sentence())
        return file


def too_large_sentence() -> str:
    """What to do about a file that is too large."""
    return (
        f"The file is larger than {settings.IMPORT_LIMIT / 1e6:,.0f} MB. Pack it with gzip or split "
        "it into parts; prompts that come twice are taken in once."
    )


class ExportForm(forms.Form):
    """What to export, for whom."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    snapshot = forms.ModelChoiceField(
        None, empty_label=None, help_text="Frozen labels; the same snapshot gives the same file."
    )
    consumer = forms.ChoiceField(
        label="For",
        choices=[(name, consumer.title) for name, consumer in CONSUMERS.items()],
        help_text=" ".join(consumer.help for consumer in CONSUMERS.values()),
    )
    text = forms.ChoiceField(
        label="Texts as",
        choices=[(name, form.title) for name, form in TEXT_FORMS.items()],
        help_text=" ".join(f"{form.title}: {form.help}" for form in TEXT_FORMS.values()),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.fields["snapshot"].queryset = project.snapshots.filter(pairs__gt=0)

    def payload(self) -> dict[str, Any]:
        """What the job is told."""
        snapshot, consumer, text = (
            self.cleaned_data[name] for name in ("snapshot", "consumer", "text")
        )
        name = name_of(snapshot, consumer, text)
        return {"snapshot": snapshot.pk, "consumer": consumer, "text": text, "name": name}
