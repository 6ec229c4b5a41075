"""What somebody wants to hear of."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from webapp.notifications.models import Occasion


class SubscriptionForm(forms.Form):
    """The kinds that are told, and whether once a day by mail too."""

    kinds = forms.MultipleChoiceField(
        label=_("Tell me when"),
        choices=Occasion.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    digest = forms.BooleanField(
        label=_("Send me a mail once a day where something is new"), required=False
    )
    email = forms.EmailField(label=_("E-mail address"), required=False)

    def clean(self) -> dict[str, Any]:
        """A mail needs an address, and a server that sends it."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("digest") and not cleaned.get("email") and "email" not in self.errors:
            self.add_error("email", _("Write the address to which the mail goes."))
        if cleaned.get("digest") and not settings.EMAIL_HOST:
            self.add_error("digest", _("No mail server is set up here: ask whoever runs Attune."))
        muted = [kind for kind in Occasion.values if kind not in cleaned.get("kinds", ())]
        return cleaned | {"muted": muted}
