"""Answers of a policy as it will be served: by a sampler that leaves completions out, or ends some."""

from collections.abc import Sequence
from dataclasses import dataclass

from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.objectives.samples import Term
from alignment.sampling.sampling import Rollouts
from alignment.sampling.warps import PLAIN, Warp
from alignment.seam.records import PromptRecord


@dataclass(frozen=True)
class Cut(Term):
    """A use whose sampler does not draw every completion: how far it is from a target is not to be measured."""

    cut: Warp = PLAIN

    @property
    def warp(self) -> Warp:
        """What its sampler changes."""
        return self.cut


def as_served(
    model: Policy,
    rollouts: Rollouts,
    prompts: Sequence[PromptRecord],
    texts: Sequence[str],
    warp: Warp,
) -> Rollouts:
    """The completions whose texts these are, without the stop strings that ended them."""
    if not warp.stops:
        return rollouts
    both = zip(prompts, texts, strict=True)
    return rollouts_of(model, [written(model, prompt.messages, text) for prompt, text in both])
