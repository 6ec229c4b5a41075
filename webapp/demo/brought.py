"""The demo on a causal model that somebody brings: short instructions, LoRA, sizes for 135 M on two cores."""

import os
from pathlib import Path

from django.conf import settings

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.bring.settings import HUB_NAME, ImportConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.world.instructions import instructions
from webapp.demo.scenario import SEED, DemoError, Script
from webapp.rounds.config import RoundConfig
from webapp.runs.services import Order

GUIDELINES = """Prefer the answer that you would rather have got.

- It comes to its end, and to the point at once.
- It is short, and says nothing twice.
- It is a list where one was asked for, and sentences elsewhere.
"""
LENGTH = 48  # tokens: most answers of a small model are longer, and can learn not to be
ALLOWED = "ATTUNE_MODEL_FOLDERS"  # which the programs that we start read
COMPLETIONS = GenerateConfig(prompts=120, completions_per_prompt=6, max_new_tokens=LENGTH)
ROUND = RoundConfig(
    reward=RewardConfig(trunk="frozen", epochs=10, batch=16),
    align=AlignConfig(
        lora_rank=16,
        steps=24,
        prompts_per_step=8,
        completions_per_prompt=4,
        learning_rate=2e-4,
        warmup=3,
        prompts=64,
        reference_completions=4,
        max_new_tokens=LENGTH,
        checkpoint_every=5,
        sample_every=10,
        sample_prompts=4,
    ),
    evaluate=EvaluateConfig(judge="utility", prompts=40, max_new_tokens=LENGTH, weighed_prompts=2),
    generate=GenerateConfig(prompts=24, max_new_tokens=LENGTH),
    seed=SEED,
)


def script_of(model: str) -> Script:
    """What is played with a model folder, or with a model of the Hub; raises DemoError where it is neither."""
    source = _allowed(Path(model)) if Path(model).is_dir() else _named(model)
    return Script(
        project=f"Demo: {source.name}"[:120],
        guidelines=GUIDELINES,
        prompts=instructions,
        title=f"Your model, {source.name}",
        model=Order(kind="import", name=source.name[:120], config=source, seed=SEED, key=""),
        completions=Order(
            kind="generate", name="First completions", config=COMPLETIONS, seed=SEED, key=""
        ),
        round=ROUND,
    )


def _allowed(folder: Path) -> ImportConfig:
    """A folder that the programs to be started may read, as an admin would allow it."""
    folder = folder.resolve()
    if not (folder / "config.json").is_file():
        raise DemoError(f"{folder} holds no model: there is no config.json in it.")
    settings.MODEL_FOLDERS = (str(folder), *settings.MODEL_FOLDERS)
    os.environ[ALLOWED] = os.pathsep.join(settings.MODEL_FOLDERS)
    return ImportConfig(source="folder", name=folder.name, limit_gib=settings.MODEL_GIB)


def _named(model: str) -> ImportConfig:
    """A model of the Hub."""
    if not HUB_NAME.fullmatch(model):
        raise DemoError(f"There is no folder {model}, and no model of the Hub has such a name.")
    return ImportConfig(source="hub", name=model, limit_gib=settings.MODEL_GIB)
