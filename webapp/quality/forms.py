"""What researchers send who look at disagreements."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from webapp.labeling.forms import LARGEST, LONGEST_RATIONALE, KindFilter
from webapp.labeling.models import Label, Task
from webapp.quality.adjudication import Decision
from webapp.site.longtext import LongText

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
        label=_("Why (optional)"),
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
