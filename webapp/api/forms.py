"""The form of a new token."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.api.models import LONGEST_NAME
from webapp.api.scopes import Scope, scopes_for

LAST_YEAR = 2999


class TokenForm(forms.Form):
    """What a token is called, what it may be used for, and until when."""

    name = forms.CharField(
        label=_("Name"),
        max_length=LONGEST_NAME,
        help_text=_("The program that will use it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may be used for"),
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.READ],
        help_text=_("Never for more than you may do in a project yourself."),
    )
    last_day = forms.DateField(
        label=_("Last day (optional)"),
        required=False,
        help_text=_("It ends with this day (UTC)."),
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        field: Any = self.fields["scopes"]
        field.choices = [(scope.value, scope.label) for scope in scopes_for(person)]

    def clean_last_day(self) -> date | None:
        """A day that is not over."""
        day: date | None = self.cleaned_data["last_day"]
        if day and day < timezone.now().date():
            raise forms.ValidationError(_("This day is over; choose a later one."))
        if day and day.year > LAST_YEAR:
            raise forms.ValidationError(_("Leave it empty for a token that does not end."))
        return day

    def ends_at(self) -> datetime | None:
        """When the token ends: as the day after its last begins."""
        day: date | None = self.cleaned_data["last_day"]
        return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC) if day else None
