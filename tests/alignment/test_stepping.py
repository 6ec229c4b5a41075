"""The one loop of all training: what it reports, saves, obeys, and where it ends."""

import math

import pytest

from alignment.models.stepping import Loop, steps
from alignment.seam.errors import DivergedError
from alignment.seam.events import CheckpointSaved, PhaseStarted, StepDone


def saved(step):
    return CheckpointSaved(step=step, path=f"ckpt-{step}", manifest_sha256="0" * 64, bytes=1)


def taken(step):
    return {"loss": 1 / step}


def told(loop, done=0, ask_at=0):
    """Names and numbers of all that a loop yields, with "save" asked after a step; what it returned."""
    said, going, answer = [], steps(loop, done), None
    while True:
        try:
            event = going.send(answer)
        except StopIteration as ended:
            return said, ended.value
        said.append((type(event).__name__, getattr(event, "step", 0)))
        answer = "save" if isinstance(event, StepDone) and event.step == ask_at else None


def stepped(*numbers):
    return [("StepDone", number) for number in numbers]


def test_steps_are_numbered_from_what_is_done():
    assert told(Loop(3, taken)) == (stepped(1, 2, 3), None)
    assert told(Loop(3, taken), done=2) == (stepped(3), None)
    assert told(Loop(3, taken), done=3) == ([], None)


def test_one_training_of_several_ends_at_its_own_last_step():
    assert told(Loop(9, taken, last=5), done=3) == (stepped(4, 5), None)


def test_checkpoints_come_when_they_are_due_the_last_step_included():
    said, asked = told(Loop(4, taken, saved, every=2))
    assert [name for name, _ in said] == ["StepDone", "StepDone", "CheckpointSaved"] * 2
    assert asked is None


def test_who_asks_to_save_gets_a_checkpoint_and_the_end():
    said, asked = told(Loop(4, taken, saved, every=100), ask_at=3)
    assert said == [*stepped(1, 2, 3), ("CheckpointSaved", 3)]
    assert asked == "save"


def test_what_cannot_be_saved_goes_on_to_its_end():
    assert told(Loop(3, taken), ask_at=1) == (stepped(1, 2, 3), None)


def test_it_is_over_where_its_own_rule_says_so():
    done = []
    loop = Loop(9, lambda step: done.append(step) or taken(step), over=lambda: len(done) == 2)
    assert told(loop) == (stepped(1, 2), None)


def test_what_stands_beside_a_step_comes_after_its_checkpoint():
    loop = Loop(1, taken, saved, every=1, beside=lambda step: iter([PhaseStarted(name="b")]))
    assert [name for name, _ in told(loop)[0]] == ["StepDone", "CheckpointSaved", "PhaseStarted"]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it_by_its_step(loss):
    with pytest.raises(DivergedError, match=r"at step 2; try a lower learning rate"):
        told(Loop(3, lambda step: {"loss": loss if step == 2 else 1.0}))
