"""Events as lines, and what databases can store of them."""

import json
import math

import pytest

from alignment.kinds.align.results import AlignResults
from alignment.seam.events import Finished, SampleDrawn, StepDone, dump_event, parse_event
from alignment.seam.records import CompletionRecord, Estimate

GOOD = Estimate(value=1.0, low=0.5, high=1.5, n=3)


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


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_an_estimate_of_no_number_is_none_that_results_take(value):
    found = Estimate(value=value, low=None, high=math.inf, n=3)
    event = Finished(summary={"divergence_target": found.model_dump(), "reward": GOOD.model_dump()})
    assert event.summary == {"divergence_target": None, "reward": GOOD.model_dump()}
    assert AlignResults.model_fields["divergence_target"].annotation == Estimate | None
