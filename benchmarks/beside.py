"""What else goes on in an installation: an import, an export, a backup, one after the other."""

import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from tests.stack import Stack
from webapp.projects.models import Project

ROWS = 20_000  # of the import


def imported(stack: Stack, project: Project) -> None:
    """Prompts with two answers each, as tasks."""
    rows = stack.var / "beside.jsonl"
    with rows.open("w") as lines:
        for number in range(ROWS // 2):
            for answer in ("one", "other"):
                lines.write(
                    json.dumps({"prompt": f"Beside {number}?", "completion": f"{answer} {number}"})
                    + "\n"
                )
    stack.manage("import_feedback", project.name, str(rows), "--as", "tasks")


def backed_up(stack: Stack, _project: Project) -> None:
    """All of it, in one file."""
    stack.manage("backup", str(stack.var.parent / f"{stack.var.name}-beside.tar"))


BESIDE: dict[str, Callable[[Stack, Project], None]] = {"import": imported, "backup": backed_up}


@contextmanager
def beside(stack: Stack, project: Project, names: Collection[str]) -> Iterator[None]:
    """These at work while something else happens."""

    def work() -> None:
        for name in names:
            BESIDE[name](stack, project)

    worker = threading.Thread(target=work)
    worker.start()
    yield
    worker.join()
