"""The pages of panels: an admin's, and the one to which a crowd platform sends its people."""

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.requests import PersonRequest
from webapp.people.panels import close_panel, let_in, make_panel, panel_of_token, token_of_panel
from webapp.people.views import MODEL_BACKEND
from webapp.projects.access import Action, project_for
from webapp.projects.models import Panel
from webapp.site.pages import page_of

LARGEST = 100_000


class PanelForm(forms.Form):
    """A new panel."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    quota = forms.IntegerField(
        label=gettext_lazy("Labels of each person"), min_value=1, max_value=LARGEST
    )
    places = forms.IntegerField(
        label=gettext_lazy("People at most"), min_value=1, max_value=LARGEST
    )
    code = forms.CharField(
        label=gettext_lazy("Completion code"),
        required=False,
        max_length=64,
        help_text=gettext_lazy(
            "As the platform gave it to you; one is drawn where you leave this empty."
        ),
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def panels(request: PersonRequest, project_id: int) -> HttpResponse:
    """The project's panels with their links, and the form of a new one."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    form = PanelForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        make_panel(here, **form.cleaned_data, by=request.user)
        messages.success(request, _("The panel is open: give its link to the platform."))
        return redirect("panels", here.pk)
    rows = here.panels.annotate(people=Count("members"))
    page = page_of(rows, request.GET, "-pk")
    listed = [(panel, _address(request, panel)) for panel in page]
    return render(
        request,
        "projects/panels.html",
        {"project": here, "form": form, "page": page, "listed": listed},
    )


def _address(request: HttpRequest, panel: Panel) -> str:
    path = reverse("accounts:panel", args=[token_of_panel(panel)])
    return request.build_absolute_uri(f"{path}?worker=")


@login_required
@require_POST
def close(request: PersonRequest, project_id: int, panel_id: int) -> HttpResponse:
    """Close a panel."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    close_panel(get_object_or_404(here.panels, pk=panel_id), by=request.user)
    messages.success(request, _("The panel is closed: its link lets nobody in any more."))
    return redirect("panels", here.pk)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def come(request: HttpRequest, token: str) -> HttpResponse:
    """Sign a worker in by the platform's link; they press a button, so that no other page does it."""
    if (panel := panel_of_token(token)) is None:
        return render(request, "accounts/panel.html", {"panel": None}, status=410)
    sent = request.POST if request.method == "POST" else request.GET
    worker = sent.get("worker", "")
    context = {"panel": panel, "worker": worker}
    if isinstance(request.user, User) and request.user.is_authenticated:
        return render(request, "accounts/panel.html", context | {"other": request.user})
    if request.method != "POST":
        return render(request, "accounts/panel.html", context)
    try:
        user = let_in(panel, worker)
    except AccountError as refusal:
        return render(request, "accounts/panel.html", context | {"refusal": refusal}, status=409)
    login(request, user, backend=MODEL_BACKEND)
    return redirect("labeling:label", panel.project_id)
