"""Run folders: `STORE/runs/<run>/e<epoch>`, complete in themselves."""

import logging
import shutil
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from alignment.kinds.spec import RunSpec
from alignment.seam.errors import CheckpointError
from alignment.seam.folders import verify
from webapp.runs.errors import RunError
from webapp.runs.kinds import half_of
from webapp.runs.models import Checkpoint, Run, RunEvent

INPUTS = "inputs"

logger = logging.getLogger(__name__)


def folder_of(run: Run, epoch: int | None = None) -> Path:
    """The folder of an epoch of the run, of the present one unless told."""
    return Path(settings.STORE) / "runs" / str(run.pk) / f"e{epoch or run.epoch}"


def prepare(run: Run) -> Path:
    """Fill the folder of a claimed epoch: inputs, then `config.json`; the folder.

    A later epoch gets the inputs of the one before, so that a resume sees the same prompts, and
    starts from the newest checkpoint that verifies.
    """
    folder = folder_of(run)
    shutil.rmtree(folder, ignore_errors=True)  # of a database that was restored to an earlier day
    folder.mkdir(parents=True)
    before = _epoch_before(run)
    if before is None:
        spec = _first_spec(run, folder)
    else:
        _copy(before / INPUTS, folder / INPUTS)
        spec = RunSpec.load(before).model_copy(update={"epoch": run.epoch})
    checkpoint = newest_checkpoint(run)
    Run.objects.filter(pk=run.pk, epoch=run.epoch).update(resume_from=checkpoint)
    path = str(Path(settings.STORE) / checkpoint.path) if checkpoint else None
    _write_config(folder, spec.model_copy(update={"resume_from": path}))
    return folder


def newest_checkpoint(run: Run) -> Checkpoint | None:
    """The last checkpoint that is whole; a damaged one is passed over, and the run's history says so."""
    kept = Checkpoint.objects.filter(run=run, deleted=False).order_by("-step", "-epoch")
    for checkpoint in kept:
        folder = Path(settings.STORE) / checkpoint.path
        try:
            verify(folder)
        except (CheckpointError, OSError) as error:
            _pass_over(run, checkpoint, str(error))
        else:
            return checkpoint
    return _begun_with(run)


def _begun_with(run: Run) -> Checkpoint | None:
    """The checkpoint of another run that this one extends; raises RunError where that is gone or damaged."""
    one = run.resume_from
    if one is None or one.run_id == run.pk:
        return None
    try:
        verify(Path(settings.STORE) / one.path)
    except (CheckpointError, OSError) as error:
        raise RunError(
            _("The checkpoint that this run was to go on from is gone or damaged; start it anew.")
        ) from error
    return one


def forget_deleted(run: Run) -> None:
    """Mark checkpoints whose folder the trainer has removed to make room."""
    for checkpoint in Checkpoint.objects.filter(run=run, epoch=run.epoch, deleted=False):
        if not (Path(settings.STORE) / checkpoint.path).is_dir():
            Checkpoint.objects.filter(pk=checkpoint.pk).update(deleted=True)


def _epoch_before(run: Run) -> Path | None:
    """The newest earlier epoch that got its `config.json`, which is written last."""
    for epoch in range(run.epoch - 1, 0, -1):
        folder = folder_of(run, epoch)
        if (folder / "config.json").exists():
            return folder
    return None


def _first_spec(run: Run, folder: Path) -> RunSpec:
    (folder / INPUTS).mkdir()
    return RunSpec(
        kind=run.kind,
        run=run.pk,
        epoch=run.epoch,
        seed=run.seed,
        threads=settings.RUN_THREADS,
        config=run.config,
        dry=run.dry,
        inputs=half_of(run.kind).prepare(run, folder / INPUTS),
        cache=str(Path(settings.VAR) / "cache"),
    )


def _write_config(folder: Path, spec: RunSpec) -> None:
    aside = folder / ".config.json"
    aside.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    aside.replace(folder / "config.json")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)


def _pass_over(run: Run, checkpoint: Checkpoint, why: str) -> None:
    message = f"The checkpoint of step {checkpoint.step} is damaged and was passed over: {why}"
    logger.warning("run %s: %s", run.pk, message)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(deleted=True)
    RunEvent.objects.create(
        run=run,
        actor=str(run.worker or ""),
        epoch=run.epoch,
        step=checkpoint.step,
        from_state=run.state,
        to_state=run.state,
        reason="checkpoint",
        message=message,
    )
