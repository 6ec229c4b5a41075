"""What the demo shows of the model lab: three smaller models of the aligned one, each compared with it."""

from collections.abc import Mapping
from typing import Any

from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.factorise.settings import FactoriseConfig
from alignment.kinds.quantise.settings import QuantiseConfig
from alignment.kinds.settings.costs import CostSettings
from webapp.artifacts.models import Artifact
from webapp.registry.smaller import size_board
from webapp.rounds.models import Round, RoundRun
from webapp.runs.services import Order

# Judged by the simulated utility, and held against the target that the alignment had.
MEASURED: Mapping[str, Any] = {
    "judge": "utility",
    "distance": "measured",
    "held_out_prompts": 64,
    "max_new_tokens": 32,
}
SMALLER: tuple[tuple[str, str, CostSettings], ...] = (
    ("quantise", "INT8 model", QuantiseConfig(**MEASURED)),
    ("factorise", "Factorised model", FactoriseConfig(**MEASURED, steps=20)),
    ("distil", "Distilled model", DistilConfig(**MEASURED, layers=1, steps=300)),
)


def aligned(round_: Round) -> Artifact:
    """The model that a round has aligned."""
    return output_of(round_, RoundRun.Part.ALIGN)


def output_of(round_: Round, part: str) -> Artifact:
    """What a run of a round has made."""
    return round_.parts.get(part=part).run.outputs.get()


def lab_orders(round_: Round, seed: int) -> list[Order]:
    """The runs that make the aligned model smaller."""
    inputs = {
        "policy": aligned(round_),
        "reference": round_.policy,
        "reward": output_of(round_, RoundRun.Part.REWARD),
    }
    return [
        Order(kind=kind, name=name, config=config, seed=seed, inputs=inputs, key="")
        for kind, name, config in SMALLER
    ]


def lab_figures(round_: Round) -> dict[str, object]:
    """What the small models cost and save, by name, and which is the smallest that wins as often."""
    board = size_board(aligned(round_), {})
    found: dict[str, object] = {
        row.artifact.name: {name: figure._asdict() for name, figure in row.figures.items()}
        for row in board.rows
    }
    return {"models": found, "smallest": board.within.artifact.name if board.within else None}
