"""What an evaluation measures beside judge and target, as its settings ask."""

from collections.abc import Sequence
from pathlib import Path

from alignment.classification.model import Classifier
from alignment.evaluation.answers import KnownAnswers
from alignment.evaluation.classes import ClassShares
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.spec import RunSpec
from alignment.models.devices import Placement
from alignment.seam.errors import ConfigError
from alignment.seam.records import PromptRecord
from alignment.seam.words import _

Beside = KnownAnswers | ClassShares


def measured_beside(
    spec: RunSpec, folder: Path, config: EvaluateConfig, prompts: Sequence[PromptRecord]
) -> list[Beside]:
    """What else the settings ask to be measured; raises ConfigError where its input is not given, DataError."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    asked = {"answers": config.known_answers == "given", "classifier": config.classes == "counted"}
    for role, wanted in asked.items():
        if wanted and role not in at:
            raise ConfigError(
                _("The settings ask for {role}, and none are given.").format(role=role)
            )
    found: list[Beside] = []
    if asked["answers"]:
        found.append(KnownAnswers.read(at["answers"], prompts))
    if asked["classifier"]:
        placement = Placement.of(config)
        found.append(ClassShares(Classifier.load(at["classifier"], placement=placement)))
    return found


def told_of(beside: Sequence[Beside], seed: int) -> dict[str, object]:
    """All that they tell at the end, by name."""
    return {name: value for one in beside for name, value in one.told(seed).items()}
