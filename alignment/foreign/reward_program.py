"""The program that asks a function of somebody's for rewards, in a process of its own.

    python -I alignment/foreign/reward_program.py FILE NAME MEBIBYTES

`rewards` starts it. Its standard input is a socket: it says that it is ready or why not, then a line of JSON comes
with rows and one goes back with their values. With 0 MEBIBYTES it is the user's own and runs as they would run it,
else it is confined before the file is looked at. Whatever the function prints goes elsewhere. Standard library only.
"""

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

LONGEST = 300  # characters of a reason
SHOWN = 60  # characters of a value that is no number
LOADED = "reward"  # name of the module
Row = Mapping[str, Any]


class NotAskableError(Exception):
    """The function cannot be asked about these rows; the message says why by itself."""


def load_function(source: str, file: str, name: str) -> Callable[..., Any]:
    """The function of this name in a file of Python; raises what the file raises."""
    module = ModuleType(LOADED)
    module.__file__ = file
    sys.modules[LOADED] = module
    exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - what the process is for
    found = getattr(module, name, None)
    if not callable(found):
        raise NotAskableError(f"there is no function “{name}” in {Path(file).name}")
    function: Callable[..., Any] = found
    return function


def ask_function(function: Callable[..., Any], rows: Sequence[Row]) -> list[Any]:
    """What the function says of each row: a number or numbers by name, as it gives them."""
    found = function(**_arguments(function, rows))
    if isinstance(found, Mapping):
        columns = zip(*map(_listed, found.values()), strict=True)
        return [dict(zip(found, row, strict=True)) for row in columns]
    return _listed(found)


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - whatever somebody returns
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _arguments(function: Callable[..., Any], rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The lists that the function takes by name: prompts, messages, completions and the rows' columns."""
    names = dict.fromkeys(name for row in rows for name in row["columns"])
    given = {name: [row["columns"].get(name) for row in rows] for name in names}
    given |= {
        "prompts": [row["prompt"] for row in rows],
        "messages": [row["messages"] for row in rows],
        "completions": [row["completion"] for row in rows],
    }
    takes = inspect.signature(function).parameters
    if any(one.kind == one.VAR_KEYWORD for one in takes.values()):
        return given
    for name, one in takes.items():
        if name not in given and one.default is one.empty and one.kind != one.VAR_POSITIONAL:
            raise NotAskableError(f"it asks for “{name}”, and no prompt has a column of this name")
    return {name: column for name, column in given.items() if name in takes}


class Talk:
    """The two ends of the channel: a line of JSON at a time."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._heard: BinaryIO = os.fdopen(os.dup(handle), "rb")

    def say(self, **what: Any) -> None:  # noqa: ANN401 - JSON
        """Send a line."""
        said = json.dumps(what, default=_plain).encode() + b"\n"
        while said:
            said = said[os.write(self.handle, said) :]

    def told(self, error: BaseException) -> None:
        """Send what was raised, as the end of a sentence."""
        if isinstance(error, MemoryError):
            self.say(memory=True)
            return
        reason = str(error).partition("\n")[0][:LONGEST]
        known = isinstance(error, NotAskableError)
        name = type(error).__name__
        self.say(error=reason if known else f"it raised {name}: {reason}".removesuffix(": "))

    def answer(self, source: str, file: str, name: str) -> int:
        """Load the function, then answer until nobody asks; the exit status."""
        try:
            function = load_function(source, file, name)
        except BaseException as error:
            self.told(error)
            return 1
        self.say(ready=True)
        for line in self._heard:
            try:
                self.say(values=ask_function(function, json.loads(line)))
            except BaseException as error:
                self.told(error)
        return 0


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A number of another library as Python's; of anything else its beginning, which is no number."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)[:SHOWN]


def _hush(*, own: bool) -> None:
    """Keep the channel from whatever the function prints: it goes to our errors, or nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2 if own else nowhere, 1)
    if not own:
        os.dup2(nowhere, 2)


def main(file: str, name: str, mebibytes: int) -> int:
    """Answer about rows until nobody asks; the exit status."""
    path = Path(file)
    source = path.read_text(encoding="utf-8")
    talk = Talk(os.dup(0))
    _hush(own=not mebibytes)
    if not mebibytes:
        sys.path.insert(0, str(path.parent))
        return talk.answer(source, file, name)
    sys.path.append(str(Path(__file__).parents[2]))
    from alignment.foreign.confinement import PLACE, Cell, run_confined  # noqa: PLC0415 - found by its path

    def refuse(error: OSError) -> int:
        talk.say(unconfined=error.strerror or str(error))
        return 1

    cell = Cell({path.name: source}, mebibytes, talk.handle)
    status = run_confined(cell, lambda: talk.answer(source, f"{PLACE}/{path.name}", name), refuse)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
