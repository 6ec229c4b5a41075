"""Training and aligning language models: a call for each kind of run (`alignment.api`), loaded once it is asked for.

Nothing is imported here, so that no module of the package loads another that it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alignment.api import Call, go_on  # noqa: F401 - offered
    from alignment.kinds.align.results import AlignResults
    from alignment.kinds.align.settings import AlignConfig
    from alignment.kinds.classify.results import ClassifyResults
    from alignment.kinds.classify.settings import ClassifyConfig
    from alignment.kinds.distil.results import DistilResults
    from alignment.kinds.distil.settings import DistilConfig
    from alignment.kinds.edit.results import EditResults
    from alignment.kinds.edit.settings import EditConfig
    from alignment.kinds.evaluate.results import EvaluateResults
    from alignment.kinds.evaluate.settings import EvaluateConfig
    from alignment.kinds.factorise.results import FactoriseResults
    from alignment.kinds.factorise.settings import FactoriseConfig
    from alignment.kinds.generate.results import GenerateResults
    from alignment.kinds.generate.settings import GenerateConfig
    from alignment.kinds.measure.results import MeasureResults
    from alignment.kinds.measure.settings import MeasureConfig
    from alignment.kinds.population.results import PopulationResults
    from alignment.kinds.population.settings import PopulationConfig
    from alignment.kinds.prefer.results import PreferResults
    from alignment.kinds.prefer.settings import PreferConfig
    from alignment.kinds.pretrain.results import PretrainResults
    from alignment.kinds.pretrain.settings import PretrainConfig
    from alignment.kinds.prune.results import PruneResults
    from alignment.kinds.prune.settings import PruneConfig
    from alignment.kinds.quantise.results import QuantiseResults
    from alignment.kinds.quantise.settings import QuantiseConfig
    from alignment.kinds.reward.results import RewardResults
    from alignment.kinds.reward.settings import RewardConfig
    from alignment.kinds.score.results import ScoreResults
    from alignment.kinds.score.settings import ScoreConfig
    from alignment.kinds.sft.results import SftResults
    from alignment.kinds.sft.settings import SftConfig

    align: Call[AlignConfig, AlignResults]
    classify: Call[ClassifyConfig, ClassifyResults]
    distil: Call[DistilConfig, DistilResults]
    edit: Call[EditConfig, EditResults]
    evaluate: Call[EvaluateConfig, EvaluateResults]
    factorise: Call[FactoriseConfig, FactoriseResults]
    generate: Call[GenerateConfig, GenerateResults]
    measure: Call[MeasureConfig, MeasureResults]
    population: Call[PopulationConfig, PopulationResults]
    prefer: Call[PreferConfig, PreferResults]
    pretrain: Call[PretrainConfig, PretrainResults]
    prune: Call[PruneConfig, PruneResults]
    quantise: Call[QuantiseConfig, QuantiseResults]
    score: Call[ScoreConfig, ScoreResults]
    sft: Call[SftConfig, SftResults]
    train_reward: Call[RewardConfig, RewardResults]


def __getattr__(name: str) -> object:
    """One of the calls of `alignment.api`; raises AttributeError for another name."""
    if name.startswith("_"):  # as importing asks for
        raise AttributeError(name)
    offered = import_module("alignment.api").OFFERED
    if name not in offered:
        raise AttributeError(f"module “alignment” has no “{name}”")
    found: object = offered[name]
    return found
