"""An adapter that a run kept beside its whole model, as one file to take away."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from zipfile import ZipFile

from webapp.artifacts.models import Artifact

FOLDER = "adapter"  # of a stored model: what `alignment.models.lora` writes there


def adapter_in(model: Artifact) -> Path | None:
    """The folder of a model's adapter; None where none was kept."""
    folder = model.path / FOLDER
    return folder if (folder / "adapter_config.json").is_file() else None


def packed_adapter(folder: Path) -> IO[bytes]:
    """A .zip of an adapter's files, which are no smaller when compressed, to be read from its beginning."""
    found = TemporaryFile()  # noqa: SIM115 - whoever answers with it closes it
    with ZipFile(found, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{FOLDER}/{path.name}")
    found.seek(0)
    return found
