"""Forms that add a model, one per source."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from alignment.foreign.code_files import LARGEST, check_source
from alignment.kinds import KINDS
from alignment.kinds.bring.settings import ImportConfig
from alignment.seam.architectures import family_in
from alignment.seam.archives import is_archive
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import MOST_FILES, safe_name, wanted
from webapp.artifacts.models import Artifact
from webapp.artifacts.sources import model_folders
from webapp.projects.models import Project
from webapp.site.choices import FoundChoice, offer_found
from webapp.site.fields import add_errors, drawn_field, offer_names

TEMPLATE_HELP = _(
    "How a conversation becomes the text that the model reads. Choose “plain” for a model that was "
    "trained on text alone; ChatML needs a tokenizer that knows it."
)


class AddForm(forms.Form):
    """What every added model is asked."""

    source = ""
    key = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("How lists call the model here.")
    )
    base = FoundChoice(
        Artifact.objects.none(),
        shown=("project", "name"),
        required=False,
        label=_("Base model"),
        empty_label=_("none: it is a whole model"),
        help_text=_(
            "Only for a LoRA adapter: the model it was trained on. The two become one full model."
        ),
    )

    field_order: tuple[str, ...] = (
        "key",
        "name",
        "folder",
        "files",
        "revision",
        "template",
        "base",
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        offer_found(self, "base", project.artifacts.models())
        template = drawn_field(ImportConfig.model_fields["template"], "own")
        template.help_text = TEMPLATE_HELP
        self.fields["template"] = template
        self.order_fields(self.field_order)

    def clean(self) -> dict[str, Any]:
        """Let the config itself judge the values."""
        super().clean()
        if self.errors:
            return self.cleaned_data
        cleaned = self.cleaned_data
        values = {"source": self.source, "template": cleaned["template"], **self.place(cleaned)}
        try:
            self.config = ImportConfig(limit_gib=settings.MODEL_GIB, **values)
        except ValidationError as error:
            add_errors(self, error)
            return cleaned
        family = family_in(cleaned["base"].path) if cleaned["base"] else ""
        if reason := KINDS["import"].refusal(self.config, family):
            self.add_error("base", reason)
        return cleaned

    def place(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """The settings that say where the model is."""
        raise NotImplementedError


class HubForm(AddForm):
    """A model of the Hub."""

    source = "hub"
    repository = forms.CharField(
        label=_("Name on the Hub"),
        max_length=200,
        help_text=_("Such as HuggingFaceTB/SmolLM2-135M."),
    )
    revision = forms.CharField(
        label=_("Revision"),
        max_length=100,
        initial="main",
        help_text=_(
            "A commit, branch or tag. Whatever it is, the commit is stored with the model."
        ),
    )
    field_order = ("key", "repository", "revision", "name", "template", "base")

    def place(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """The name on the Hub and the revision."""
        return {"name": cleaned["repository"], "revision": cleaned["revision"]}


class FolderForm(AddForm):
    """A folder on the worker's disk; only those found below the allowed roots can be chosen."""

    source = "folder"
    folder = forms.ChoiceField(
        label=_("Folder"), help_text=_("Folders with a config.json below the allowed ones.")
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, project=project, **kwargs)
        names = [folder.name for folder in model_folders()]
        offer_names(self, "folder", [(name, name) for name in names])

    def place(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """The folder's shown name; its path is looked up when the run starts."""
        return {"name": cleaned["folder"]}


ModelFile: TypeAlias = "UploadedFile[bytes]"


class FilesInput(forms.ClearableFileInput):
    """A control for several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """The files of a model, or one archive of them."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[ModelFile]:  # noqa: ANN401
        """Every file with a name that can be stored; raises ValidationError naming one that has none."""
        files = [super(FilesField, self).clean(one, initial) for one in data or [None]]
        if len(files) > MOST_FILES:
            raise forms.ValidationError(_("At most {n} files.").format(n=MOST_FILES))
        if (together := sum(file.size or 0 for file in files)) > settings.MODEL_GIB * 2**30:
            size = filesizeformat(together)
            raise forms.ValidationError(
                _("{size} are more than the {gib} GiB allowed here.").format(
                    size=size, gib=f"{settings.MODEL_GIB:g}"
                )
            )
        return _fine(files)


def _fine(files: list[ModelFile]) -> list[ModelFile]:
    """The files of a model among these; refused before anything is stored."""
    kept = []
    for file in files:
        name = file.name or ""
        try:
            if is_archive(safe_name(name)) or wanted(name):
                kept.append(file)
        except DataError as error:
            raise forms.ValidationError(str(error)) from error
    if not kept:
        raise forms.ValidationError(_("None of these files belongs to a model."))
    if len({file.name for file in kept}) < len(kept):
        raise forms.ValidationError(_("Two of the files have the same name."))
    return kept


class UploadForm(AddForm):
    """Files from a browser."""

    source = "upload"

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, project=project, **kwargs)
        self.fields["files"] = FilesField(
            label=_("Files"),
            help_text=_(
                "One .zip or .tar of the model's folder, or its files: config.json, safetensors, tokenizer."
            ),
        )  # by its name here, since a form has an attribute `files` already
        self.order_fields(self.field_order)

    def place(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """The first file's name, for people."""
        return {"name": cleaned["files"][0].name}


class CodeForm(forms.Form):
    """A file of Python, and the function in it that gives rewards."""

    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("How lists call the reward here.")
    )
    function = forms.CharField(
        label=_("Function"),
        max_length=100,
        help_text=_("Its name in the file."),
    )
    file = forms.FileField(
        label=_("File"),
        max_length=200,
        help_text=_("One file of Python; what it imports has to be installed here."),
        error_messages={"required": _("Choose a file first."), "empty": _("The file is empty.")},
    )

    def clean(self) -> dict[str, Any]:
        """Refuse what cannot be a file of Python with such a function, before anything of it is run."""
        super().clean()
        if not self.errors:
            file: UploadedFile[bytes] = self.cleaned_data["file"]
            source = file.read(LARGEST + 1)
            try:
                check_source(source, self.cleaned_data["function"])
            except DataError as error:
                self.add_error("file", str(error))
            self.cleaned_data["source"] = source
        return self.cleaned_data


FORMS: dict[str, type[AddForm]] = {form.source: form for form in (HubForm, FolderForm, UploadForm)}
