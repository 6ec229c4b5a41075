"""What is logged of a request: a line as other web servers write it, without the tokens of links."""

import logging
import time
from typing import Any

from webapp.site.logs import without_tokens

logger = logging.getLogger(__name__)


def tell(task: Any) -> None:  # noqa: ANN401 - waitress has no types
    """Log a request that was answered."""
    logger.info("%s", entry(task))


def entry(task: Any) -> str:  # noqa: ANN401
    """Address, time, request, status, bytes, referrer and browser."""
    request = task.request
    asked = " ".join(
        (
            getattr(request, "command", "-"),
            getattr(request, "request_uri", "-"),
            f"HTTP/{request.version}",
        )
    )
    when = time.strftime("%d/%b/%Y:%H:%M:%S %z")
    parts = (asked, request.headers.get("REFERER", "-"), request.headers.get("USER_AGENT", "-"))
    said, referrer, browser = (_in_quotes(without_tokens(part)) for part in parts)
    status, size = task.status.split()[0], task.sent or task.content_length or "-"
    return f"{task.channel.addr[0]} - - [{when}] {said} {status} {size} {referrer} {browser}"


def _in_quotes(text: str) -> str:
    """Printable, and never two lines: what a stranger sends forges no entry."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    return '"' + shown.replace('"', r"\"") + '"'
