"""Events as lines, and what databases can store of them."""

import json
import math

from alignment.seam.events import Finished, SampleDrawn, StepDone, dump_event, parse_event
from alignment.seam.records import CompletionRecord


def test_a_summary_has_no_number_that_json_does_not_know():
    rows = [(1.0, -math.inf)]
    event = Finished(summary={"log_z": {"value": math.nan, "low": None}, "rows": rows, "n": 3})
    assert event.summary == {"log_z": {"value": None, "low": None}, "rows": [[1.0, None]], "n": 3}
    assert json.loads(dump_event(event))["summary"] == event.summary


def test_a_metric_keeps_what_it_is():
    event = StepDone(step=1, total=2, metrics={"loss": math.inf})
    assert parse_event(dump_event(event)) == event


def test_a_nul_that_a_model_wrote_is_replaced():
    about = {"step": 1, "stage": "after", "prompt_key": "k", "prompt": "Why?"}
    assert SampleDrawn(completion="a\0b", **about).completion == "a\ufffdb"
    record = CompletionRecord(prompt_key="k", text="\0", logps=None, tokens=None, truncated=False)
    assert record.text == "\ufffd"
