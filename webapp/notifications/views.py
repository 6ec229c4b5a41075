"""The page of what somebody was told, and that of their choices."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from webapp.accounts.requests import PersonRequest
from webapp.notifications import services
from webapp.notifications.forms import SubscriptionForm
from webapp.notifications.models import Occasion, Subscription
from webapp.site.pages import page_of


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: PersonRequest) -> HttpResponse:
    """What somebody was told, the newest first; a press says that they have read it."""
    if request.method == "POST":
        services.mark_read(request.user)
        return redirect("notifications")
    page = page_of(request.user.notifications.select_related("project"), request.GET, "-pk")
    return render(request, "notifications/list.html", {"page": page})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def choose_notifications(request: PersonRequest) -> HttpResponse:
    """What somebody wants to hear of."""
    known = Subscription.objects.filter(person=request.user).first() or Subscription()
    kinds = [kind for kind in Occasion.values if kind not in known.muted]
    there = {"kinds": kinds, "digest": known.digest, "email": request.user.email}
    form = SubscriptionForm(request.POST if request.method == "POST" else None, initial=there)
    if form.is_valid():
        chosen = {name: form.cleaned_data[name] for name in ("muted", "digest", "email")}
        services.choose_news(request.user, **chosen)
        messages.success(request, _("Saved."))
        return redirect("notifications")
    return render(request, "notifications/choices.html", {"form": form})
