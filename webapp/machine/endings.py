"""What is told to end: a signal ends a block as Ctrl-C does, so that whatever it holds is cleaned up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_asked_to_end = threading.Event()


def is_asked_to_end() -> bool:
    """Whether a signal has come, even where what it raised was lost."""
    return _asked_to_end.is_set()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does; under nohup the terminal may close.

    Ctrl-C is heard even where a script's `&` has it ignored: it is how whoever started us ends us.
    """
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    _asked_to_end.clear()
    before = {number: signal.signal(number, _end) for number in heard}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _end(_number: int, _frame: object) -> NoReturn:
    # Raised within a database's callback or a destructor it would be lost: then `is_asked_to_end` says it again.
    _asked_to_end.set()
    raise KeyboardInterrupt
