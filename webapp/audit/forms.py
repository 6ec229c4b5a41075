"""What the page of the audit log and programs look for in it."""

from typing import Any

from django import forms
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.audit.acts import THINGS, Act
from webapp.audit.models import AuditEntry, EntryQuerySet
from webapp.site.choices import FoundChoice, offer_found

LARGEST = 2**63 - 1  # that a key can be


class AuditFilter(forms.Form):
    """Which rows to list."""

    person = FoundChoice(
        User.objects.none(),
        label=_("Who"),
        by="username",
        shown=("username",),
        required=False,
        empty_label=_("Everybody"),
    )
    act = forms.ChoiceField(label=_("What"), choices=[("", _("All")), *Act.choices], required=False)
    thing = forms.ChoiceField(
        label=_("About"),
        choices=[("", _("All")), *((thing, thing) for thing in THINGS)],
        required=False,
    )
    number = forms.IntegerField(label=_("Number"), min_value=1, max_value=LARGEST, required=False)
    since = forms.DateField(
        label=_("Since"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )

    def __init__(self, *arguments: Any, rows: EntryQuerySet, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self.rows = rows
        mine = rows.filter(person=OuterRef("pk"))
        offer_found(self, "person", User.objects.filter(Exists(mine)).order_by("username"))

    def found(self) -> "EntryQuerySet":
        """The rows that are asked for; what is no answer to a field asks for nothing."""
        self.is_valid()
        asked = dict(self.cleaned_data)
        days = (asked.pop("since", None), asked.pop("until", None))
        rows: EntryQuerySet = self.rows.asked(days=days, **asked)
        return rows.select_related("person")


def entries_of(project: int | None) -> EntryQuerySet:
    """The rows of a project; of no project: those of all, and of none."""
    return AuditEntry.objects.filter(project=project) if project else AuditEntry.objects.all()
