"""Fetching a model from the Hugging Face Hub, in a process of its own: the loaders stay offline.

`python -m alignment.kinds.bring.hub NAME REVISION FOLDER BYTES` prints JSON lines: first the commit and how much
comes, then nothing, or an error. Anonymous: no token of this machine's owner is ever sent. Only the
files at the top that a model consists of are asked for. Torch-free.
"""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from alignment.seam.errors import DataError
from alignment.seam.events import Event, PhaseProgressed, PhaseStarted
from alignment.seam.modelfiles import KEPT, NAME, printable, weights_of
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _

POLL = 1.0  # seconds between looks at what has come
REFUSED = 3  # exit status
UNREACHABLE = _(
    "The Hugging Face Hub cannot be reached from the worker. Check its network, or add "
    "the model from a folder or as an upload."
)


def fetch(name: str, revision: str, target: Path, limit: int) -> Generator[Event, str | None, str]:
    """Fill a new folder with a model of at most `limit` bytes; the commit it was at.

    Raises DataError where there is no such model, or no way to the Hub.
    """
    if not read(EngineVariables).hub:
        raise DataError(_("Models of the Hub are switched off here; add a folder or an upload."))
    target.mkdir()
    said = target.with_name("hub.jsonl")
    command = [
        sys.executable,
        "-m",
        "alignment.kinds.bring.hub",
        name,
        revision,
        str(target),
        str(limit),
    ]
    with said.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments checked by the config
            command, stdout=out, env=os.environ | {"HF_HUB_OFFLINE": "0"}
        )
    try:
        yield from _awaited(process, said, target)
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
    if process.returncode == REFUSED:
        raise DataError(lines[-1]["error"])
    if process.returncode:
        raise RuntimeError(
            f"alignment.kinds.bring.hub ended with {process.returncode}; see the log"
        )
    return str(lines[0]["commit"])


def _awaited(process: "subprocess.Popen[bytes]", said: Path, target: Path) -> Iterator[Event]:
    """What a fetching process does until its end, asked again and again."""
    began = total = 0.0
    while process.poll() is None:
        if began:
            yield _progress(_arrived(target), total, began)
        elif total := _total(said):
            began = time.monotonic()
            yield PhaseStarted(name=_("fetching"))
        else:
            yield PhaseStarted(name=_("asking the Hub"))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
    if began and not process.returncode:
        yield _progress(total, total, began)


def main() -> int:
    """Fetch what the command line says; the exit status."""
    name, revision, folder, limit = sys.argv[1:]
    try:
        _download(name, revision, Path(folder), int(limit))
    except DataError as error:
        _say(error=str(error))
        return REFUSED
    return 0


def _download(name: str, revision: str, folder: Path, limit: int) -> None:
    from httpx2 import TransportError  # noqa: PLC0415 - only this process speaks to the Hub
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415
    from huggingface_hub import errors as hub  # noqa: PLC0415

    try:
        info = HfApi(token=False).model_info(name, revision=revision, files_metadata=True)
        sizes = {row.rfilename: row.size or 0 for row in info.siblings or []}
        files = chosen(sizes)
        total = sum(sizes[file] for file in files)
        if total > limit:
            raise DataError(
                _(
                    "{name} has {total:.1f} GB of files; at most {limit:.1f} GB are allowed here."
                ).format(name=name, total=total / 1e9, limit=limit / 1e9)
            )
        _say(commit=info.sha, bytes=total)
        snapshot_download(
            name, revision=info.sha, local_dir=folder, allow_patterns=files, token=False
        )
    except hub.GatedRepoError as error:
        raise DataError(
            _(
                "{name} asks for an agreement or a token. Download it yourself and add it as a "
                "folder."
            ).format(name=name)
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise DataError(
            _("The Hub has no public model called {name}.").format(name=name)
        ) from error
    except hub.RevisionNotFoundError as error:
        raise DataError(
            _("{name} has no revision {revision}.").format(name=name, revision=revision)
        ) from error
    except (hub.OfflineModeIsEnabled, TransportError, hub.LocalEntryNotFoundError) as error:
        raise DataError(UNREACHABLE) from error
    except hub.HfHubHTTPError as error:
        raise DataError(
            _("The Hub refused: {error}").format(error=printable(str(error)))
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes


def chosen(names: Iterable[str]) -> list[str]:
    """The files worth fetching; raises DataError where there are no safe weights among them."""
    top = [name for name in names if NAME.fullmatch(name) and name.endswith(KEPT)]
    weights = weights_of(top)
    if not weights:
        raise DataError(
            _("This model has no safetensors on the Hub; pickled weights are not loaded.")
        )
    return sorted(weights + [name for name in top if not name.endswith(".safetensors")])


def _total(said: Path) -> int:
    """How many bytes will come; 0 until the Hub has said it."""
    lines = said.read_text(encoding="utf-8").splitlines()
    return int(json.loads(lines[0]).get("bytes", 0)) if lines else 0


def _progress(arrived: float, total: float, began: float) -> PhaseProgressed:
    """How much has come since then, of how much."""
    whole, seconds = math.ceil(total / 1e6), time.monotonic() - began
    done = whole * min(arrived / total, 1.0)
    return PhaseProgressed(done=done, total=whole, unit="MB", seconds=seconds)


def _arrived(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # renamed while we looked
            total += path.stat().st_size
    return total


def _say(**row: object) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
