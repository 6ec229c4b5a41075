"""The form of a new webhook."""

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.webhooks.deliveries import EVENTS
from webapp.webhooks.errors import WebhookError
from webapp.webhooks.models import LONGEST_URL
from webapp.webhooks.targets import check_target


class WebhookForm(forms.Form):
    """Where to send, and of what."""

    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_URL,
        help_text=_("The whole address of the program that listens, with https://."),
        widget=forms.URLInput(attrs={"autocomplete": "off"}),
    )
    acts = forms.MultipleChoiceField(
        label=_("What it is told of"),
        choices=[(act.value, act.label) for act in EVENTS],
        widget=forms.CheckboxSelectMultiple,
    )

    def clean_url(self) -> str:
        """An address that may be reached, as far as that is known before anybody connects."""
        url: str = self.cleaned_data["url"]
        try:
            check_target(url)
        except WebhookError as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return url
