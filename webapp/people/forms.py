"""Forms of accounts."""

from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.utils.translation import gettext_lazy as _

from webapp.accounts import names
from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.projects.languages import LANGUAGES
from webapp.site.fields import offer_names

REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic"),
    *("Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"),
)

if TYPE_CHECKING:
    NewAccount = BaseUserCreationForm[User]  # generic in its stubs only
else:
    NewAccount = BaseUserCreationForm


class AccountForm(NewAccount):
    """The name and password of a new account."""

    class Meta(BaseUserCreationForm.Meta):
        model = User

    def clean_username(self) -> str:
        """A name that nobody takes for somebody else's."""
        name: str = self.cleaned_data["username"]
        try:
            names.check_name(name)
        except AccountError as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        if User.objects.matching(name).exists():
            raise forms.ValidationError(_("A user with that name, or one like it, already exists."))
        return name


class OwnAccountForm(forms.Form):
    """What somebody sets for themselves."""

    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        help_text=_(
            "When your day begins: what you have labelled today, and a daily quota, count from then."
        ),
    )
    reads = forms.MultipleChoiceField(
        label=_("Languages I read"),
        required=False,
        widget=forms.SelectMultiple(attrs={"size": 8}),
        help_text=_(
            "You are given tasks in these languages, and those whose language cannot be told; choose none for all."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        offer_names(self, "time_zone", [("", "UTC"), *((zone, zone) for zone in time_zones())])
        offer_names(self, "reads", LANGUAGES.items())


@cache
def time_zones() -> list[str]:
    """The zones of regions, by name; not those of old names and of offsets."""
    return sorted(
        zone for zone in available_timezones() if zone.partition("/")[0] in REGIONS and "/" in zone
    )


class InviteForm(forms.Form):
    """What an invited person may do, and a note that tells their invitation from others."""

    role = forms.ChoiceField(
        label=_("Role"),
        choices=Role,
        initial=Role.ANNOTATOR,
        help_text=_(
            "Annotators label and write prompts; researchers also train; admins also manage."
        ),
    )
    note = forms.CharField(
        required=False,
        max_length=200,
        label=_("Note (optional)"),
        help_text=_("Who it is for; only admins see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class AddMemberForm(forms.Form):
    """Somebody who has an account here, and what they may do."""

    username = forms.CharField(
        label=_("Username"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    role = forms.ChoiceField(label=_("Role"), choices=Role, initial=Role.ANNOTATOR)

    def clean_username(self) -> str:
        """The name of an account that can sign in."""
        name: str = self.cleaned_data["username"]
        if not User.objects.matching(name).filter(is_active=True).exists():
            raise forms.ValidationError(_("Nobody has this name here; invite them instead."))
        return name


class RoleForm(forms.Form):
    """A new role of a member."""

    role = forms.ChoiceField(choices=Role)
