"""What the web program logs of requests."""

from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

from webapp.site.logs import without_tokens


class AccessLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own, whose addresses and referrers have no tokens."""

    def atoms(
        self, resp: object, req: object, environ: dict[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """The parts of a line by their letters."""
        found = super().atoms(resp, req, environ, request_time)
        return {
            name: without_tokens(value) if isinstance(value, str) else value
            for name, value in found.items()
        }
