"""Which divergence seeks reward and which covers: a policy that cannot reach its target.

Its tokens are independent given the prompt, while the target prefers some sequences as a whole. Over
all sequences D_f is minimised exactly. Go et al. (2023) report this trade-off for language models.
"""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.maths.divergences import DIVERGENCES

PLACES, TOKENS = 3, 4
BETA = 0.5
TARGETS = range(5)  # seeds of their rewards
NAMES = ("reverse_kl", "jensen_shannon", "forward_kl")  # from reward to coverage
SEQUENCES = torch.cartesian_prod(*[torch.arange(TOKENS)] * PLACES)
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "ordering.svg"


class Optimum(NamedTuple):
    """What the best policy of the class is like; in nats but for the reward."""

    reward: float
    entropy: float
    divergence: float


def rewards_of(seed: int) -> Tensor:
    """(sequences,) standard normal rewards; the reference is uniform."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(SEQUENCES), dtype=torch.float64, generator=generator)


def policy_logps(logits: Tensor) -> Tensor:
    """(starts, sequences) of policies whose tokens are independent; logits (starts, places, tokens)."""
    places = logits.log_softmax(-1).unbind(1)
    return torch.stack([logps[:, SEQUENCES[:, k]] for k, logps in enumerate(places)]).sum(0)


def starts(rewards: Tensor, count: int) -> Tensor:
    """Logits of the target's own marginals, and of policies about its best sequences."""
    target = (rewards / BETA).softmax(0)
    marginals = [
        torch.stack([target[SEQUENCES[:, k] == token].sum() for token in range(TOKENS)])
        for k in range(PLACES)
    ]
    best = SEQUENCES[rewards.topk(count - 1).indices]
    return torch.cat(
        [torch.stack(marginals).log()[None], 3 * torch.nn.functional.one_hot(best, TOKENS).double()]
    )


def optimum(name: str, rewards: Tensor, count: int = 16) -> Optimum:
    """The least D_f(policy || target) from so many starts: all a little, then the best to the end."""
    target = (rewards / BETA).softmax(0)[None]
    found = descended(name, starts(rewards, count), target, 40)
    best = (
        DIVERGENCES[name].divergence(policy_logps(found).exp(), target.expand(count, -1)).argmin()
    )
    logps = policy_logps(descended(name, found[best : best + 1], target, 400))
    reward, entropy = (logps.exp() * rewards).sum(), -(logps.exp() * logps).sum()
    least = DIVERGENCES[name].divergence(logps.exp(), target)
    return Optimum(reward.item(), entropy.item(), least.item())


def descended(name: str, logits: Tensor, target: Tensor, steps: int) -> Tensor:
    """Logits (starts, places, tokens) after so many steps of L-BFGS on all of them together."""
    logits = logits.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [logits],
        max_iter=steps,
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        policies = policy_logps(logits).exp()
        total = DIVERGENCES[name].divergence(policies, target.expand_as(policies)).sum()
        total.backward()
        return total

    search.step(loss)
    return logits.detach()


def is_ordered(optima: Mapping[str, Optimum]) -> bool:
    """Reverse KL has the highest reward and the lowest entropy, forward KL the reverse, JS between."""
    first, middle, last = (optima[name] for name in NAMES)
    falls = first.reward > middle.reward > last.reward
    return falls and first.entropy < middle.entropy < last.entropy


def measure(count: int) -> list[dict[str, Optimum]]:
    """The optima of every target by divergence."""
    targets = [rewards_of(seed) for seed in TARGETS]
    return [{name: optimum(name, rewards, count) for name in NAMES} for rewards in targets]


LOOKS = {  # title, colour, mark
    "reverse_kl": ("Reverse KL", "#b3261e", "circle"),
    "jensen_shannon": ("Jensen-Shannon", "#6b4fbb", "square"),
    "forward_kl": ("Forward KL", "#0b6e75", "diamond"),
}
WIDTH, HEIGHT, PANEL, LEFT, TOP = 760, 250, 128, 56, 58


def mark(name: str, x: float, y: float) -> str:
    """One divergence's mark, by colour and by shape."""
    _, colour, shape = LOOKS[name]
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    corner = f'x="{x - 4.5:.1f}" y="{y - 4.5:.1f}"'
    return f'<rect {corner} width="9" height="9" fill="{colour}"{turn}/>'


def panel(place: int, optima: Mapping[str, Optimum]) -> list[str]:
    """One target: entropy to the right, reward upwards."""
    left, bottom = LEFT + place * (PANEL + 10), TOP + PANEL
    most = max(one.reward for one in optima.values()) * 1.08

    def at(one: Optimum) -> tuple[float, float]:
        share = one.entropy / math.log(len(SEQUENCES))
        return left + share * PANEL, bottom - one.reward / most * PANEL

    points = {name: at(optima[name]) for name in NAMES}
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points.values())
    return [
        f'<rect x="{left}" y="{TOP}" width="{PANEL}" height="{PANEL}" fill="none" stroke="#c7c7cc"/>',
        f'<polyline points="{line}" fill="none" stroke="#8e8e93" stroke-dasharray="3 3"/>',
        *(mark(name, x, y) for name, (x, y) in points.items()),
        f'<text x="{left + PANEL / 2}" y="{bottom + 17}" text-anchor="middle">target {place + 1}</text>',
        f'<text x="{left + 4}" y="{bottom - 6}" class="tick">from 0 to {most:.1f}</text>',
    ]


def figure(rows: list[dict[str, Optimum]]) -> str:
    """An SVG with a panel for every target."""
    keys = []
    for place, name in enumerate(NAMES):
        x = LEFT + 6 + 150 * place
        keys += [mark(name, x, 26), f'<text x="{x + 12}" y="30">{LOOKS[name][0]}</text>']
    middle = TOP + PANEL / 2
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Expected reward against entropy of the best independent-token policy, by divergence, "
        "on five targets</title>",
        "<style>text{font:13px sans-serif;fill:#1c1c1e}.tick{font-size:11px;fill:#636366}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *keys,
        f'<text transform="translate(30 {middle}) rotate(-90)" text-anchor="middle">expected reward</text>',
        f'<text x="{WIDTH / 2}" y="{TOP + PANEL + 42}" text-anchor="middle">entropy, from 0 to '
        f"that of the uniform reference ({math.log(len(SEQUENCES)):.2f} nats)</text>",
        *(line for place, optima in enumerate(rows) for line in panel(place, optima)),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def main() -> None:
    """Measure, draw the figure, print the numbers."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.ordering", description=__doc__)
    options.add_argument("--starts", type=int, default=64, help="of the search, per target")
    options.add_argument("--figure", type=Path, default=FIGURE)
    chosen = options.parse_args()
    rows = measure(chosen.starts)
    chosen.figure.parent.mkdir(parents=True, exist_ok=True)
    chosen.figure.write_text(figure(rows), encoding="utf-8")
    found = [{name: one._asdict() for name, one in optima.items()} for optima in rows]
    ordered = sum(map(is_ordered, rows))
    print(json.dumps({"targets": len(rows), "ordered": ordered, "optima": found}))


if __name__ == "__main__":
    main()
