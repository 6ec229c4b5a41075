"""A run that makes a reward model of labels."""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from alignment.config import RewardConfig, RunSpec
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed
from alignment.records import LabelRecord, read_labels
from alignment.reward.examples import examples_of
from alignment.reward.fitting import fit, steps_of
from alignment.reward.labels import contradicted, divided, learnable, pairs_in
from alignment.reward.measures import measures, standardised
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation

PLURALS = {"tie": "ties", "ranking": "rankings", "thumb": "thumbs", "rating": "ratings"}


def train(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Fit a reward model to the labels in `pairs` from `backbone`; writes `folder/output`."""
    config = RewardConfig.model_validate(spec.config)
    torch.manual_seed(spec.seed)
    labels = learnable(read_labels(folder / spec.inputs["pairs"]), config)
    fitted, held = divided(labels, config.held_out)
    backbone = folder / spec.inputs["backbone"]
    model = RewardModel.fresh(backbone, heads=config.heads, pooling=config.pooling)
    observation = Observation(config, labels).to(model.trunk.device)
    total = steps_of(config, len(fitted))
    device = str(model.trunk.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    examples, judged = examples_of(model, fitted), examples_of(model, held)
    yield PhaseStarted(name="training")
    for step, metrics in enumerate(fit(model, observation, examples), start=1):
        yield StepDone(step=step, total=total, metrics=metrics)
    yield PhaseStarted(name="measuring")
    model = replace(standardised(model, examples), caution=config.caution)
    summary = {
        **measures(model, observation, judged),
        **counts(fitted, held),
        "labels_cut": sum(example.cut for example in examples + judged),
        "center": sum(model.center) / len(model.center),
        "scale": model.scale,
    }
    if config.annotators == "reliability":
        summary["annotators"] = observation.reliabilities(fitted)
    with committed(folder / "output") as output:
        model.save(output)
    yield Finished(summary=summary)


def counts(fitted: Sequence[LabelRecord], held: Sequence[LabelRecord]) -> dict[str, int]:
    """How many labels there were; kinds other than pairs only where there are any."""
    train, heldout = pairs_in(fitted), pairs_in(held)
    kinds = Counter[str](label.kind for label in fitted)
    return {
        "pairs_train": len(train),
        "pairs_heldout": len(heldout),
        **{f"{plural}_train": kinds[kind] for kind, plural in PLURALS.items() if kinds[kind]},
        "prompts_heldout": len({label.prompt.key for label in held}),
        "pairs_contradicted": contradicted(train + heldout),
    }
