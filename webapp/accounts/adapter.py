"""How allauth treats people here."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from webapp.accounts.names import name_form_of


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
