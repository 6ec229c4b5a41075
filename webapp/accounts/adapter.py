"""How allauth treats people here."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.names import LONGEST, check_name, name_form_of

PROVIDER = "oidc"  # the one server by which people may sign in
SIGNS = "@.+-_"  # that a name may have beside letters and digits
NAMELESS = "person"


class ClosedSignupAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Nobody signs up by themselves: the first admin uses a one-time link, others are added."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Whether somebody may be led there; what is no address is not."""
        try:
            return bool(super().is_safe_url(url))
        except ValueError:
            return False

    def _get_login_attempts_cache_key(
        self,
        request: HttpRequest,
        **credentials: Any,  # noqa: ANN401 - as allauth names them
    ) -> str:
        """Whose failures are counted together: of one name from one address.

        Of the name alone, whoever guesses at somebody's password would lock that person out.
        """
        if "username" in credentials:
            credentials["username"] = name_form_of(credentials["username"])
        person = super()._get_login_attempts_cache_key(request, **credentials)
        return f"{person}:{self.get_client_ip(request)}"


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """People whom the server of their organisation knows: nobody is taken for another by an e-mail address."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:  # noqa: ANN401 - allauth's
        """Turn away whom no account is connected with, unless such people may have one."""
        sociallogin.email_addresses = []
        connecting = sociallogin.state.get("process") == "connect"
        if not (sociallogin.is_existing or connecting or settings.OIDC_SIGNUP):
            said = _(
                "No account here is connected with you over there. Sign in by your password, and connect it "
                "under Your account; or ask an admin for an account."
            )
            raise _turned_away(request, said)

    def list_apps(self, request: HttpRequest, *asked: Any, **named: Any) -> list[Any]:  # noqa: ANN401 - allauth's
        """The servers that settings name; none of them is a row, so where there is none nobody asks the database."""
        named_apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
        return super().list_apps(request, *asked, **named) if named_apps else []

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ANN401 - allauth's
        """Whether who is new here gets an account, which is in no project yet."""
        return bool(settings.OIDC_SIGNUP)

    def populate_user(
        self,
        request: HttpRequest,
        sociallogin: Any,  # noqa: ANN401 - allauth's
        data: Mapping[str, Any],
    ) -> User:
        """Only a name is taken over, as near to theirs as one is free."""
        user: User = sociallogin.user
        user.username = free_name(str(data.get("username") or data.get("name") or ""))
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: object) -> str:
        """Back to where somebody began."""
        return reverse("accounts:own_account")

    def on_authentication_error(
        self, request: HttpRequest, *_rest: object, **_more: object
    ) -> None:
        """Say so where somebody can try again."""
        raise _turned_away(request, _("You were not signed in over there. Try again."))


def free_name(wanted: str) -> str:
    """A name like the wanted one that can be taken for nobody else's."""
    bare = "".join(sign for sign in wanted if sign.isalnum() or sign in SIGNS)[: LONGEST // 2]
    try:
        check_name(bare)
    except AccountError:
        bare = NAMELESS
    numbered = (f"{bare}{number or ''}" for number in count())
    return next(name for name in numbered if not User.objects.matching(name).exists())


def _turned_away(request: HttpRequest, why: str) -> ImmediateHttpResponse:
    messages.error(request, why)
    return ImmediateHttpResponse(redirect("account_login"))
