"""Archives of models: counted, measured, without links, into one flat folder."""

import io
import json
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from alignment.seam import progress
from alignment.seam.archives import unpack
from alignment.seam.errors import DataError

GIB = 2**30


def packed(folder, archive, top="tiny/"):
    """The folder as a zip or a tar."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            for path in folder.iterdir():
                bundle.write(path, top + path.name)
    else:
        with tarfile.open(archive, "w:gz") as bundle:
            bundle.add(folder, top)
    return archive


def zip_with(path, name, content=b"{}", mode=0o644):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFREG | mode if mode < 0o10000 else mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        bundle.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["model.zip", "model.tar.gz"])
def test_what_is_unpacked_is_counted_by_what_was_read(tmp_path, monkeypatch, name):
    for folder in ("tiny", "out"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        said = random.Random(number).randbytes(20_000 * number).hex()  # more than is read ahead
        (tmp_path / "tiny" / f"{number}.json").write_text(json.dumps(said))
    monkeypatch.setattr(progress, "EVERY", 0.0)
    archive, said = packed(tmp_path / "tiny", tmp_path / name), []
    with progress.listening(said.append), progress.counting(100, "%"), progress.taking(1):
        unpack(archive, tmp_path / "out", GIB)
    done = [event.done for event in said]
    assert done == sorted(done)
    assert 0 < done[0] < 100
    assert done[-1] == 100


BAD_NAMES = ["../evil.json", "/evil.json", "tiny/../../evil.json", "a/b/evil.json", "..\\evil.json"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    target = tmp_path / "in" / "side"
    target.mkdir(parents=True)
    with pytest.raises(DataError, match=r"evil\.json"):
        unpack(zip_with(tmp_path / "a.zip", name), target, GIB)
    assert not list(tmp_path.rglob("evil.json"))


def test_a_link_in_a_zip_is_refused(tmp_path):
    archive = zip_with(tmp_path / "a.zip", "merges.txt", b"/etc/passwd", stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match=r"merges\.txt.*link"):
        unpack(archive, tmp_path, GIB)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path, kind):
    info = tarfile.TarInfo("merges.txt")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        bundle.addfile(info)
    with pytest.raises(DataError, match=r"merges\.txt"):
        unpack(tmp_path / "a.tar", tmp_path, GIB)
    assert not (tmp_path / "merges.txt").exists()


def test_a_bomb_is_stopped_long_before_its_end(tmp_path):
    archive = zip_with(tmp_path / "a.zip", "bomb.json", bytes(64 << 20))
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"bomb\.json unpacks to more"):
        unpack(archive, tmp_path / "in", GIB)
    assert (tmp_path / "in" / "bomb.json").stat().st_size <= 16 << 20


def test_a_zip_that_lies_about_its_sizes_is_stopped_or_damaged(tmp_path):
    archive = zip_with(tmp_path / "a.zip", "lie.json", bytes(4 << 20))
    content = archive.read_bytes().replace(struct.pack("<I", 4 << 20), struct.pack("<I", 10))
    archive.write_bytes(content)
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "in", 1 << 20)


def test_code_in_an_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"modeling_own\.py is code"):
        unpack(zip_with(tmp_path / "a.zip", "tiny/modeling_own.py"), tmp_path, GIB)


def test_what_a_desktop_adds_is_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        for name in (
            "__MACOSX/._config.json",
            "tiny/.DS_Store",
            "tiny/README.md",
            "tiny/vocab.txt",
        ):
            bundle.writestr(name, "x")
    (tmp_path / "in").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "in", GIB)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["vocab.txt"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_too_many_files_are_refused(tmp_path, name):
    (tmp_path / "many").mkdir()
    for number in range(201):
        (tmp_path / "many" / f"{number}.json").write_text("{}")
    archive = packed(tmp_path / "many", tmp_path / name)
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="more than 200 files"):
        unpack(archive, tmp_path / "in", GIB)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_damaged_archive_is_told_so(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + b"\x1f" * 400)
    with pytest.raises(DataError, match="is damaged"):
        unpack(tmp_path / name, tmp_path, GIB)


def test_zip_members_are_read_in_turn(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        for name in ("tiny/a.json", "b.txt"):
            bundle.writestr(name, name)
    (tmp_path / "in").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "in", GIB)
    assert {path.name: path.read_text() for path in (tmp_path / "in").iterdir()} == {
        "a.json": "tiny/a.json", "b.txt": "b.txt",
    }  # fmt: skip


def test_a_name_that_comes_twice_is_refused(tmp_path):
    buffer = io.BytesIO(b"{}")
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        for name in ("config.json", "tiny/config.json"):
            info = tarfile.TarInfo(name)
            info.size = 2
            bundle.addfile(info, io.BytesIO(buffer.getvalue()))
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"config\.json comes twice"):
        unpack(tmp_path / "a.tar", tmp_path / "in", GIB)


def tar_of(path, *members):
    """A packed tar of members, each a header with its content; zeros pack to nothing."""
    with tarfile.open(path, "w:gz") as bundle:
        for name, size, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = size, kind
            bundle.addfile(info, io.BytesIO(bytes(size)))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tiny/.DS_Store", tarfile.REGTYPE), ("__MACOSX/a", tarfile.REGTYPE), ("README.md", tarfile.REGTYPE),
     ("./@PaxHeader", tarfile.XHDTYPE), ("././@LongLink", tarfile.GNUTYPE_LONGNAME), ("odd", b"Z")],
)  # fmt: skip
def test_what_is_left_out_of_a_tar_counts_too(tmp_path, name, kind):
    archive = tar_of(
        tmp_path / "a.tar.gz", (name, 40 << 20, kind), ("config.json", 2, tarfile.REGTYPE)
    )
    (tmp_path / "in").mkdir()
    tracemalloc.start()
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "in", GIB)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_every_packing_of_a_tar_is_unpacked(tmp_path, name):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text('{"a": 1}')
    (tmp_path / "tiny" / "model.safetensors").write_bytes(bytes(3 << 20))
    archive = packed(tmp_path / "tiny", tmp_path / name)
    (tmp_path / "in").mkdir()
    unpack(archive, tmp_path / "in", GIB)
    assert (tmp_path / "in" / "config.json").read_text() == '{"a": 1}'
    assert (tmp_path / "in" / "model.safetensors").stat().st_size == 3 << 20


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_a_tar_that_is_cut_short_is_told_so(tmp_path, name):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "vocab.txt").write_bytes(random.Random(1).randbytes(1 << 20))
    archive = packed(tmp_path / "tiny", tmp_path / name)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="is damaged"):
        unpack(archive, tmp_path / "in", GIB)
