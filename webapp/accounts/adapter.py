"""How allauth treats people here."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedSignupAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: the first admin uses a one-time link, others are added."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False
