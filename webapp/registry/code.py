"""Rewards from code: a file is loaded once, apart from everything, then stored by its hash."""

from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import transaction

from alignment.foreign.code_files import SOURCE, read_code, store_function
from alignment.foreign.rewards import Limits, RewardCode
from alignment.seam.errors import AlignmentError
from alignment.seam.folders import committed, file_sha256
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.models import Project
from webapp.site.errors import Refusal

LOADED = Limits(seconds=10, mebibytes=1024)  # what loading a file may take while somebody waits


def add_code(project: Project, *, name: str, function: str, source: bytes, by: User) -> Artifact:
    """Store a file of Python with a function that gives rewards; raises Refusal where it cannot be loaded."""
    with TemporaryDirectory() as aside:
        folder = Path(aside, "code")
        try:
            with committed(folder) as made:
                store_function(made, source, function)
            code, _apart = read_code(folder, own=False)
            RewardCode(code, LOADED).check()
        except AlignmentError as error:
            raise Refusal(str(error)) from error
        return _stored(project, folder, name=name, function=function, by=by)


@transaction.atomic
def _stored(project: Project, folder: Path, *, name: str, function: str, by: User) -> Artifact:
    digest = file_sha256(folder / SOURCE)
    summary = {"function": function, "sha256": digest}
    made = store(folder, project=project, type=Artifact.Type.CODE, name=name, summary=summary)
    facts = {"name": name, "function": function, "sha256": digest}
    record_act(Act.CODE_ADDED, by, project=project.pk, about=made.pk, **facts)
    return made
