"""The forms of erasing."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.erasure.services import person_named
from webapp.projects.models import Project


class PersonForm(forms.Form):
    """Whose data, by their name."""

    name = forms.CharField(max_length=150, label=_("Name"))

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.project = project

    def clean_name(self) -> User:
        """Whom the name means; refuse one of whom nothing is in the project."""
        person = person_named(self.cleaned_data["name"], self.project)
        if person is None:
            raise forms.ValidationError(_("There is nothing of anybody of this name here."))
        return person


class ConfirmForm(PersonForm):
    """The name once more, by hand: what is erased does not come back."""

    typed = forms.CharField(
        max_length=150, label=_("Type the name once more"), help_text=_("Nothing of it comes back.")
    )

    def clean(self) -> dict[str, Any]:
        """Refuse another name."""
        super().clean()
        person, typed = self.cleaned_data.get("name"), self.cleaned_data.get("typed", "")
        if person and typed and person_named(typed, self.project) != person:
            self.add_error("typed", _("That is another name."))
        return self.cleaned_data
