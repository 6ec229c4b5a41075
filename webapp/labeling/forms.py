"""What the label page and the tables of labelling are sent."""

from collections.abc import Mapping

from django import forms
from django.db.models import Exists, OuterRef

from webapp.accounts.models import User
from webapp.labeling.models import SKIP_REASONS, Assignment, Label
from webapp.projects.models import Project

FLAGS = {
    "harmful": "Harmful",
    "false": "False",
    "refuses": "Refuses",
    "off_topic": "Off topic",
}


class AssignmentForm(forms.Form):
    """Anything about one of the annotator's own assignments; another's is an invalid choice."""

    assignment = forms.ModelChoiceField(
        queryset=Assignment.objects.none(),
        error_messages={"invalid_choice": "This pair is not yours to label."},
    )

    def __init__(
        self, data: Mapping[str, object] | None, *, annotator: User, project: Project
    ) -> None:
        super().__init__(data)
        mine = Assignment.objects.filter(annotator=annotator, task__project=project)
        self.fields["assignment"].queryset = mine


class DraftForm(AssignmentForm):
    """What somebody has written about a pair so far."""

    rationale = forms.CharField(required=False, max_length=10_000)
    flags = forms.MultipleChoiceField(choices=FLAGS, required=False)
    at = forms.IntegerField(required=False, min_value=0)  # ms since 1970, by the browser

    @property
    def draft(self) -> dict[str, object]:
        """The draft as an assignment keeps it; empty when nothing was written."""
        names = ("rationale", "flags")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}


class LabelForm(DraftForm):
    """An answer to a compare task."""

    client_id = forms.UUIDField()
    choice = forms.TypedChoiceField(
        choices=Label.Choice.choices,
        coerce=int,
        error_messages={"required": "Choose an answer first: nothing was stored."},
    )
    visible_ms = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class SkipForm(DraftForm):
    """A pair the annotator does not want to answer."""

    skip = forms.ChoiceField(choices=SKIP_REASONS)


class UndoForm(forms.Form):
    """The answer to take back, by the id its page gave it."""

    undo = forms.UUIDField()


class CardsForm(forms.Form):
    """The cards a page already shows, so that only fresh ones are sent."""

    have = forms.RegexField(r"^[0-9]{1,18}(,[0-9]{1,18})*$", required=False, max_length=400)
    shown = forms.IntegerField(required=False)

    @property
    def ids(self) -> list[int]:
        """The assignments on the page; none where the field is empty or nonsense."""
        return [int(pk) for pk in self.cleaned_data.get("have", "").split(",") if pk]


class TaskFilter(forms.Form):
    """Which tasks to list."""

    state = forms.ChoiceField(
        choices=[
            ("", "All"),
            ("open", "Open"),
            ("leased", "In somebody's hands"),
            ("done", "Done"),
            ("skipped", "Skipped by three"),
        ],
        required=False,
    )


class LabelFilter(forms.Form):
    """Which labels to list."""

    show = forms.ChoiceField(
        choices=[
            ("", "Current"),
            ("disagreement", "Where people disagree"),
            ("extra", "Extra, not counted"),
            ("history", "Superseded and retracted"),
        ],
        required=False,
    )
    annotator = forms.ModelChoiceField(
        queryset=User.objects.none(), required=False, empty_label="Everybody"
    )
    by = forms.ChoiceField(
        label="Kind of annotator",
        choices=[("", "Everybody"), ("people", "People"), ("simulated", "Simulated")],
        required=False,
    )

    def __init__(self, data: Mapping[str, object], *, project: Project) -> None:
        super().__init__(data)
        given = Label.objects.filter(annotator=OuterRef("pk"), task__project=project)
        self.fields["annotator"].queryset = User.objects.filter(Exists(given)).order_by("username")
