"""A request while it arrives: what is kept of it, and until when the rest must be here."""

import logging
import time
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser

UNASKED = 4 << 20  # bytes of a body that anybody may send; for more it is asked who sends them
START = 20.0  # seconds for a head, and before a body must come
PACE = 4 << 10  # bytes a second that a body must come by

logger = logging.getLogger(__name__)


class Body(OverflowableBuffer):  # type: ignore[misc]  # waitress has no types
    """Bytes in memory, or many in a passing file: no more than the limit, and none a full disk refuses."""

    def __init__(self, overflow: int) -> None:
        super().__init__(overflow)
        self.limit = UNASKED
        self.unknown = False  # who sends it: nobody could say
        self.cut = False
        self.lost = False

    def append(self, sent: bytes) -> None:
        """Keep what may be kept; the rest is dropped as it comes."""
        kept = sent[: max(0, self.limit - len(self))]
        self.cut |= len(kept) < len(sent)
        if not kept or self.lost:
            return
        try:
            self.keep(kept)
        except OSError as error:
            logger.warning("What somebody sends cannot be kept: %s", error)
            self.lost = True

    def keep(self, sent: bytes) -> None:
        """Keep it; raises OSError where there is no room."""
        super().append(sent)


class Arrival(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """One request, from its first byte to its last."""

    def __init__(self, adj: Any) -> None:  # noqa: ANN401
        super().__init__(adj)
        self.wait_anew()
        self.body: Body | None = None

    def wait_anew(self) -> None:
        """Give whoever sends it their time from now on."""
        self.due = time.monotonic() + START

    def parse_header(self, header_plus: bytes) -> None:
        """Take the head, and make room for the body."""
        super().parse_header(header_plus)
        self.wait_anew()
        if self.body_rcv is not None:
            self.body = self.body_rcv.buf = Body(self.adj.inbuf_overflow)

    @property
    def is_large(self) -> bool:
        """Whether more comes, or may come, than anybody may send."""
        return self.body is not None and (self.chunked or self.content_length > UNASKED)

    def is_late(self, now: float) -> bool:
        """Whether it comes too slowly to be waited for."""
        return bool(now > self.due + self.body_bytes_received / PACE)
