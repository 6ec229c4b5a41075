"""Small disks that can be filled; only root can mount them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def mounted(place: Path, limits: str) -> Iterator[Path]:
    """A file system of its own at a new folder, gone at the end."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", limits, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(folder: Path, lack: str = "blocks") -> None:
    """Leave no blocks, or no inodes, on the disk of this folder."""
    with suppress(OSError):
        for number in range(10_000):
            with (folder / f"filler-{number}").open("wb", buffering=0) as file:
                while lack == "blocks":
                    file.write(b"x" * (64 << 10))


def empty(folder: Path) -> None:
    """Make room again."""
    for path in folder.glob("filler-*"):
        path.unlink()
