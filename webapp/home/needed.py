"""The page of what a project still needs: prompts, answers and what people write, by tag and split."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.requests import PersonRequest
from webapp.labeling.services import LabelingError
from webapp.labeling.wishes import MOST_WISHES, ask_to_write, needs_of
from webapp.notifications.models import Occasion
from webapp.notifications.services import News, notify
from webapp.projects.access import Action, may, project_for, role_in
from webapp.projects.forms import WishForm
from webapp.projects.models import Wish


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def needed(request: PersonRequest, project_id: int) -> HttpResponse:
    """What is wanted, what is there and what lacks; whoever manages prompts says what is wanted."""
    posted = request.method == "POST"
    can = Action.MANAGE_PROMPTS if posted else Action.WRITE_PROMPTS
    here = project_for(request.user, project_id, can=can)
    form = WishForm(request.POST if posted else None)
    if form.is_valid():
        wish = form.cleaned_data
        named = {name: wish[name] for name in ("what", "tag", "split")}
        known = here.wishes.filter(**named).exists()
        if known or here.wishes.count() < MOST_WISHES:
            row, new = here.wishes.update_or_create(**named, defaults={"wanted": wish["wanted"]})
            if new:
                _tell(row, request.user.pk)
            return redirect("needed", here.pk)
        form.add_error(None, _("A project has so many wishes at most. Drop one first."))
    may_manage = may(role_in(request.user, here), Action.MANAGE_PROMPTS)
    context = {"project": here, "form": form, "needs": needs_of(here), "manages": may_manage}
    return render(request, "projects/needed.html", context)


def _tell(wish: Wish, by: int) -> None:
    """Let the other members of the project know what is wanted."""
    members = wish.project.memberships.exclude(user=by).values_list("user", flat=True)
    what = " · ".join(filter(None, [wish.tag, wish.get_what_display()]))
    url = reverse("needed", args=[wish.project_id])
    notify(members, News(wish.project_id, Occasion.WISH, f"{wish.wanted} · {what}", url))


@login_required
@require_POST
def write(request: PersonRequest, project_id: int, wish_id: int) -> HttpResponse:
    """Give whoever asks a prompt to answer."""
    here = project_for(request.user, project_id, can=Action.LABEL)
    try:
        ask_to_write(get_object_or_404(here.wishes, pk=wish_id), request.user)
    except LabelingError as refusal:
        messages.error(request, str(refusal))
        return redirect("needed", here.pk)
    return redirect("labeling:label", here.pk)


@login_required
@require_POST
def drop(request: PersonRequest, project_id: int, wish_id: int) -> HttpResponse:
    """Want something no more."""
    here = project_for(request.user, project_id, can=Action.MANAGE_PROMPTS)
    get_object_or_404(here.wishes, pk=wish_id).delete()
    return redirect("needed", here.pk)
