"""The page of what a project warns of: an admin names the tags, and everybody says which of them they decline."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.requests import PersonRequest
from webapp.labeling.warned import decline_tags, warn_of
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.projects.tags import tags_in
from webapp.site.fields import offer_names

LONGEST = 1_000  # characters of all tags


class DeclineForm(forms.Form):
    """Which of a project's tags somebody does not want to be asked about."""

    declined = forms.MultipleChoiceField(
        label=gettext_lazy("Never show me tasks about"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        offer_names(self, "declined", [(tag, tag) for tag in project.warned_tags])


class WarnForm(forms.Form):
    """The tags that a project warns of."""

    tags = forms.CharField(
        label=gettext_lazy("Tags to warn of"),
        required=False,
        max_length=LONGEST,
        help_text=gettext_lazy(
            "With commas between, as prompts have them. Tasks about such prompts are veiled until somebody shows them."
        ),
    )

    def clean_tags(self) -> list[str]:
        """Each once, in small letters."""
        return tags_in(self.cleaned_data["tags"])


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def warnings(request: PersonRequest, project_id: int) -> HttpResponse:
    """What is warned of, and which of it this person declines."""
    here = project_for(request.user, project_id, can=Action.LABEL)
    member = here.memberships.select_related("user", "project").filter(user=request.user).first()
    there = {"declined": member.declined if member else []}
    form = DeclineForm(here, request.POST if request.method == "POST" else None, initial=there)
    if member and form.is_valid():
        decline_tags(member, form.cleaned_data["declined"])
        messages.success(request, _("Saved: you are asked about none of that."))
        return redirect("labeling:label", here.pk)
    naming = WarnForm(initial={"tags": ", ".join(here.warned_tags)})
    context = {"project": here, "form": form, "naming": naming, "member": member}
    return render(request, "labeling/warnings.html", context)


@login_required
@require_POST
def name_warnings(request: PersonRequest, project_id: int) -> HttpResponse:
    """Name the tags that the project warns of."""
    here = project_for(request.user, project_id, can=Action.EDIT_GUIDELINES)
    form = WarnForm(request.POST)
    if form.is_valid():
        warn_of(here, form.cleaned_data["tags"], by=request.user)
        messages.success(request, _("Saved: the project warns of these tags."))
        return redirect("labeling:warnings", here.pk)
    context = {"project": here, "form": DeclineForm(here), "naming": form, "member": None}
    return render(request, "labeling/warnings.html", context)
