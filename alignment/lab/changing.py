"""A run that changes a finished model: what all of its kinds have in common.

A kind gives a `ModelChange`: of the original and the texts to fit to, it yields events and returns what was
made. The rest is here: inputs, calibration, the result's folder, what it costs, receipts, going on.
"""

import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alignment.kinds.settings.costs import CostSettings
from alignment.kinds.spec import RunSpec
from alignment.lab.calibration import (
    ChosenAnswers,
    LabPrompts,
    Texts,
    chosen_answers,
    lab_prompts,
    own_answers,
)
from alignment.lab.costs import Measured, costs, count_steps, load_compared, measurements_of, take
from alignment.models import checkpoints
from alignment.models.control_tokens import controls, counted
from alignment.models.forms.form import make_plain
from alignment.models.lora import size_of
from alignment.models.policies import Policy
from alignment.models.stepping import Loop, steps
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, Finished, Fitted, PhaseStarted, Ready
from alignment.seam.folders import MANIFEST, committed
from alignment.seam.words import _
from alignment.targets.targets import FILE

CHANGED = "changed"  # the folder of the changed model in a run's folder and in its checkpoints
EVERY = 1_000_000  # steps of a comparison between two checkpoints: it is saved where that is asked
Progress = Generator[Event, str | None, None]


@dataclass(frozen=True)
class Original:
    """What a change starts from: the model, plain, and the texts to fit to, which are drawn when they are asked for."""

    policy: Policy
    folder: Path
    texts: Callable[[], Generator[Event, None, Texts]]
    after: int  # steps of the comparison that follows


@dataclass(frozen=True)
class Made:
    """A changed model: how it is written into a folder, what is known of it, and its receipts."""

    save: Callable[[Path], None]
    facts: Mapping[str, Any]
    checks: list[dict[str, Any]]


@dataclass(frozen=True)
class ModelChange:
    """How a kind of run changes a model, and how many StepDone it yields; None says that it saved, to go on later."""

    run: Callable[[Original], Generator[Event, str | None, Made | None]]
    steps: int = 0


@dataclass(frozen=True)
class Copy:
    """A folder that a checkpoint keeps."""

    source: Path

    def save(self, folder: Path) -> None:
        """Write it there."""
        shutil.copytree(self.source, folder, dirs_exist_ok=True)


@dataclass(frozen=True)
class LabInputs:
    """What a run reads: paths by role, prompts by what they are for, and people's answers where it has some."""

    at: Mapping[str, Path]
    prompts: LabPrompts
    chosen: ChosenAnswers | None

    @property
    def told(self) -> list[Fitted]:
        """What became of all rows."""
        return [*self.prompts.told, *([self.chosen.told] if self.chosen else [])]


def changing(spec: RunSpec, folder: Path, config: CostSettings, change: ModelChange) -> Progress:
    """Change `policy` and compare what was made of it with it; writes `folder/output`, a model.

    Asked to save, it keeps the changed model with what was measured of it so far.
    """
    original, given = _read(spec, folder, config)
    for told in given.told:
        if not told.all_fit:
            yield told
    known = _known(spec, folder)
    after = count_of(config, given)
    yield Ready(
        total_steps=change.steps + after,
        threads=torch.get_num_threads(),
        device=str(original.device),
        resumed_step=known.get("step", 0),
        bit_exact=not known or known["machine"] == checkpoints.machine(),
    )
    if "facts" in known:
        made = Made(Copy(_checkpoint(spec, folder) / CHANGED).save, known["facts"], known["checks"])
    else:
        texts = partial(_texts, spec, config, original, given)
        start = Original(original, given.at["policy"], texts, after)
        yield PhaseStarted(name=_("changing"))
        if (found := (yield from change.run(start))) is None:
            return
        made = found
    with committed(folder / CHANGED) as aside:
        made.save(aside)
        carry_aim(given.at["policy"], aside)
    yield from _compare(spec, folder, config, given, (made, change.steps, known))


def _compare(
    spec: RunSpec,
    folder: Path,
    config: CostSettings,
    given: LabInputs,
    so_far: tuple[Made, int, Mapping[str, Any]],
) -> Progress:
    """Measure a changed model, and commit it."""
    made, before, known = so_far
    yield PhaseStarted(name=_("comparing"))
    texts = given.chosen.held if given.chosen else None
    found = load_compared(
        given.at, folder / CHANGED, given.prompts.held_out, texts, config, spec.seed
    )
    parts, seen = (
        measurements_of(found),
        Measured(**known["seen"]) if "seen" in known else Measured(),
    )

    def save(step: int) -> Event:
        facts = {"facts": dict(made.facts), "checks": made.checks, "seen": seen.facts}
        return checkpoints.save(folder, step, {CHANGED: Copy(folder / CHANGED)}, {}, facts)

    def step(number: int) -> Mapping[str, float]:
        return take(found, parts[number - before - 1], seen)

    loop = Loop(before + len(parts), step, save, EVERY)
    if (yield from steps(loop, max(before, known.get("step", 0)))) == "save":
        return
    measured = costs(found, seen, (given.at["policy"], folder / CHANGED))
    summary = {
        **made.facts,
        **measured,
        "checks": [*made.checks, *measured["checks"]],
        "parameters": size_of(found.changed.model),
        "rows": [told.counts for told in given.told],
        **counted(controls(found.original.tokenizer).held, given.prompts.held_out),
    }
    with committed(folder / "output") as output:
        for path in (folder / CHANGED).iterdir():
            if path.name != MANIFEST:
                path.rename(output / path.name)
    shutil.rmtree(folder / CHANGED)
    yield Finished(summary=summary)


def _read(spec: RunSpec, folder: Path, config: Any) -> tuple[Policy, LabInputs]:  # noqa: ANN401 - of any such kind
    """The original, plain, and all rows that the run reads; raises DataError, ConfigError."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    room, overlong = config.max_new_tokens, config.overlong
    prompts = lab_prompts(at, at["policy"], room, overlong)
    prompts = prompts._replace(
        training=prompts.training[: config.prompts],
        held_out=prompts.held_out[: config.held_out_prompts],
    )
    policy = Policy.load(at["policy"], "policy")
    make_plain(policy.model)
    chosen = None
    if config.answers == "chosen":
        if "pairs" not in at:
            raise ConfigError(_("Name the snapshot whose preferred answers are to be read."))
        chosen = chosen_answers(at["pairs"], policy, at["policy"], overlong)
    return policy, LabInputs(at, prompts, chosen)


def _texts(
    spec: RunSpec,
    config: Any,  # noqa: ANN401 - as above
    policy: Policy,
    given: LabInputs,
) -> Generator[Event, None, Texts]:
    """The texts to fit to: people's preferred answers, or the model's own to the training prompts."""
    if given.chosen is not None:
        rows, keys = given.chosen.fitted
        return Texts(rows[: config.prompts], keys[: config.prompts])
    yield PhaseStarted(name=_("answering"))
    found = own_answers(
        policy, given.prompts.training, config.max_new_tokens, spec.seed, config.own_answers
    )
    yield PhaseStarted(name=_("changing"))
    return found


def count_of(config: CostSettings, given: LabInputs) -> int:
    """Of how many steps a comparison will be."""
    texts = len(given.chosen.held.rows) if given.chosen else 0
    return count_steps(len(given.prompts.held_out), texts, aimed=config.distance == "measured")


def _checkpoint(spec: RunSpec, folder: Path) -> Path:
    assert spec.resume_from is not None
    return folder / spec.resume_from


def _known(spec: RunSpec, folder: Path) -> Mapping[str, Any]:
    """What a checkpoint says, where the run goes on from one."""
    return checkpoints.load(_checkpoint(spec, folder))[1] if spec.resume_from else {}


def carry_aim(original: Path, changed: Path) -> None:
    """Let a changed model say what its original was aimed at."""
    if (original / FILE).is_file() and not (changed / FILE).exists():
        shutil.copyfile(original / FILE, changed / FILE)
