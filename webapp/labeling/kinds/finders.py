"""The scripts of kinds of task, served from their folders; nothing else in these is public."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

from webapp.labeling.kinds import TASK_KINDS


class FolderOfKind(FileSystemStorage):
    """Where a kind's script lies, and where it is served below the static files."""

    def __init__(self, name: str, **options: Any) -> None:  # noqa: ANN401 - as it is stored
        super().__init__(**options)
        self.prefix = f"kinds/{name}"


class CardScripts(BaseFinder):
    """Each kind's `card.js`, as kinds/NAME/card.js."""

    def find(self, path: str, find_all: bool = False, **_: object) -> Any:  # noqa: ANN401, FBT001, FBT002 - Django's
        """Where the file of this address lies."""
        found = [
            str(kind.script)
            for kind in TASK_KINDS.values()
            if kind.script and path == f"kinds/{kind.name}/{kind.script.name}"
        ]
        return found if find_all else next(iter(found), [])

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[Any]:
        """All of them, each with where it lies."""
        for kind in TASK_KINDS.values():
            if kind.script:
                yield kind.script.name, FolderOfKind(kind.name, location=kind.script.parent)
