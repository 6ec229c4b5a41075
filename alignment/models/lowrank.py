"""Gradients of low rank: each matrix's gradient G becomes f(G) = P P' G, and Adam's moments live in P' G.

P (m, r) has orthonormal columns on the shorter side of the matrix. It begins as the best r directions of the first gradient,
by its SVD, and then learns: after each window of ten steps it is what makes the distillation loss |H - P P' H|^2 of their mean
gradient H least, by a sketch of their sum (`alignment.models.sketches`), to which each step adds its own. Of all bases of these
directions it takes the one that is nearest to the last, so that Adam's second moments still tell of them; the first ones,
which are vectors of the space, are taken along as P_new' P_old M.

The moments are those of Zhao et al., 2024, "GaLore"; as Adam moves each of its numbers by about one learning rate, a step
in the small space is made longer by sqrt(m / r).

In several processes only P' G (r, n) is summed, and once a window the sketch (m, k): their sums are those of the whole gradient,
so P is the same everywhere, though nobody holds the whole gradient (as in Vogels et al., 2019, "PowerSGD"). With error feedback
what a process did not send is added to its next gradient: sum of sent + error = sum of gradients.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from alignment.models.distributed import all_sum, world
from alignment.models.sketches import best_basis, orthonormal, sketch_columns, sketched
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

FLOAT = 4  # bytes
MEMORY = 0.9  # of a matrix's running consistency
EVERY = 10  # steps of a window, at whose end a basis and its rank change
OWN = ("error", "sketch")  # what each process has of a state: their sums count
COMPARED = "halves_are_compared"  # mark of the matrices of low-rank optimizers
SLACK = 0.05  # of consistency, beyond which a rank grows again


@dataclass
class Halves:
    """What the parts of a batch say of one matrix: sum of all parts, and of the odd ones less the even ones."""

    whole: Tensor | None = None
    difference: Tensor | None = None
    parts: int = 0

    def add(self, whole: Tensor) -> None:
        """The projected gradient (r, n) once more of the batch's parts is in it."""
        before = torch.zeros_like(whole) if self.whole is None else self.whole
        old = torch.zeros_like(whole) if self.difference is None else self.difference
        sign = 1 - 2 * (self.parts % 2)
        self.whole, self.difference, self.parts = (
            whole,
            old + sign * (whole - before),
            self.parts + 1,
        )

    def pair(self) -> tuple[Tensor, Tensor] | None:
        """The projected gradients of the two halves; None where there was one part."""
        if self.parts < 2 or self.whole is None or self.difference is None:
            return None
        return (self.whole + self.difference) / 2, (self.whole - self.difference) / 2


@dataclass
class Told:
    """What a step's gradients were like, summed over matrices."""

    energy: float = 0.0  # |P' G|^2
    whole: float = 0.0  # |G|^2
    inner: float = 0.0  # <G, f(G)>
    sent: float = 0.0  # |f(G)|^2, with what was fed back
    halves: list[float] = field(
        default_factory=lambda: [0.0] * 3
    )  # inner product and squares of the halves
    bytes: int = 0  # that a process exchanged

    def metrics(self) -> dict[str, float]:
        """As shares and cosines, of what is known."""
        found = {"gradient/captured": _share(self.energy, self.whole)}
        found["gradient/cosine"] = _share(self.inner, math.sqrt(self.whole * self.sent))
        inner, one, other = self.halves
        if one and other:
            found["gradient/consistency"] = inner / math.sqrt(one * other)
        return found | ({"gradient/exchanged": float(self.bytes)} if world().size > 1 else {})


class LowRankAdamW(torch.optim.AdamW):
    """AdamW that knows each matrix by r numbers a column; other parameters as AdamW does.

    After the backward passes comes `exchange`, which puts f(G) in the gradients' place, then whatever clips them, then
    `step`. State of a matrix: projector (m, r), exp_avg and exp_avg_sq (r, n), step, sketch (m, k) of the window's gradients so
    far, and with feedback error (m, n).
    Raises ConfigError for a model that is held in parts.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        rank: int,
        *,
        feedback: bool = False,
        consistency: float = 0.0,
        **adam: Any,  # noqa: ANN401 - as AdamW
    ) -> None:
        super().__init__(params, **adam)
        self.rank, self.feedback, self.consistency = rank, feedback, consistency
        self.told = Told()
        self.halves: dict[Tensor, Halves] = {}
        for weight in self.matrices():
            vars(weight)[COMPARED] = True
            if isinstance(weight, DTensor):
                raise ConfigError(
                    _(
                        "Low-rank gradients need a whole model in every process; unset ATTUNE_SHARDING."
                    )
                )
            weight.register_post_accumulate_grad_hook(self._note_part)  # type: ignore[no-untyped-call]  # torch has no type for it

    def matrices(self) -> Iterator[Tensor]:
        """The parameters whose gradients are projected."""
        for group in self.param_groups:
            yield from (weight for weight in group["params"] if weight.ndim == 2)

    @property
    def bytes(self) -> int:
        """What the state takes."""
        kept = (value for row in self.state.values() for value in row.values())
        return sum(FLOAT * value.numel() for value in kept if isinstance(value, Tensor))

    @torch.no_grad()
    def _note_part(self, weight: Tensor) -> None:
        """Called after each backward pass: project what the gradient is by now."""
        state = self.state[weight]
        if "projector" in state and weight.grad is not None:
            self.halves.setdefault(weight, Halves()).add(
                state["projector"].T @ lying(weight.grad, weight)
            )

    @torch.no_grad()
    def exchange(self) -> None:
        """Sum over processes in the small spaces; leaves f(G) of the summed gradient in each matrix's `grad`."""
        self.told = Told()
        for weight in self.matrices():
            if weight.grad is not None:
                self._compress(weight)
        self._sum_others()
        self._sum_told()
        self.halves.clear()

    def _compress(self, weight: Tensor) -> None:
        """One matrix: project, sum, sketch, keep the error."""
        assert weight.grad is not None
        state, gradient = self.state[weight], lying(weight.grad, weight)
        fed = gradient + state["error"] if "error" in state else gradient
        if "projector" not in state:
            self._begin(weight, fed)
        basis = state["projector"]
        own = basis.T @ fed
        small = all_sum(own)
        self._tell(weight, gradient, fed, own)
        if self.feedback:
            state["error"] = (fed - basis @ own).contiguous()
        if world().size > 1:
            self.told.bytes += FLOAT * small.numel()
        self._sketch(state, fed)
        weight.grad = standing(basis @ small, weight).contiguous()

    def _sketch(self, state: dict[str, Tensor], fed: Tensor) -> None:
        """Add a gradient to what is known of its window; at the window's end that is summed over processes."""
        window, at = divmod(int(state["step"]), EVERY)
        if "sketch" not in state:  # or in a state that was stored without one
            columns = sketch_columns(*fed.shape, self.rank)
            state["sketch"] = fed.new_zeros(len(fed), columns)
        state["sketch"] += sketched(fed, state["sketch"].shape[1], window)
        if at == EVERY - 1 and world().size > 1:
            state["sketch"] = all_sum(state["sketch"])
            self.told.bytes += FLOAT * state["sketch"].numel()

    def _begin(self, weight: Tensor, gradient: Tensor) -> None:
        """The best directions of the first gradient, which is summed whole this once."""
        state, whole = self.state[weight], all_sum(gradient)
        rank = min(self.rank, *whole.shape)
        left, _values, _right = torch.linalg.svd(whole, full_matrices=False)
        state["projector"] = left[:, :rank].contiguous()
        state["step"] = torch.tensor(0.0)
        state["exp_avg"], state["exp_avg_sq"] = (
            whole.new_zeros(rank, whole.shape[1]) for _ in range(2)
        )
        if self.consistency:
            state["running"] = torch.tensor(1.0)
        if world().size > 1:
            self.told.bytes += FLOAT * whole.numel()

    def _tell(self, weight: Tensor, gradient: Tensor, fed: Tensor, own: Tensor) -> None:
        """Add one matrix to what is told; of several processes, the sum of what each of them sees."""
        state, told = self.state[weight], self.told
        basis = state["projector"]
        alone = own if fed is gradient else basis.T @ gradient
        told.energy += alone.square().sum().item()
        told.whole += gradient.square().sum().item()
        told.inner += (alone * own).sum().item()
        told.sent += own.square().sum().item()
        if (pair := self.halves.get(weight, Halves()).pair()) is not None:
            one, other = pair
            values = [(one * other).sum(), one.square().sum(), other.square().sum()]
            told.halves = [a + b.item() for a, b in zip(told.halves, values, strict=True)]
            if "running" in state:
                summed = all_sum(torch.stack(values).double())
                here = _share(summed[0].item(), math.sqrt(summed[1].item() * summed[2].item()))
                state["running"].mul_(MEMORY).add_((1 - MEMORY) * here)

    def _sum_told(self) -> None:
        """The same figures in every process."""
        told = self.told
        sums = [told.energy, told.whole, told.inner, told.sent, *told.halves]
        found = all_sum(torch.tensor(sums, dtype=torch.float64)).tolist()
        told.energy, told.whole, told.inner, told.sent = found[:4]
        told.halves = found[4:]

    def _sum_others(self) -> None:
        """What is no matrix travels whole."""
        if world().size == 1:
            return
        rest = [
            weight
            for group in self.param_groups
            for weight in group["params"]
            if weight.ndim != 2 and weight.requires_grad
        ]
        for weight in rest:
            grad = weight.grad if weight.grad is not None else torch.zeros_like(weight)
            weight.grad = all_sum(grad)
            self.told.bytes += FLOAT * weight.numel()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # noqa: ANN401 - as torch's
        """Adam in each small space, its step in the large one; at the end of a window every basis moves on."""
        matrices = {id(weight): weight for weight in self.matrices() if weight.grad is not None}
        for group in self.param_groups:
            for weight in group["params"]:
                if id(weight) in matrices:
                    self._step_small(weight, group)
        kept = {weight: weight.grad for weight in matrices.values()}
        for weight in kept:
            weight.grad = None
        found = super().step(closure)
        for weight, grad in kept.items():
            weight.grad = grad
            if int(self.state[weight]["step"]) % EVERY == 0:
                self._move_on(weight)
        return found

    def _step_small(self, weight: Tensor, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        basis = state["projector"]
        gradient = basis.T @ lying(weight.grad, weight)
        moved = torch.zeros_like(gradient)
        rate, (first, second) = float(group["lr"]), group["betas"]
        adamw(
            [moved], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            foreach=False, amsgrad=False, beta1=first, beta2=second, lr=rate, weight_decay=0.0,
            eps=group["eps"], maximize=False,
        )  # fmt: skip
        longer = math.sqrt(basis.shape[0] / basis.shape[1])
        step = standing(basis @ moved, weight)
        weight.mul_(1 - rate * group["weight_decay"]).add_(step, alpha=longer)

    def _move_on(self, weight: Tensor) -> None:
        """Take the best basis of the window that ends, and the first moment in it."""
        state = self.state[weight]
        if self.consistency:
            self._adapt(state)
        before = state["projector"]
        state["projector"] = best_basis(state["sketch"], before)
        state["exp_avg"] = state["projector"].T @ before @ state["exp_avg"]
        state["sketch"].zero_()

    def _adapt(self, state: dict[str, Tensor]) -> None:
        """One direction fewer where the halves of batches disagree, one more where they agree; `rank` is the most."""
        basis, running = state["projector"], state["running"].item()
        if running < self.consistency and basis.shape[1] > 1:
            kept = state["exp_avg_sq"].sum(1).argsort(descending=True)[:-1].sort().values
            state["projector"] = basis[:, kept].contiguous()
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name][kept].contiguous()
        elif running > self.consistency + SLACK and basis.shape[1] < min(self.rank, basis.shape[0]):
            more = new_direction(basis, int(state["step"]))
            state["projector"] = orthonormal(torch.cat([basis, more], 1))
            for name in ("exp_avg", "exp_avg_sq"):
                row = state[name].new_zeros(1, state[name].shape[1])
                state[name] = torch.cat([state[name], row])

    @torch.no_grad()
    def settle(self) -> None:
        """Give what each process has of its own to the first, whose state is stored: its sum is what counts."""
        for weight in self.matrices() if world().size > 1 else ():
            for name in _own(self.state[weight]):
                self.state[weight][name] = all_sum(self.state[weight][name])
        if world().rank:
            self.forget_own()

    @torch.no_grad()
    def forget_own(self) -> None:
        """Neither feed back nor add to a sketch what was left: another process does."""
        for weight in self.matrices():
            for name in _own(self.state[weight]):
                self.state[weight][name].zero_()


def is_compared(model: nn.Module) -> bool:
    """Whether the halves of a batch are compared while this model learns: then each takes a backward pass."""
    return any(COMPARED in vars(weight) for weight in model.parameters())


def projected(gradient: Tensor, weight: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The gradient of a parameter where its moments live."""
    return state["projector"].T @ lying(gradient, weight) if "projector" in state else gradient


def new_direction(basis: Tensor, seed: int) -> Tensor:
    """(m, 1) a direction that the basis lacks, the same in every process, until a sketch tells a better one."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn((basis.shape[0], 1), generator=generator).to(basis)
    return found - basis @ (basis.T @ found)


def lying(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a matrix with its shorter side first."""
    return gradient.T if weight.shape[0] > weight.shape[1] else gradient


def standing(gradient: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `lying`."""
    return gradient.T if weight.shape[0] > weight.shape[1] else gradient


def _own(state: dict[str, Tensor]) -> list[str]:
    """In the same order in every process, as they are summed one after the other."""
    return [name for name in OWN if name in state]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
