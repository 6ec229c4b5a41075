"""What the label page and the tables of labelling are sent."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef
from django.http import QueryDict
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError as NoAnswer

from alignment.kinds.settings import flags
from webapp.accounts.models import User
from webapp.labeling.bands import Band
from webapp.labeling.composition import Composition, composition_of, form_of
from webapp.labeling.conversations import with_turns
from webapp.labeling.keys import all_keys, clashes
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.making import kinds_to_make
from webapp.labeling.models import (
    SKIP_REASONS,
    Assignment,
    Completion,
    Label,
    Task,
)
from webapp.labeling.queue import lock_answered
from webapp.labeling.services import Draft
from webapp.projects.models import Project, Split
from webapp.site.choices import FoundChoice, offer_found
from webapp.site.fields import offer_names
from webapp.site.htmx import is_key
from webapp.site.longtext import LongText
from webapp.site.words import Words

LONGEST_RATIONALE = 10_000  # characters, as a browser counts them
LONGEST_TIME = 2**31 - 1  # ms
MOST_LABELS = 20  # that a task is let have
FLAGS: dict[str, Words] = {name: _(words) for name, words in flags.FLAGS.items() if name != "any"}
MOST_MADE = 5_000  # tasks, while somebody waits


NO_ANSWER = _("That is no answer to this question: nothing was stored.")
NO_REASON = _("This project asks for a reason with each answer. Write one: nothing was stored.")
NOT_YOURS = _("This task is not yours to label.")
LARGEST = 2**63 - 1  # that a key can be
BAND = _("Band of the queue")
IN_BAND = _("Hand out in the band: {band}")


class AssignmentForm(forms.Form):
    """Anything about one of the annotator's own assignments; another's is an invalid choice."""

    assignment = forms.IntegerField(
        min_value=1,
        max_value=LARGEST,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), NOT_YOURS),
    )

    def __init__(self, data: QueryDict, *, annotator: User, project: Project) -> None:
        super().__init__(data)
        self.posted = data
        self.annotator, self.project = annotator, project
        self.mine = Assignment.objects.filter(annotator=annotator, task__project=project)

    def clean(self) -> dict[str, Any]:
        """`assignment` is the row, with its task."""
        super().clean()
        if "assignment" in self.cleaned_data:
            self.cleaned_data["assignment"] = found = self.find(self.cleaned_data["assignment"])
            if found:
                found.task.project = self.project  # known, so nobody asks for it
            else:
                self.add_error("assignment", NOT_YOURS)
        return self.cleaned_data

    def find(self, pk: int) -> Assignment | None:
        """The person's assignment of this number in the project."""
        return next(iter(self.mine.select_related("task").filter(pk=pk)), None)


class DraftForm(AssignmentForm):
    """What somebody has written about a pair so far."""

    rationale = LongText(limit=LONGEST_RATIONALE, strip=False, required=False)
    flags = forms.MultipleChoiceField(choices=FLAGS, required=False)
    base = forms.IntegerField(required=False, min_value=0)  # the draft's revision it goes on with
    page = forms.CharField(required=False, max_length=40)  # the tab that wrote it
    count = forms.IntegerField(required=False, min_value=0)  # of that tab's drafts

    def clean(self) -> dict[str, Any]:
        """`sent` are the fields of the answer that came, `fields` those that somebody writes."""
        super().clean()
        assignment: Assignment | None = self.cleaned_data.get("assignment")
        sent = assignment.task.asks.fields_of(self.posted) if assignment else {}
        written = assignment.task.asks.written if assignment else ()
        fields = {name: sent[name] for name in written if name in sent}
        return self.cleaned_data | {"sent": sent, "fields": fields}

    @property
    def draft(self) -> Draft:
        """The draft as it was sent."""
        names = (one.name for one in dataclasses.fields(Draft))
        return Draft(**{name: self.cleaned_data[name] for name in names})


class VisibleTime(forms.Field):
    """How long a pair was seen, in ms; no answer is refused for a clock that tells nonsense."""

    def clean(self, value: object) -> int | None:
        """The number as far as a column holds it, or None."""
        try:
            return min(max(int(str(value)), 0), LONGEST_TIME)
        except ValueError:
            return None


class FormNumber(forms.Field):
    """A number of the project's form; nobody's answer is refused for a wrong one."""

    def clean(self, value: object) -> int | None:
        """The number as far as a column holds it, or None."""
        text = str(value)
        return int(text) if is_key(text) and int(text) <= LONGEST_TIME else None


class LabelForm(DraftForm):
    """An answer to a task; its fields are those of the kind's Answer."""

    client_id = forms.UUIDField()
    visible_ms = VisibleTime()
    form = FormNumber()  # by which the page asked

    def find(self, pk: int) -> Assignment | None:
        """The same, locked: the answer is stored in the same transaction."""
        found = lock_answered(pk, self.annotator, self.cleaned_data.get("client_id"))
        return found if found and found.task.project_id == self.project.pk else None

    def clean(self) -> dict[str, Any]:
        """`answer` is what was answered, if the task's kind and the form it was asked by know it."""
        cleaned = super().clean()
        if assignment := cleaned.get("assignment"):
            cleaned["form"], composition = form_of(self.project, cleaned.get("form"))
            fields = with_turns(assignment, cleaned["sent"])
            cleaned["answer"] = self._answer(assignment.task, fields, composition)
            if composition.rationale == "asked" and not cleaned.get("rationale"):
                raise forms.ValidationError(NO_REASON)
        return cleaned

    @staticmethod
    def _answer(task: Task, fields: object, composition: Composition) -> object:
        if not fields:
            raise forms.ValidationError(_("Choose an answer first: nothing was stored."))
        try:
            answer = task.asks.Answer.model_validate(fields)
        except NoAnswer:
            raise forms.ValidationError(NO_ANSWER) from None
        if not task.asks.is_answer(answer, composition, task.size):
            raise forms.ValidationError(NO_ANSWER)
        return answer


class SkipForm(DraftForm):
    """A pair the annotator does not want to answer."""

    skip = forms.ChoiceField(choices=SKIP_REASONS)
    client_id = forms.UUIDField(required=False)

    def find(self, pk: int) -> Assignment | None:
        """The same, locked: the skip is stored in the same transaction."""
        return next(iter(self.mine.locked().filter(pk=pk)), None)


class UndoForm(forms.Form):
    """The answer or the skip to take back, by the id its page gave it."""

    undo = forms.UUIDField()


NUMBERS = r"^[0-9]{1,18}(,[0-9]{1,18})*$"


class CardsForm(forms.Form):
    """The cards a page already shows, so that only fresh ones are sent."""

    have = forms.RegexField(NUMBERS, required=False, max_length=4000)
    want = forms.RegexField(NUMBERS, required=False, max_length=400)  # to mend their answers
    shown = forms.IntegerField(required=False)

    def numbers(self, name: str) -> list[int]:
        """The assignments of a field; none where it is empty or nonsense."""
        return [int(pk) for pk in self.cleaned_data.get(name, "").split(",") if pk]


class KeysForm(forms.Form):
    """Which keys act on the label page, for one person."""

    off = forms.BooleanField(
        required=False,
        label=_("No single keys"),
        help_text=_("For speech input, or where keys are pressed by accident: buttons still work."),
    )

    def __init__(self, data: Mapping[str, object] | None, *, initial: dict[str, Any]) -> None:
        super().__init__(data, initial=initial)
        for key in all_keys():
            self.fields[key.action] = forms.CharField(label=key.words, max_length=1, required=False)
            self.fields[key.action].widget.attrs |= {"autocomplete": "off", "size": 2}

    def clean(self) -> dict[str, Any]:
        """No key may do two things."""
        super().clean()
        for action, key in clashes(self.chosen(self.cleaned_data)):
            self.add_error(action, _("%(key)s already does something else.") % {"key": key})
        return self.cleaned_data

    @staticmethod
    def chosen(cleaned: Mapping[str, object]) -> dict[str, str]:
        """The keys as they would be; an empty field is the usual one."""
        return {key.action: str(cleaned.get(key.action) or key.usual).lower() for key in all_keys()}


class MakeForm(forms.Form):
    """Tasks to make from prompts and answers that are there."""

    kind = forms.ChoiceField(
        label=_("What is asked"), help_text=_("About the prompt alone, or about answers to it.")
    )
    source = forms.ChoiceField(
        label=_("Answers"),
        required=False,
        choices=[
            ("", _("All")),
            (Completion.Source.MODEL, _("Of models")),
            (Completion.Source.IMPORTED, _("Imported")),
            (Completion.Source.HUMAN, _("Written by people")),
        ],
        help_text=_("Which of them are asked about, where answers are."),
    )
    split = forms.ChoiceField(
        label=_("Prompts"),
        required=False,
        choices=[
            ("", _("All that may be labelled")),
            (Split.TRAIN, Split.TRAIN.label),
            (Split.VALIDATION, Split.VALIDATION.label),
        ],
        help_text=_("Those that are kept for testing are in no task."),
    )
    need = forms.IntegerField(
        label=_("Labels per task"),
        min_value=1,
        max_value=9,
        initial=1,
        help_text=_("How many different people answer each."),
    )
    most = forms.IntegerField(
        label=_("Tasks at most"),
        min_value=1,
        max_value=MOST_MADE,
        initial=200,
        help_text=_("What is asked already is not asked again."),
    )
    band = forms.ChoiceField(
        label=BAND,
        choices=Band.choices,
        initial=Band.NORMAL,
        required=False,
        help_text=_("Urgent tasks are handed out before all others, later ones after them."),
    )

    def __init__(self, data: Mapping[str, object] | None = None, *, project: Project) -> None:
        super().__init__(data)
        asks = composition_of(project)
        kinds = {name: words for name, words in kinds_to_make().items() if asks.offers(name)}
        offer_names(self, "kind", kinds.items())

    def clean_band(self) -> str:
        """The usual one, where none is named."""
        return str(self.cleaned_data["band"] or Band.NORMAL)


class KindFilter(forms.Form):
    """Of which kind of task; not asked where there is one."""

    kind = forms.ChoiceField(label=_("Kind"), required=False)

    def __init__(self, data: Mapping[str, object]) -> None:
        super().__init__(data)
        kinds = [(name, kind.title) for name, kind in TASK_KINDS.items()]
        offer_names(self, "kind", [("", _("All")), *kinds])
        if len(kinds) == 1:
            del self.fields["kind"]


class TaskFilter(KindFilter):
    """Which tasks to list."""

    field_order = ("state", "kind", "band")

    state = forms.ChoiceField(
        choices=[
            ("", _("All")),
            ("open", _("Open")),
            ("leased", _("In somebody's hands")),
            ("done", _("Done")),
            ("skipped", _("Skipped by three")),
        ],
        required=False,
    )
    band = forms.ChoiceField(label=BAND, choices=[("", _("All")), *Band.choices], required=False)


class LabelFilter(KindFilter):
    """Which labels to list."""

    field_order = ("show", "annotator", "by", "kind")

    show = forms.ChoiceField(
        choices=[
            ("", _("Current")),
            ("disagreement", _("Where people disagree")),
            ("extra", _("Extra, not counted")),
            ("history", _("Superseded and retracted")),
        ],
        required=False,
    )
    annotator = FoundChoice(
        User.objects.none(),
        by="username",
        shown=("username",),
        required=False,
        empty_label=_("Everybody"),
    )
    by = forms.ChoiceField(
        label=_("Kind of annotator"),
        choices=[("", _("Everybody")), ("people", _("People")), ("simulated", _("Simulated"))],
        required=False,
    )

    def __init__(self, data: Mapping[str, object], *, project: Project) -> None:
        super().__init__(data)
        given = Label.objects.filter(annotator=OuterRef("pk"), project=project)
        offer_found(self, "annotator", User.objects.filter(Exists(given)).order_by("username"))


class BandForm(forms.Form):
    """The band into which all tasks come that the table lists."""

    band = forms.ChoiceField(label=_("All that are listed, into the band"), choices=Band.choices)


class DispatchForm(forms.Form):
    """What is done with the tasks that are chosen in their table."""

    act = forms.ChoiceField(
        label=_("With the chosen tasks"),
        choices=[
            ("again", _("Ask everybody again, who skipped them too")),
            ("more", _("Ask so many people")),
            ("person", _("Keep a place for somebody")),
            ("nobody", _("Ask nobody more")),
            *((one.value, format_lazy(IN_BAND, band=one.label)) for one in Band),
        ],
    )
    need = forms.IntegerField(
        label=_("So many"), required=False, min_value=1, max_value=MOST_LABELS
    )
    person = FoundChoice(
        User.objects.none(),
        by="username",
        shown=("username",),
        required=False,
        label=_("Somebody"),
        empty_label=_("Nobody"),
    )

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        project: Project,
        initial: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data, initial=initial)
        self.chosen = data.getlist("task") if data else []
        members = User.objects.filter(memberships__project=project, is_active=True)
        offer_found(self, "person", members.order_by("username"))

    def clean(self) -> dict[str, Any]:
        """`tasks` are those that are chosen."""
        cleaned = super().clean() or self.cleaned_data
        tasks = [int(pk) for pk in self.chosen if is_key(pk)]
        if not tasks:
            raise forms.ValidationError(_("Choose tasks in the table first."))
        for act in ("more", "person"):
            field = {"more": "need", "person": "person"}[act]
            if cleaned.get("act") == act and not cleaned.get(field) and field not in self.errors:
                self.add_error(field, _("Say how many, or who."))
        return cleaned | {"tasks": tasks}
