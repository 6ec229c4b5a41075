"""A run is asked to stop by a file that it never sees half written."""

from pathlib import Path

import pytest

from alignment.seam.control import FILE, WISHES, ask_to_stop, wish_of
from alignment.seam.errors import ConfigError


def test_a_run_reads_what_it_was_asked_last(tmp_path):
    assert wish_of(tmp_path) == ""
    for wish in WISHES:
        ask_to_stop(tmp_path, wish)
        assert wish_of(tmp_path) == wish


def test_a_run_that_looks_while_it_is_asked_reads_what_it_was_asked_before(tmp_path, monkeypatch):
    ask_to_stop(tmp_path, "save")
    write, read = Path.write_text, []

    def write_half(path, text, **options):
        write(path, text[: len(text) // 2], **options)
        read.append(wish_of(tmp_path))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", write_half)
    ask_to_stop(tmp_path, "now")
    assert read == ["save"]
    assert wish_of(tmp_path) == "now"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"stop": 1}', '{"stop": "soon"}', "\udcff"]
)
def test_whatever_else_stands_there_is_refused(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"control\.json"):
        wish_of(tmp_path)
