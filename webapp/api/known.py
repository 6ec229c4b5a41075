"""Parts of a query that an operation does not know: nothing that was asked for is left out in silence."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from webapp.api.errors import refuse


def only_known(run: Any) -> Callable[..., HttpResponseBase]:  # noqa: ANN401 - an operation's own method
    """The operation, which refuses what it would not read."""
    operation = run.__self__
    queries = [one for one in operation.models if one.__ninja_param_source__ == "query"]
    names = sorted(name for one in queries for name in one.__ninja_flatten_map__)

    @functools.wraps(run)
    def ask(request: HttpRequest, **parts: object) -> HttpResponseBase:
        if not (unknown := sorted(set(request.GET) - set(names))):
            answer: HttpResponseBase = run(request, **parts)
            return answer
        words = _("Nothing reads this here; what is read: {names}.")
        said = words.format(names=", ".join(names) or _("nothing"))
        return refuse(422, "invalid", said, dict.fromkeys(unknown, said))

    return ask
