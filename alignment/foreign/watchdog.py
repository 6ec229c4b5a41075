"""A tokenizer that does not come to an end with a text: noticed from beside it, and told.

Torch-free. Regular expressions and tables of a tokenizer are foreign; none can be tried on every text.
While it works on one, other threads go on, and nothing but the end of the process stops it.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alignment.seam.errors import DataError
from alignment.seam.words import _

SECONDS = 30.0  # that one call of a tokenizer may take
LOOK = 2.0  # seconds between two looks
WHERE = "tokenization_utils"  # the files of transformers that call tokenizers


@contextmanager
def texts_watched(give_up: Callable[[DataError], object]) -> Iterator[None]:
    """Call this from another thread where a tokenizer takes longer over a call of this one than it may."""
    over = threading.Event()
    arguments = (threading.get_ident(), over, give_up)
    threading.Thread(target=_watch, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(thread: int, over: threading.Event, give_up: Callable[[DataError], object]) -> None:
    # A frame that we hold is never another call's: who is at the same frame has not moved on.
    last, since = None, time.monotonic()
    while not over.wait(min(LOOK, SECONDS)):
        frame = sys._current_frames().get(thread)
        if frame is None or frame is not last or WHERE not in frame.f_code.co_filename:
            last, since = frame, time.monotonic()
        elif time.monotonic() - since > SECONDS:
            give_up(
                DataError(
                    _(
                        "The tokenizer (tokenizer.json) did not finish within {seconds:.0f} s with a text. "
                        "Its regular expressions do not suit it; take another model, or leave out very long "
                        "texts."
                    ).format(seconds=SECONDS)
                )
            )
            return
