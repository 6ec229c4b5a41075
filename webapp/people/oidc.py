"""Signing in by the server of an organisation (OpenID Connect), where one is named; allauth speaks to it."""

import logging
from collections.abc import Callable

from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.openid_connect import views
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from requests import RequestException

from webapp.accounts.requests import PersonRequest
from webapp.audit.acts import Act
from webapp.audit.records import record_act

logger = logging.getLogger(__name__)


@require_safe
@never_cache
def go_to_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Lead somebody to the server that knows them."""
    return _asked(request, views.login, provider_id)


@require_safe
@never_cache
def come_from_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Sign in whom that server has sent, or connect them with the account that they are signed in with."""
    return _asked(request, views.callback, provider_id)


@require_safe
def not_signed_in(_request: HttpRequest) -> HttpResponse:
    """Somebody said no over there."""
    return redirect("account_login")


@login_required
@require_POST
def disconnect(request: PersonRequest) -> HttpResponse:
    """Let somebody sign in here by their password alone, if they have one."""
    if request.user.has_usable_password():
        with transaction.atomic():
            SocialAccount.objects.filter(user=request.user).delete()
            record_act(Act.PROVIDER_REMOVED, request.user, about=request.user.pk)
        messages.success(request, _("You sign in by your password alone now."))
    else:
        messages.error(request, _("You have no password here, so nothing else would let you in."))
    return redirect("accounts:own_account")


def _asked(
    request: HttpRequest, view: Callable[..., HttpResponse], provider_id: str
) -> HttpResponse:
    try:
        return view(request, provider_id=provider_id)
    except Http404:
        raise
    except (
        RequestException,
        KeyError,
        ValueError,
    ) as error:  # what a server is away or answers wrongly
        logger.warning("The sign-in server cannot be asked: %s", error)
        messages.error(
            request, _("The server that knows you cannot be reached just now. Try again later.")
        )
        return redirect("account_login")
