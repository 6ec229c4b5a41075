"""Rewards from code that somebody names on their own command line: it stays where it is, and is run as they would run it."""

import shlex
from pathlib import Path

from alignment.foreign.code_files import StoredCode, check_source, store_code
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.folders import file_sha256


def store_own_function(folder: Path, named: str) -> None:
    """Fill a folder with where FILE.py:NAME is, and what it holds now; raises DataError, ConfigError."""
    path, _colon, function = named.rpartition(":")
    if not path:
        raise ConfigError(f"“{named}” names no function; write FILE.py:NAME.")
    file = Path(path).resolve()
    if not file.is_file():
        raise DataError(f"{path} is not a file.")
    check_source(file.read_bytes(), function)
    stored = StoredCode(function=function, sha256=file_sha256(file), own=str(file))
    store_code(folder, stored)


def store_own_command(folder: Path, command: str) -> None:
    """Fill a folder with the words of a command; raises ConfigError."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"“{command}” is no command: {error}.") from error
    if not words:
        raise ConfigError("The command that gives rewards is empty.")
    store_code(folder, StoredCode(command=words))
