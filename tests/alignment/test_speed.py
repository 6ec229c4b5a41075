"""A machine is measured by a block of a transformer, in some hundredths of a second."""

import json

import torch

from alignment import trainer
from alignment.__main__ import main
from alignment.models.speed import measure_speed
from alignment.seam.timing import Speed


def test_a_machine_computes_many_tokens_faster_than_it_begins_blocks():
    found = measure_speed(torch.device("cpu"), start=2.0)
    assert 0 < found.block < 0.1
    assert found.operations > 1e7
    assert found.bandwidth > 1e7
    assert found.start == 2.0


def test_a_command_tells_it(capsys, monkeypatch):
    monkeypatch.setattr("alignment.__main__.load_all", trainer.KINDS.keys)  # loaded here already
    assert main(["speed"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(Speed._fields)
