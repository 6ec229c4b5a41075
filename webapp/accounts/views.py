"""The page behind the one-time link that makes the first admin, and that of a lost password."""

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from webapp.accounts import services
from webapp.accounts.errors import AccountError
from webapp.accounts.forms import FirstAdminForm
from webapp.accounts.models import OneTimeLink

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first admin and sign them in; a used or expired link says what to do."""
    if not OneTimeLink.objects.usable(token).exists():
        return render(request, "accounts/setup.html", {"spent": True}, status=410)
    form = FirstAdminForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/setup.html", {"form": form})
    name, password = form.cleaned_data["username"], form.cleaned_data["password1"]
    try:
        user = services.create_first_admin(token, username=name, password=password)
    except AccountError:
        return render(request, "accounts/setup.html", {"spent": True}, status=410)
    login(request, user, backend=MODEL_BACKEND)
    return redirect("home")


@require_GET
def forgotten(request: HttpRequest) -> HttpResponse:
    """What to do about a lost password; nothing is mailed."""
    return render(request, "accounts/forgotten.html")
