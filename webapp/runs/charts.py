"""Which curves a run's page draws, and in which words and units."""

from collections.abc import Collection
from typing import NamedTuple


class Chart(NamedTuple):
    """One curve over steps."""

    key: str  # of the metric
    title: str
    axis: str  # with its unit


CHARTS = (
    Chart("loss", "Loss", "loss"),
    Chart("reward/mean", "Reward", "mean reward"),
    Chart("reward/before", "Reward of the reference", "mean reward"),
    Chart("reward/after", "Reward of the policy", "mean reward"),
    Chart("kl/reference", "Distance from the reference", "KL (nats)"),
    Chart("divergence/target", "Divergence to the target", "divergence"),
    Chart("logz/mean", "log Z", "log Z (nats)"),
    Chart("ess/fraction", "Effective samples", "share of samples"),
    Chart("preference/accuracy", "Accuracy", "share of pairs"),
    Chart("preference/nll", "Negative log-likelihood", "nats / pair"),
)
MORE_CHARTS = (
    Chart("reward/std", "Spread of the reward", "standard deviation"),
    Chart("length/mean", "Length", "tokens"),
    Chart("length/truncated", "Cut at the length limit", "share of completions"),
    Chart("entropy/mean", "Entropy", "nats / token"),
    Chart("grad/norm", "Gradient norm", "norm"),
    Chart("baseline/mean", "Baseline", "mean pseudo-reward"),
    Chart("prompts/skipped", "Prompts without an estimate of Z", "prompts"),
    Chart("lr", "Learning rate", "rate"),
    Chart("seconds/step", "Time per step", "seconds"),
    Chart("logp/mismatch", "Sampler and scorer apart", "nats / token"),
)


def charts_for(keys: Collection[str], *, live: bool) -> tuple[list[Chart], list[Chart]]:
    """The main curves and the others; a live run has room for those that are still to come."""
    main = [chart for chart in CHARTS if live or chart.key in keys]
    more = [chart for chart in MORE_CHARTS if live or chart.key in keys]
    known = {chart.key for chart in CHARTS + MORE_CHARTS}
    return main, more + [Chart(key, key, key) for key in sorted(set(keys) - known)]
