"""Kinds of run: a folder each, with its settings, its results, and what computes it.

To add one, write its folder and a line here; everything else is drawn from its `KIND`.
"""

from collections.abc import Mapping

from alignment.kinds import (
    adopt,
    align,
    bring,
    checkpoint,
    classify,
    distil,
    edit,
    evaluate,
    factorise,
    generate,
    measure,
    population,
    prefer,
    pretrain,
    prune,
    quantise,
    reward,
    score,
    sft,
)
from alignment.kinds.kind import ArtifactType, Input, Kind
from alignment.seam.memory import Shape

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        pretrain.KIND,
        bring.KIND,
        sft.KIND,
        prefer.KIND,
        reward.KIND,
        adopt.KIND,
        classify.KIND,
        align.KIND,
        population.KIND,
        checkpoint.KIND,
        quantise.KIND,
        prune.KIND,
        factorise.KIND,
        distil.KIND,
        edit.KIND,
        evaluate.KIND,
        score.KIND,
        measure.KIND,
        generate.KIND,
    )
}


def _is_model(given: Input) -> bool:
    """Whether a run reads such a model itself, and not one that was trained from it."""
    return not {ArtifactType.MODEL, ArtifactType.ENCODER}.isdisjoint(given.types)


def memory_by_kind(shape: Shape, family: str = "") -> Mapping[str, int]:
    """Bytes that each kind of run which reads a model needs for one of this shape, by its usual settings.

    Without those kinds that take no model of its family, where it is an encoder-decoder.
    """
    reading = {
        name: kind
        for name, kind in KINDS.items()
        if kind.group
        and any(_is_model(one) and one.is_read(kind.settings()) for one in kind.inputs)
        if not kind.refusal(kind.settings(), family)
    }
    return {name: kind.memory(kind.settings(), shape) for name, kind in reading.items()}
