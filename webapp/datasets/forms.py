"""Forms of datasets."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from alignment.rows.formats import FORMATS, GUESS
from alignment.rows.found import Demonstrated
from alignment.rows.mapping import ROLES, twice
from webapp.accounts.models import User
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.folders import name_of
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.intake import FIRST_KIND, PAIRS, TWO, Become
from webapp.datasets.models import Snapshot
from webapp.jobs.models import Job
from webapp.labeling.bands import Band
from webapp.labeling.forms import BAND
from webapp.labeling.kinds import TASK_KINDS, kind_of_label
from webapp.projects.models import Project
from webapp.projects.tags import tags_in
from webapp.site.choices import FoundChoice, offer_found
from webapp.site.fields import DrawnChoice, DrawnCount, drawn, offer_names

SOMETHING = Demonstrated("Something.")  # is there a kind of task that has words for it?
NAMES = 2000  # characters of several names together
MOST_NEED, MOST_PAIRS = 20, 10_000  # labels of a task, pairs of a prompt


class JoinedInput(forms.TextInput):
    """Several words with commas between; a program may send them one by one."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:  # noqa: ANN401 - as Django's
        """All of them as one text."""
        return ", ".join(data.getlist(name)) if hasattr(data, "getlist") else data.get(name, "")


class FreezeForm(forms.Form):
    """What a snapshot takes in."""

    include_simulated = forms.BooleanField(
        required=False, initial=True, label=_("Labels by simulated annotators")
    )
    include_imported = forms.BooleanField(required=False, initial=True, label=_("Imported labels"))
    include_ranks = forms.BooleanField(
        required=False, initial=True, label=_("Imported rankings and preferences")
    )
    kinds = forms.MultipleChoiceField(
        required=False,
        label=_("Kinds of task"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked means all."),
    )
    people = forms.CharField(
        required=False,
        max_length=NAMES,
        label=_("Annotators"),
        widget=JoinedInput,
        help_text=_("Their names with commas between; empty means all."),
    )
    tags = forms.CharField(
        required=False,
        max_length=NAMES,
        label=_("Tags"),
        widget=JoinedInput,
        help_text=_("With commas between; prompts that have one of them."),
    )
    since = forms.DateField(
        required=False,
        label=_("From this day on"),
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Days of UTC."),
    )
    until = forms.DateField(
        required=False, label=_("To this day"), widget=forms.DateInput(attrs={"type": "date"})
    )
    agreement = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        label=_("Least agreement of a task"),
        help_text=_(
            "Percent of a task's counted labels that say the same; what has only one is left out then. 0 means any."
        ),
    )
    counted_only = forms.BooleanField(
        required=False, label=_("Only labels that count for their tasks")
    )
    NARROWING = ("kinds", "people", "tags", "since", "until", "agreement", "counted_only")

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.project = project
        offer_names(self, "kinds", [(name, kind.title) for name, kind in TASK_KINDS.items()])

    def clean_people(self) -> tuple[int, ...]:
        """The keys of those who are named; refuse whoever has nothing to do with the project."""
        names = [name for part in self.cleaned_data["people"].split(",") if (name := part.strip())]
        found = {name: self._person(name) for name in names}
        if nobody := [name for name, key in found.items() if key is None]:
            words = _("Nobody here is called {names}.")
            raise forms.ValidationError(words.format(names=", ".join(nobody)))
        return tuple(sorted({key for key in found.values() if key is not None}))

    def _person(self, name: str) -> int | None:
        person = User.objects.matching(name).first()
        if person is None:
            return None
        here = person.labels.filter(project=self.project).exists()
        return person.pk if here or person.memberships.filter(project=self.project) else None

    def clean_tags(self) -> tuple[str, ...]:
        """Each once and in small letters."""
        parts = self.cleaned_data["tags"].split(",")
        return tuple(sorted({tag for part in parts for tag in tags_in(part)}))

    def clean(self) -> dict[str, Any]:
        """Refuse days that end before they begin."""
        super().clean()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", _("The last day is before the first."))
        return self.cleaned_data

    @property
    def wanted(self) -> SnapshotFilter:
        """What a valid form asks for."""
        chosen = self.cleaned_data | {"kinds": tuple(self.cleaned_data["kinds"])}
        return SnapshotFilter(**chosen | {"agreement": chosen["agreement"] or 0})

    @property
    def narrowing(self) -> list[forms.BoundField]:
        """The fields that leave out more than whole origins."""
        return [self[name] for name in self.NARROWING]

    @property
    def is_narrow(self) -> bool:
        """Whether one of those is filled in."""
        return any(field.value() or field.errors for field in self.narrowing)


class EarlierForm(forms.Form):
    """Since which earlier snapshot changes are told."""

    since = forms.IntegerField(label=_("Since snapshot number"), min_value=1)

    def __init__(self, *args: Any, snapshot: Snapshot, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.earlier = snapshot.project.snapshots.filter(number__lt=snapshot.number)

    def clean_since(self) -> Snapshot:
        """The snapshot of this number; refuse one that is not earlier."""
        found = self.earlier.filter(number=self.cleaned_data["since"]).first()
        if found is None:
            raise forms.ValidationError(_("No earlier snapshot has this number."))
        return found


class ImportForm(forms.Form):
    """A file, and how to read it."""

    file = forms.FileField(
        label=_("File"),
        max_length=200,
        help_text=_(
            "JSON lines, a JSON array, CSV, TSV, Parquet, Arrow or a zip of them, packed or not. "
            "Drop it here, or choose it."
        ),
        error_messages={"required": _("Choose a file first."), "empty": _("The file is empty.")},
    )
    format = forms.ChoiceField(
        choices=[(GUESS, _("Detect them"))]
        + [(name, _(known.title)) for name, known in FORMATS.items()],
        label=_("Its rows"),
        help_text=_("Each row is read as what its columns say."),
    )

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        if too_large:
            self.fields["file"].error_messages["required"] = too_large_sentence()

    def clean_file(self) -> "UploadedFile[bytes]":
        """Also refuse a file that came in small parts but is too large."""
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > settings.IMPORT_LIMIT:
            raise forms.ValidationError(too_large_sentence())
        return file


def too_large_sentence() -> str:
    """What to do about a file that is too large."""
    return _(
        "The file is larger than {n} MB. Pack it with gzip or split it into parts; prompts that come "
        "twice are taken in once."
    ).format(n=f"{settings.IMPORT_LIMIT / 1e6:,.0f}")


class TakeForm(forms.Form):
    """What the rows of a file that was looked at become."""

    become = forms.ChoiceField(label=_("What the rows become"), choices=Become.choices)
    kind = DrawnChoice(label=_("Kind of task"), required=False)
    need = DrawnCount(
        label=_("Labels per task"), min_value=1, max_value=MOST_NEED, initial=1, required=False
    )
    pairs = DrawnCount(
        label=_("Pairs per prompt"),
        min_value=0,
        max_value=MOST_PAIRS,
        initial=PAIRS,
        required=False,
        help_text=_("At most so many; 0 means all."),
    )
    band = DrawnChoice(label=BAND, choices=Band.choices, initial=Band.NORMAL, required=False)
    leave_out = forms.BooleanField(required=False)

    def __init__(self, *args: Any, found: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.found = found
        offered = becomes(found)
        offer_names(self, "become", [(one.value, one.label) for one in offered])
        self.fields["become"].initial = usual(found).value
        kinds = kinds_of(found)
        offer_names(self, "kind", [(name, TASK_KINDS[name].title) for name in kinds])
        for name in ("kind", "need", "pairs", "band"):
            drawn(self, name).asked = {"become": [Become.TASKS]}
        pairs = [name for name in kinds if TASK_KINDS[name].items == TWO]
        drawn(self, "pairs").asked = {"become": [Become.TASKS], "kind": pairs}

    def clean(self) -> dict[str, Any]:
        """Refuse bad rows unless somebody chose to leave them out; fill in what was left empty."""
        super().clean()
        chosen = self.cleaned_data
        if self.found.get("refused") and not chosen.get("leave_out"):
            raise forms.ValidationError(_("The file has bad rows: mend them, or leave them out."))
        kinds = kinds_of(self.found) or [FIRST_KIND]
        initial = {"need": 1, "pairs": PAIRS, "kind": kinds[0], "band": Band.NORMAL.value}
        return chosen | {name: initial[name] for name in initial if chosen.get(name) in (None, "")}


def kinds_of(found: dict[str, Any]) -> list[str]:
    """The kinds of task that can be made of a file's rows.

    Files looked at before there was a choice say only of how many prompts answers can be compared.
    """
    made = found.get("tasks", {FIRST_KIND: found.get("compared", 0)})
    return [name for name, kind in TASK_KINDS.items() if kind.made and made.get(name)]


class ColumnsForm(forms.Form):
    """What each column of a file is; none that nobody gave a role is read."""

    def __init__(self, *args: Any, found: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.columns = found.get("columns", [])
        roles = [("", _("Not used")), *((name, _(words)) for name, words in ROLES.items())]
        for number, (column, value, role) in enumerate(self.columns):
            self.fields[f"column-{number}"] = DrawnChoice(
                choices=roles, label=column, help_text=value, initial=role, required=False
            )

    def clean(self) -> dict[str, Any]:
        """Refuse a role that only one column may have, and roles of which nothing can be made."""
        super().clean()
        if role := twice(self.roles):
            words = _("Only one column may be “{role}”.")
            raise forms.ValidationError(words.format(role=_(ROLES[role])))
        return self.cleaned_data

    @property
    def roles(self) -> dict[str, str]:
        """What each column was said to be."""
        chosen = self.cleaned_data
        return {
            column: chosen.get(f"column-{number}", "")
            for number, (column, _value, _role) in enumerate(self.columns)
        }


def take_form(job: Job) -> TakeForm | None:
    """The form of a file that was looked at; none where no row of it can be read."""
    return TakeForm(found=job.result) if job.result.get("rows") else None


def becomes(found: dict[str, Any]) -> list[Become]:
    """What a file's rows can become.

    Files looked at before there was a choice say only how many answers they hold.
    """
    there = {
        Become.PROMPTS: True,
        Become.ANSWERS: found.get("answers"),
        Become.DEMONSTRATIONS: found.get("answers") and kind_of_label(SOMETHING, 0),
        Become.TASKS: kinds_of(found),
        Become.PREFERENCES: found.get("judged", found.get("answers")),
    }
    return [one for one, offered in there.items() if offered]


def usual(found: dict[str, Any]) -> Become:
    """What a file's rows become unless somebody says otherwise: what they hold most of."""
    chosen = {
        Become.DEMONSTRATIONS
    }  # by somebody alone: no file says that its answers are worth it
    if not found.get("compared"):
        chosen.add(Become.TASKS)  # else everything with a prompt would be one
    return [one for one in becomes(found) if one not in chosen][-1]


class ExportForm(forms.Form):
    """What to export, for whom."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    snapshot = FoundChoice(
        Snapshot.objects.none(),
        by="artifact__name",
        shown=("project", "number"),
        label=_("Snapshot"),
        empty_label=None,
        help_text=_("Frozen labels; the same snapshot gives the same file."),
    )
    format = forms.ChoiceField(label=_("Format"))

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.project = project
        offer_found(self, "snapshot", project.snapshots.filter(erasures=None))
        offer_names(self, "format", [(name, one.title) for name, one in EXPORTS.items()])
        self.fields["format"].initial = next(iter(EXPORTS))

    def snapshot_shown(self) -> Snapshot | None:
        """The one whose losses the page tells: the chosen one, or the newest."""
        try:
            chosen: Snapshot = self.fields["snapshot"].clean(self["snapshot"].value())
        except forms.ValidationError:
            return self.project.snapshots.first()
        return chosen

    def format_shown(self) -> ExportFormat:
        """The format whose losses the page tells: the chosen one, or the first."""
        return EXPORTS.get(str(self["format"].value()), next(iter(EXPORTS.values())))

    def formats_by_reader(self) -> Iterable[tuple[str, list[tuple[ExportFormat, bool]]]]:
        """All formats with whether they are chosen, those of one reader together, in their order."""
        found: dict[str, list[tuple[ExportFormat, bool]]] = {}
        for one in EXPORTS.values():
            found.setdefault(str(one.reader), []).append((one, one == self.format_shown()))
        return found.items()

    def payload(self) -> dict[str, Any]:
        """What the job is told."""
        snapshot, name = self.cleaned_data["snapshot"], self.cleaned_data["format"]
        called = name_of(snapshot, EXPORTS[name])
        return {"snapshot": snapshot.pk, "format": name, "name": called}
