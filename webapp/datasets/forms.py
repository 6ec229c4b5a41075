"""Forms of datasets."""

from django import forms


class FreezeForm(forms.Form):
    """What a snapshot takes in beyond people's labels."""

    include_simulated = forms.BooleanField(
        required=False, initial=True, label="Labels by simulated annotators"
    )
    include_ranks = forms.BooleanField(required=False, initial=True, label="Imported rankings")
