"""The pages of webhooks: those of a project, and what was told to each."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.site.htmx import is_key
from webapp.site.pages import page_of
from webapp.webhooks import services
from webapp.webhooks.errors import WebhookError
from webapp.webhooks.forms import WebhookForm
from webapp.webhooks.models import Webhook


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: PersonRequest, project_id: int) -> HttpResponse:
    """A project's webhooks, and the form of a new one, whose secret is shown in the answer alone."""
    project = project_for(request.user, project_id, can=Action.MANAGE_WEBHOOKS)
    form, secret = WebhookForm(request.POST or None), ""
    if form.is_valid():
        try:
            _made, secret = services.make_webhook(project, by=request.user, **form.cleaned_data)
        except WebhookError as refusal:
            form.add_error(None, str(refusal))
        else:
            form = WebhookForm()
    rows = project.webhooks.order_by("-pk")
    context = {"project": project, "form": form, "webhooks": rows, "secret": secret}
    return render(request, "webhooks/list.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: PersonRequest, project_id: int, webhook_id: int) -> HttpResponse:
    """One webhook with its deliveries; a POST does something to it, or sends a delivery again."""
    project = project_for(request.user, project_id, can=Action.MANAGE_WEBHOOKS)
    row = get_object_or_404(project.webhooks.select_related("created_by"), pk=webhook_id)
    if request.method != "POST":
        return _page(request, project, row)
    if request.POST.get("act") == "secret":
        secret = services.draw_secret(row, by=request.user)
        return _page(request, project, row, secret=secret)
    try:
        _act(request, row)
    except WebhookError as refusal:
        messages.error(request, str(refusal))
    if request.POST.get("act") == "remove":
        return redirect("webhooks:list", project.pk)
    return redirect("webhooks:detail", project.pk, row.pk)


def _page(
    request: PersonRequest, project: Project, row: Webhook, *, secret: str = ""
) -> HttpResponse:
    told = row.deliveries.select_related("entry")
    context = {
        "project": project,
        "webhook": row,
        "page": page_of(told, request.GET, "-pk"),
        "secret": secret,
    }
    return render(request, "webhooks/detail.html", context)


def _act(request: PersonRequest, row: Webhook) -> None:
    """Do what was pressed; raises WebhookError, and Http404 for what is no button."""
    if key := request.POST.get("again", ""):
        found = row.deliveries.select_related("webhook")
        again = get_object_or_404(found, pk=key if is_key(key) else 0)
        services.send_again(again, by=request.user)
        messages.success(request, _("It is sent once more."))
        return
    name = request.POST.get("act", "")
    if name not in ACTS:
        raise Http404
    ACTS[name](row, by=request.user)


# What a button of its page, and an address of the API, do to a webhook.
ACTS: dict[str, Callable[..., object]] = {
    "test": services.try_webhook,
    "off": services.turn_off,
    "on": services.turn_on,
    "remove": services.remove_webhook,
}
