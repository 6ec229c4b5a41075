"""Rewards from code as folders: a function with its file, or where a user's own file or command is.

Torch-free. What is registered is one file of Python, which stands in the folder and is always kept apart. What a
person names on their own command line stays where it is, and is run as they would run it.
"""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from alignment.foreign.rewards import Code
from alignment.seam.errors import DataError
from alignment.seam.folders import file_sha256
from alignment.seam.words import _

FILE, SOURCE = "code.json", "reward.py"
LARGEST = 1 << 20  # bytes of a file
FUNCTION = re.compile(r"[^\W\d]\w{0,99}")


class StoredCode(BaseModel):
    """What `code.json` says: a function of the file beside it, or of a person's own, or their command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str = ""
    sha256: str = ""  # of the function's file
    own: str = ""  # a file that is elsewhere
    command: tuple[str, ...] = ()


def store_function(folder: Path, source: bytes, function: str) -> None:
    """Fill a folder with a file of Python and the name of the function in it that gives rewards; raises DataError."""
    check_source(source, function)
    (folder / SOURCE).write_bytes(source)
    store_code(folder, StoredCode(function=function, sha256=file_sha256(folder / SOURCE)))


def check_source(source: bytes, function: str) -> None:
    """Raise DataError where a file cannot be one of Python with a function of this name, without running it."""
    if not FUNCTION.fullmatch(function):
        raise DataError(_("“{name}” is no name of a function.").format(name=function[:100]))
    if len(source) > LARGEST:
        raise DataError(_("The file is larger than {kib:,} KiB.").format(kib=LARGEST >> 10))
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise DataError(_("The file is not UTF-8 text.")) from error
    if function not in text or "\0" in text:
        raise DataError(_("The file has no function “{name}”.").format(name=function))


def read_code(folder: Path, *, own: bool) -> tuple[Code, bool]:
    """The code of a folder, and whether it is to be kept apart; raises DataError.

    `own` says that whoever runs it named the folder on their own command line: else what is not in it is refused.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        stored = StoredCode.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise DataError(
            _("{name} holds no reward from code ({file}).").format(name=folder.name, file=FILE)
        ) from error
    if (stored.own or stored.command) and not own:
        raise DataError(_("A reward from code that was not registered cannot be used here."))
    if stored.command:
        return Code(command=stored.command), False
    file = Path(stored.own) if stored.own else folder / SOURCE
    if not file.is_file() or file_sha256(file) != stored.sha256:
        raise DataError(
            _("{file} is not what it was when it was chosen; begin a new run.").format(
                file=file.name
            )
        )
    return Code(file, stored.function), not stored.own


def store_code(folder: Path, stored: StoredCode) -> None:
    """Write `code.json`."""
    (folder / FILE).write_text(stored.model_dump_json(indent=1), encoding="utf-8")
