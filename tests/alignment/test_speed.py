"""A machine is measured by a block of a transformer, in some hundredths of a second."""

import json
import subprocess
import sys

import torch

from alignment.models.speed import measure_speed
from alignment.seam.timing import Speed

TELL = """
import sys
from alignment.__main__ import main
main(["speed", "--threads", "1"])
print(*sys.modules)
"""


def test_a_machine_computes_many_tokens_faster_than_it_begins_blocks():
    found = measure_speed(torch.device("cpu"), start=2.0)
    assert 0 < found.block < 0.1
    assert found.operations > 1e7
    assert found.bandwidth > 1e7
    assert found.start == 2.0


def test_a_command_tells_it_and_loads_no_model():
    said = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    found, loaded = said.stdout.splitlines()
    assert Speed(**json.loads(found)).start > 0.1
    assert "torch" in loaded.split()
    assert "transformers" not in loaded.split()
