"""The program that computes what somebody else wrote: chat templates and patterns, in a process of its own.

    python -P alignment/foreign/program.py MEBIBYTES

`isolation` starts it, writes a request and reads an answer: each 8 bytes of length, then JSON. It ends
when its input does, at its limit of memory, and by itself when an answer takes longer than allowed,
whoever is still there. Standard library and jinja2 only, so that it starts in no time.
"""

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, BinaryIO

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

LENGTH = 8  # bytes that say how long a message is
MOST = 16 << 20  # characters of all answers to one request
LONGEST = 300  # characters of a reason
NO_MEMORY = 5  # exit status
NICENESS = 5  # whoever answers people on this machine goes first
GRACE = 2  # seconds after which the program ends without being told to
REASONS = ("reasoning_content", "thinking", "reasoning")  # names of one thing, the standard first
Turn = dict[str, Any]


class TooLongError(Exception):
    """More was written than anybody reads."""


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, which marks what an assistant wrote, writes what is within."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """The statements between the two tags, in a scope of their own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class Words(Namespace):
    """A namespace whose names cannot reach what Python keeps behind an underscore."""

    def __init__(*arguments: Any, **named: Any) -> None:  # noqa: ANN401 - `self` may be a name in it
        self, *others = arguments
        given = dict(*others, **named)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no place for {name!r}")


class Dicts:
    """`dict` without what a class brings along."""

    def __call__(self, *arguments: Any, **named: Any) -> dict[Any, Any]:  # noqa: ANN401
        """A dictionary, as `dict` makes one."""
        return dict(*arguments, **named)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:  # noqa: ANN401
        """A dictionary, as `dict.fromkeys` makes one."""
        return dict.fromkeys(*arguments)


def raise_exception(message: object) -> None:
    """What a template calls where it does not take a conversation."""
    raise TemplateError(str(message))


def to_json(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - as templates call it
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """A value as JSON, without the escapes that HTML needs."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def now(pattern: str) -> str:
    """The time of day, for templates that say it."""
    return datetime.now().strftime(pattern)


@lru_cache(maxsize=64)
def compiled(source: str) -> Template:
    """A template in the environment that `apply_chat_template` gives it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": now,
        "dict": Dicts(),
        "namespace": Words,
    }
    return environment.from_string(source)


def _plain(turn: Turn) -> Turn:
    """A turn as templates expect it: no key without a value, what was thought by each of its names."""
    turn = {name: value for name, value in turn.items() if value is not None}
    for name in REASONS:
        if name in turn:
            return {"thinking": turn[name], **turn, REASONS[0]: turn[name]}
    return turn


def rendering(source: str, special: Turn, *, generation: bool) -> Callable[[Sequence[Turn]], str]:
    """What writes a conversation as the template does."""
    template = compiled(source)
    named = {"documents": None, **special, "add_generation_prompt": generation}

    def write(turns: Sequence[Turn]) -> str:
        said = [_plain(turn) for turn in turns]
        tools = said[0].pop("tools", None) if said else None
        return template.render(messages=said, tools=tools, **named)

    return write


def searching(pattern: str) -> Callable[[str], bool]:
    """What tells whether the pattern is found anywhere in a text."""
    expression = re.compile(pattern)
    return lambda text: expression.search(text) is not None


TASKS: Mapping[str, Callable[..., Callable[[Any], str | bool]]] = {
    "render": rendering,
    "search": searching,
}


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """What each of a request's texts comes to, or what was raised and at which of them."""
    task, texts = TASKS[request.pop("task")], request.pop("texts")
    results: list[str | bool] = []
    reading, left = False, MOST
    try:
        compute = task(**request)
        reading = True
        for text in texts:
            result = compute(text)
            left -= len(str(result))
            if left < 0:
                raise TooLongError(f"it writes more than {MOST:,} characters")
            results.append(result)
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, what was sent here raised it
        reason = f"{error}".partition("\n")[0][:LONGEST]
        place = len(results) if reading else None
        return {"error": type(error).__name__, "reason": reason, "place": place}
    return {"results": results}


def _limited(seconds: int) -> None:
    """End this program by itself when it has computed for so long, or has been here far longer."""
    used = int(time.process_time()) + 1
    with suppress(ValueError, OSError):  # not every system has it
        resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))
    signal.alarm(4 * seconds + GRACE)


def read(source: BinaryIO) -> dict[str, Any] | None:
    """The next request; None where there will be no more."""
    length = source.read(LENGTH)
    if len(length) < LENGTH:
        return None
    asked: dict[str, Any] = json.loads(source.read(int.from_bytes(length, "little")))
    return asked


def main(mebibytes: int) -> int:
    """Answer until nobody asks any more, or memory was asked for that there is not; the exit status."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends it to all; who asked us, ends us
    os.nice(NICENESS)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))
    try:
        while (request := read(sys.stdin.buffer)) is not None:
            _limited(request.pop("seconds"))
            said = json.dumps(answered(request)).encode()
            signal.alarm(0)
            sys.stdout.buffer.write(len(said).to_bytes(LENGTH, "little") + said)
            sys.stdout.buffer.flush()
    except MemoryError:
        return NO_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
