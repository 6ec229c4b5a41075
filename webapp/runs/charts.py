"""Which curves a run's page draws, and in which words and units."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from webapp.runs.described import agent_title
from webapp.runs.queries import Point


class Chart(NamedTuple):
    """One curve over steps, or one of each agent."""

    key: str  # of the metric, before the agent's name: kl/reference, kl/reference@forward_kl
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
    Chart("weights/ess", "Effective old or shared samples", "share of samples"),
    Chart("preference/accuracy", "Accuracy", "share of pairs"),
    Chart("preference/nll", "Negative log-likelihood", "nats / pair"),
)
MORE_CHARTS = (
    Chart("reward/std", "Spread of the reward", "standard deviation"),
    Chart("length/mean", "Length", "tokens"),
    Chart("length/truncated", "Cut at the length limit", "share of completions"),
    Chart("diversity/distinct", "Unlike the prompt's other answers", "share of completions"),
    Chart("logps/known", "With log-probabilities", "share of completions"),
    Chart("entropy/mean", "Entropy", "nats / token"),
    Chart("grad/norm", "Gradient norm", "norm"),
    Chart("baseline/mean", "Baseline", "mean pseudo-reward"),
    Chart("prompts/skipped", "Prompts without an estimate of Z", "prompts"),
    Chart("lr", "Learning rate", "rate"),
    Chart("seconds/step", "Time per step", "seconds"),
    Chart("logp/mismatch", "Sampler and scorer apart", "nats / token"),
)
SOME_CHARTS = (  # of some settings alone, so that a live run leaves no room for them
    Chart("advantage/std", "Spread of the advantages", "reward"),
    Chart("ratio/clipped", "Stopped by the clip", "share of ratios"),
    Chart("kl/k3", "KL in the loss", "k3 (nats)"),
    Chart("value/loss", "Loss of the value", "half squared reward"),
    Chart("value/mean", "Value", "mean reward to come"),
    Chart("value/explained", "Explained by the value", "share of variance"),
    Chart("nll/demonstrations", "Loss of the demonstrations", "nats / token"),
)


def charts_for(keys: Collection[str], *, live: bool) -> tuple[list[Chart], list[Chart]]:
    """The main curves and the others; a live run has room for those that are still to come."""
    drawn = {key.partition("@")[0] for key in keys}
    main = [chart for chart in CHARTS if live or chart.key in drawn]
    more = [chart for chart in MORE_CHARTS if live or chart.key in drawn]
    more += [chart for chart in SOME_CHARTS if chart.key in drawn]
    known = {chart.key for chart in CHARTS + MORE_CHARTS + SOME_CHARTS}
    return main, more + [Chart(key, key, key) for key in sorted(drawn - known)]


class Table(NamedTuple):
    """A chart in numbers: a column per curve, a row per step; empty before there are any."""

    keys: list[str]
    titles: list[str]
    rows: list[tuple[int, list[float | None]]]


def table_of(chart: Chart, series: Mapping[str, Sequence[Point]]) -> Table:
    """The curves of a chart side by side."""
    keys = [key for key in series if key.partition("@")[0] == chart.key] or [chart.key]
    titles = [agent_title(key.partition("@")[2]) or chart.axis for key in keys]
    columns = [{point.step: point.value for point in series.get(key, [])} for key in keys]
    steps = sorted(set().union(*columns))
    return Table(keys, titles, [(step, [row.get(step) for row in columns]) for step in steps])
