"""Forms of accounts."""

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm

from webapp.accounts.models import User
from webapp.projects.models import Role


class FirstAdminForm(BaseUserCreationForm):
    """The name and password of the first admin."""

    class Meta(BaseUserCreationForm.Meta):
        model = User


class AddMemberForm(forms.Form):
    """Who joins a project, and what they may do."""

    username = forms.RegexField(
        r"^[\w.@+-]+$",
        label="Username",
        max_length=150,
        help_text="Somebody with an account here, or a new name: then an account is made.",
        error_messages={"invalid": "Letters, digits and @ . + - _ only."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    role = forms.ChoiceField(
        choices=Role,
        initial=Role.ANNOTATOR,
        help_text="Annotators label and write prompts; researchers also train; admins also manage.",
    )


class RoleForm(forms.Form):
    """A new role of a member."""

    role = forms.ChoiceField(choices=Role)
