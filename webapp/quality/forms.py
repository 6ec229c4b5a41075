"""What researchers send who look at disagreements."""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from webapp.artifacts.models import Artifact
from webapp.labeling.forms import LARGEST, LONGEST_RATIONALE, KindFilter
from webapp.labeling.models import Label, Task
from webapp.projects.models import Project
from webapp.quality.adjudication import Decision
from webapp.quality.allocation import METHODS, AllocationWish, heads_of
from webapp.site.longtext import LongText

if TYPE_CHECKING:
    FormOfChecks = forms.ModelForm[Project]  # generic in its stubs only
else:
    FormOfChecks = forms.ModelForm

MOST_EVERY = 100_000
MOST_CHOSEN = 1000  # tasks, which one transaction makes
DRAWS = 2**31  # seeds of the choice by chance
NOTHING = _("Choose what is right first: nothing was decided.")


class DisputeFilter(KindFilter):
    """Which disagreements to list."""

    field_order = ("show", "by", "kind")

    show = forms.ChoiceField(
        label=_("Tasks"),
        choices=[("", _("To decide")), ("decided", _("Decided"))],
        required=False,
    )
    by = forms.ChoiceField(
        label=_("Who disagrees"),
        choices=[("", _("People")), ("everybody", _("Simulated annotators too"))],
        required=False,
    )


class DecisionForm(forms.Form):
    """What is right about a task: as somebody said, by a button of the kind, or as its fields say."""

    key = forms.UUIDField()
    label = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)
    act = forms.CharField(required=False, max_length=40)
    rationale = LongText(
        label=_("Why (optional), or what you say to who is asked again"),
        limit=LONGEST_RATIONALE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, data: QueryDict | None, *, task: Task, initial: Mapping[str, Any]) -> None:
        super().__init__(data, initial=dict(initial))
        self.task, self.posted = task, data

    def clean(self) -> dict[str, Any]:
        """`decision` is what was decided."""
        cleaned = super().clean() or self.cleaned_data
        decision = self._decision(cleaned)
        if decision is None and not self.errors:
            raise forms.ValidationError(NOTHING)
        return cleaned | {"decision": decision}

    def _decision(self, cleaned: Mapping[str, Any]) -> Decision | None:
        why, kind = cleaned.get("rationale", ""), self.task.asks
        if cleaned.get("label"):
            like = Label.objects.current().filter(task=self.task, pk=cleaned["label"]).first()
            return Decision.like(like, why) if like else None
        pressed = [
            key.answer for key in kind.keys if key.answer and key.action == cleaned.get("act")
        ]
        answer = pressed[0] if pressed else kind.fields_of(self.posted or QueryDict())
        return Decision.by_place(self.task, answer, why) if answer else None


class ChecksForm(FormOfChecks):
    """How the people of a project are checked, and how much they are asked for."""

    class Meta:
        model = Project
        fields = ["gold_every", "repeat_every", "third_if_two_differ", "daily_quota"]
        labels = {
            "gold_every": _("One task in so many is a check"),
            "repeat_every": _("One task in so many is a silent repeat"),
            "third_if_two_differ": _("Ask a third person where two differ"),
            "daily_quota": _("Labels a person and day"),
        }
        help_texts = {
            "gold_every": _(
                "Its answer is known, and who answers it hears whether they were right. "
                "By chance, so that nobody can tell; 0: none."
            ),
            "repeat_every": _(
                "Something they answered at least 20 labels ago, shown the other way round; 0: none."
            ),
            "third_if_two_differ": _("For tasks that ask two people."),
            "daily_quota": _("Nobody is given more on one day (UTC); 0: any number."),
        }

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **options)
        for name in ("gold_every", "repeat_every", "daily_quota"):
            self.fields[name] = forms.IntegerField(
                label=self.fields[name].label,
                help_text=self.fields[name].help_text,
                min_value=0,
                max_value=MOST_EVERY,
            )


class CheckForm(forms.Form):
    """A task of known answer: what who is wrong hears of it, or that it is none any more."""

    end = forms.BooleanField(required=False)
    explanation = LongText(
        label=_("What people hear of it"),
        limit=LONGEST_RATIONALE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Why the right answer is right: those who are wrong learn from it."),
    )


class BackForm(forms.Form):
    """An answer that goes back to who gave it, with the words that stand in the form."""

    back = forms.IntegerField(min_value=1, max_value=LARGEST)
    rationale = LongText(limit=LONGEST_RATIONALE, required=False)


class AllocationForm(forms.Form):
    """Tasks to choose by what they would teach."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    method = forms.ChoiceField(label=_("Choose pairs"), choices=list(METHODS.items()))
    wanted = forms.IntegerField(label=_("Tasks"), min_value=10, max_value=MOST_CHOSEN, initial=200)
    control = forms.IntegerField(
        label=_("Of these by chance (%)"),
        min_value=10,
        max_value=50,
        initial=15,
        help_text=_("They show what labels are like that nobody chose, and what choosing brings."),
    )
    need = forms.IntegerField(
        label=_("Labels per task"),
        min_value=1,
        max_value=9,
        initial=1,
        help_text=_("How many different people answer each."),
    )

    def __init__(self, data: QueryDict | None = None, *, scores: Artifact) -> None:
        super().__init__(data, initial={"key": uuid4()})
        self.scores = scores

    def clean_method(self) -> str:
        """One head alone cannot disagree."""
        method = str(self.cleaned_data["method"])
        if method == "ensemble" and heads_of(self.scores) == 1:
            raise forms.ValidationError(
                _(
                    "The reward model has one head, which cannot disagree: choose D-optimal, or train one with "
                    "several heads and score the answers by it."
                )
            )
        return method

    @property
    def wish(self) -> AllocationWish:
        """What was asked for."""
        given = self.cleaned_data
        return AllocationWish(
            method=given["method"],
            wanted=given["wanted"],
            control=given["control"] / 100,
            need=given["need"],
            scores=self.scores.pk,
            seed=secrets.randbelow(DRAWS),
        )
