"""Labels about the tiny vocabulary, and reward runs on them."""

from alignment.kinds.reward.run import train
from alignment.kinds.spec import RunSpec
from alignment.seam.records import Message, PairRecord, PromptRecord, prompt_key, write_jsonl
from tests.alignment.conftest import sealed, tiny_policy

SETTINGS = {"epochs": 12, "batch": 16, "learning_rate": 0.01, "held_out": 0.3}


def a_prompt(text):
    messages = (Message(role="user", content=text),)
    return PromptRecord(key=prompt_key(messages), messages=messages)


def a_pair(prompt, chosen, rejected, **columns):
    return PairRecord(prompt=a_prompt(prompt), chosen=chosen, rejected=rejected, **columns)


def run(folder, labels, *, backbone=None, seed=0, **settings):
    """The events of a reward run; its output is in the folder."""
    folder.mkdir(exist_ok=True)
    if backbone is None:
        sealed(tiny_policy(), folder / "backbone")
    write_jsonl(folder / "pairs.jsonl", labels)
    inputs = {"backbone": str(backbone or "backbone"), "pairs": "pairs.jsonl"}
    spec = RunSpec(
        kind="reward", run=1, epoch=1, seed=seed, config={**SETTINGS, **settings}, inputs=inputs
    )
    return list(train(spec, folder))
