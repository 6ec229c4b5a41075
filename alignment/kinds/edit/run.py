"""Facts edited into a model, one after another, each checked and all that came before it checked again.

A step is a fact. The keys' moment is computed once for a model, a layer and its texts, and kept where the trainer
keeps what it may need again.
"""

import hashlib
import json
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from alignment.kinds.edit.facts import Fact, facts_in, facts_of
from alignment.kinds.edit.settings import TRACED, EditConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.changing import EVERY, Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt
from alignment.lab.editing import (
    Search,
    damped,
    edit_fact,
    effects_of,
    moment_at,
    writing_layers,
)
from alignment.lab.facts import Reading
from alignment.lab.layers import Linear, weight_of
from alignment.lab.reach import FactCheck, known_of, measured_reach, reach_told
from alignment.models import checkpoints
from alignment.models.stepping import Loop, steps
from alignment.models.texts import Written
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, PhaseStarted
from alignment.seam.folders import MANIFEST, committed, manifest_sha256
from alignment.seam.progress import counting, through
from alignment.seam.records import PromptRecord, read_jsonl
from alignment.seam.words import _

ANSWERED = 1e-5  # relative: how far W' k may be from v
LEAST = 1e-5  # relative: how far a disturbance may be from the least
TRIED = 8  # facts by which a layer is found


def edit(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind edit: `policy` with facts that it says from now on; writes `folder/output`."""
    config = EditConfig.stored(spec.config)
    facts = facts_asked(spec, folder, config)

    def run(original: Original) -> Generator[Event, str | None, Made | None]:
        editing = yield from begin_editing(spec, folder, config, original, facts)
        return (yield from edited(editing))

    yield from changing(spec, folder, config, ModelChange(run, len(facts)))


def facts_asked(spec: RunSpec, folder: Path, config: EditConfig) -> list[Fact]:
    """The facts of the file, where there is one, and those that were typed; raises ConfigError where there are none."""
    file = spec.inputs.get("facts")
    found = facts_of(folder / file) if file else []
    found += facts_in(config.lines, _("Facts"))
    if not found:
        raise ConfigError(_("Write down a fact, or name a file of facts."))
    return found


@dataclass
class Editing:
    """A model under way, with what was known of the facts before."""

    spec: RunSpec
    folder: Path
    config: EditConfig
    reading: Reading
    facts: Sequence[Fact]
    known: Sequence[FactCheck]
    effects: list[float]
    name: str
    layer: Linear
    number: int
    moment: Tensor
    search: Search
    after: int
    rows: list[dict[str, Any]] = field(default_factory=list)


def begin_editing(
    spec: RunSpec, folder: Path, config: EditConfig, original: Original, facts: Sequence[Fact]
) -> Generator[Event, None, Editing]:
    """Look at the facts and the layers before anything is changed; raises ConfigError, DataError."""
    reading = Reading(original.policy, config.reading)
    layers = writing_layers(original.policy.model)
    if config.layer != TRACED and config.layer not in layers:
        raise ConfigError(
            _("The model has {count} layers, counted from 0; there is no layer {layer}.").format(
                count=len(layers), layer=config.layer
            )
        )
    yield PhaseStarted(name=_("asking about the facts"))
    with counting(len(facts), _("facts")):
        known = [known_of(reading, fact) for fact in through(facts, len(facts))]
    effects: list[float] = []
    if config.layer == TRACED:
        yield PhaseStarted(name=_("finding the layer"))
        effects = traced(reading, facts, known, spec.seed)
    number = config.layer if config.layer != TRACED else best_layer(layers, effects)
    name, layer = layers[number]
    rows = (yield from original.texts()).rows
    yield PhaseStarted(name=_("reading texts"))
    moment = damped(kept_moment(spec, original, rows, (name, layer)), config.damping)
    search = Search(
        config.steps,
        config.learning_rate,
        config.closeness,
        config.most_change,
        contexts_of(spec, folder, config.contexts),
    )
    yield PhaseStarted(name=_("changing"))
    return Editing(
        spec, folder, config, reading, facts, known, effects, name, layer, number, moment, search,
        original.after,
    )  # fmt: skip


def traced(
    reading: Reading, facts: Sequence[Fact], known: Sequence[FactCheck], seed: int
) -> list[float]:
    """What each layer brings back, in the mean of some facts."""
    pairs = list(zip(facts, known, strict=True))[:TRIED]
    with counting(len(pairs), _("facts")):
        found = [
            effects_of(reading, fact, check.old, seed) for fact, check in through(pairs, len(pairs))
        ]
    return [sum(column) / len(column) for column in zip(*found, strict=True)]


def best_layer(layers: Mapping[int, tuple[str, Linear]], effects: Sequence[float]) -> int:
    """The number of the layer that brings back most."""
    return max(zip(effects, sorted(layers), strict=True))[1]


def contexts_of(spec: RunSpec, folder: Path, count: int) -> tuple[str, ...]:
    """The last turns of the first training prompts, so many."""
    rows = read_jsonl(folder / spec.inputs["prompts"], PromptRecord)
    return tuple(row.messages[-1].content for row, _place in zip(rows, range(count), strict=False))


def kept_moment(
    spec: RunSpec, original: Original, rows: Sequence[Written], one: tuple[str, Linear]
) -> Tensor:
    """The moment of a layer's keys, from the cache where it is known."""
    name, layer = one
    if not spec.cache or not (original.folder / MANIFEST).is_file():
        return moment_at(original.policy, rows, layer)
    texts = json.dumps([[row.prompt, row.completion] for row in rows])
    told = f"{manifest_sha256(original.folder)} {name} {texts}"
    kept = Path(spec.cache) / f"keys-{hashlib.sha256(told.encode()).hexdigest()[:24]}"
    if not (kept / MANIFEST).is_file():
        moment = moment_at(original.policy, rows, layer)
        with committed(kept) as aside:
            save_file({"moment": moment.cpu().contiguous()}, aside / "moment.safetensors")
    return load_file(kept / "moment.safetensors")["moment"].to(original.policy.device)


def edited(one: Editing) -> Generator[Event, str | None, Made | None]:
    """Every fact, a step each; None where it was saved to go on later."""
    done = restore_edits(one)

    def take(step: int) -> Mapping[str, float]:
        started = time.perf_counter()
        fact = one.facts[step - 1]
        found = edit_fact(one.reading, one.layer, one.moment, fact, one.search)
        so_far = [check.holds(one.reading) for check in one.known[:step]]
        one.rows.append({"missed": found.missed, "excess": found.excess, "at_once": so_far[-1]})
        return {
            "answer/nats": found.nats,
            "facts/held": sum(so_far) / len(so_far),
            "seconds/step": time.perf_counter() - started,
        }

    def save(step: int) -> Event:
        tensors = {"weight": weight_of(one.layer).contiguous()}
        return checkpoints.save(one.folder, step, {}, tensors, {"rows": one.rows})

    loop = Loop(len(one.facts) + one.after, take, save, EVERY, last=len(one.facts))
    if (yield from steps(loop, done)) == "save":
        return None
    yield PhaseStarted(name=_("checking the facts"))
    return made_of_edits(one)


def restore_edits(one: Editing) -> int:
    """Give the layer the weight of a checkpoint, where there is one; how many facts are done."""
    if not one.spec.resume_from:
        return 0
    tensors, facts = checkpoints.load(one.folder / one.spec.resume_from)
    weight = tensors["weight"].to(weight_of(one.layer))
    with torch.no_grad():
        one.layer.weight.copy_(weight.T if isinstance(one.layer, Conv1D) else weight)
    one.rows += facts["rows"]
    return int(facts["step"])


def made_of_edits(one: Editing) -> Made:
    """The edited model, and how far its facts reach."""
    with counting(len(one.facts), _("facts")):
        found = [measured_reach(one.reading, check) for check in through(one.known, len(one.known))]
    told = reach_told(found)
    rows = [
        {**row, "held_at_once": after["at_once"]}
        for row, after in zip(told.pop("facts"), one.rows, strict=True)
    ]
    effects = [{"layer": place, "effect": effect} for place, effect in enumerate(one.effects)]
    checks = [
        receipt(
            _("Answer of the key, beside what it is to be, relative"),
            max(row["missed"] for row in one.rows),
            ANSWERED,
        ),
        receipt(
            _("Disturbance of other keys above the least, relative"),
            max(abs(row["excess"]) for row in one.rows),
            LEAST,
        ),
    ]
    facts = {**told, "facts": rows, "layer": one.number}
    if effects:
        facts["effects"] = effects
    return Made(one.reading.policy.save, facts, checks)
