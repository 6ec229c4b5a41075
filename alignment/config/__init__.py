"""The settings of every kind of run, typed once: the command line and the web forms are drawn from them.

Torch-free. Every field carries a title, one line of help, a unit where it has one, bounds, and the
topic it is filed under; `advanced` fields are folded away until somebody asks for them.
"""

from alignment.config.align import AlignConfig
from alignment.config.divergences import OFFLINE, UNBOUNDED, DivergenceName
from alignment.config.evaluate import EvaluateConfig
from alignment.config.generate import GenerateConfig
from alignment.config.models import ImportConfig, PretrainConfig
from alignment.config.offline import PreferConfig, SftConfig
from alignment.config.population import PopulationConfig
from alignment.config.reward import RewardConfig
from alignment.config.runs import CONFIGS, READS, Kind, RunSpec

__all__ = [
    "CONFIGS",
    "OFFLINE",
    "READS",
    "UNBOUNDED",
    "AlignConfig",
    "DivergenceName",
    "EvaluateConfig",
    "GenerateConfig",
    "ImportConfig",
    "Kind",
    "PopulationConfig",
    "PreferConfig",
    "PretrainConfig",
    "RewardConfig",
    "RunSpec",
    "SftConfig",
]
