"""Requests of people who have signed in."""

from webapp.accounts.models import User
from webapp.site.htmx import HtmxRequest


class PersonRequest(HtmxRequest):
    """A request that `login_required` let through: there is a person behind it."""

    user: User
