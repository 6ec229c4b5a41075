"""`control.json`, by which whoever watches a run asks it to stop; torch-free."""

import json
from pathlib import Path

from alignment.seam.errors import ConfigError
from alignment.seam.words import _

FILE = "control.json"
WISHES = ("save", "now")  # with a checkpoint where the kind keeps them, or as it is


def ask_to_stop(folder: Path, wish: str) -> None:
    """Ask the run in a folder to stop, by one of WISHES; written aside, so that the run never reads half of it."""
    aside = folder / f".{FILE}"
    aside.write_text(json.dumps({"stop": wish}), encoding="utf-8")
    aside.replace(folder / FILE)


def wish_of(folder: Path) -> str:
    """Which of WISHES the run in a folder is to follow, "" for none; raises ConfigError where it is nonsense."""
    try:
        wish = json.loads((folder / FILE).read_text(encoding="utf-8"))["stop"]
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            _('control.json must read {"stop": "now"} or {"stop": "save"}.')
        ) from error
    if wish not in WISHES:
        raise ConfigError(
            _('control.json asks to stop "{wish}"; it must be "now" or "save".').format(wish=wish)
        )
    return str(wish)
