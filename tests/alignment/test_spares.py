"""A trainer that waits for its run computes what one does that was started for it."""

import json
import os
import socket

from alignment import __main__ as program_of
from alignment.__main__ import main, program
from alignment.kinds.spec import RunSpec
from alignment.seam.folders import file_sha256
from alignment.seam.spares import send_run
from tests.forks import Fork
from tests.tiny import TINY


def prepared(folder):
    """A run that makes a tiny model."""
    folder.mkdir()
    spec = RunSpec(kind="pretrain", run=1, epoch=1, seed=3, threads=1, config=TINY)
    (folder / "config.json").write_text(spec.model_dump_json())
    return folder


def compute_by_a_spare(folder):
    """Let a process that has started before do it; its exit status."""
    ours, its = socket.socketpair()
    with ours, its, (folder / "stdout.log").open("ab") as log:
        spare = Fork(lambda: stand_by(ours, its, folder.with_name("early.log")))
        send_run(ours, folder, log.fileno(), None)
        return spare.wait()


def stand_by(ours, its, early):
    """What a spare does in a process of its own, which says nothing to anybody before its run."""
    ours.close()
    handle = os.open(early, os.O_RDWR | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    return main(["spare", str(its.detach())])


def told(folder):
    """Its events but for what a clock says, and its weights."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    steady = [timeless(event) for event in events if event["type"] != "progress"]
    return steady, file_sha256(folder / "output/model.safetensors")


def timeless(value):
    """A part of an event without its seconds."""
    if not isinstance(value, dict):
        return value
    return {name: timeless(part) for name, part in value.items() if "second" not in name}


def test_a_spare_computes_byte_for_byte_what_a_fresh_trainer_does(tmp_path):
    fresh, spare = prepared(tmp_path / "fresh"), prepared(tmp_path / "spare")
    assert Fork(lambda: main(["run", str(fresh)])).wait() == 0
    assert compute_by_a_spare(spare) == 0
    assert told(spare) == told(fresh)


def test_a_spare_whose_starter_needs_it_no_more_ends(tmp_path):
    ours, its = socket.socketpair()
    with its:
        spare = Fork(lambda: stand_by(ours, its, tmp_path / "early.log"))
        ours.close()
        assert spare.wait() == 0


def test_a_spare_leaves_its_session_to_its_starter_until_it_has_a_run(monkeypatch):
    did = []
    monkeypatch.setattr(program_of, "give_way", lambda *, session=True: did.append(session))
    monkeypatch.setattr(program_of, "load_all", lambda: did.append("loaded"))
    monkeypatch.setattr(program_of, "take_run", lambda _: did.append("taken"))
    assert program(["spare", "7"]) == 0
    assert did == [False, "loaded", "taken", True]
