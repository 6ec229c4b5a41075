"""Gradients of low rank: each matrix's gradient G becomes f(G) = P P' G, and Adam's moments live in P' G.

P (m, r) has orthonormal columns on the shorter side of the matrix. It begins as the best r directions of the
first gradient, by its SVD, and then learns: each step moves it once down the distillation loss |H - P P' H|^2 of the mean
gradient H, whose gradient on the Stiefel manifold is -2 (1 - P P') H H' P (Oja's rule, 1982), by a step of its own length
for each direction: with M = P' H = K V' (V of n orthonormal rows) P + (1 - P P') H V K^-1 spans what a step of the power
method does. H is what Adam's first moment M remembers, and what this gradient adds to it beside P: G V shows both. So M is
known in the new basis too, and the mean gradient is kept as P M, as good as a product of rank r that sees G twice can be.
After each window of ten steps P becomes what makes that loss least for the sum of these, by a sketch to which each step adds
its own (`alignment.models.sketches`) and by P M; M is taken along as P_new' P_old M.

The moments are those of Zhao et al., 2024, "GaLore"; as Adam moves each of its numbers by about one learning rate, a step
in the small space is made longer by sqrt(m / r).

In several processes only P' G (r, n) and G V (m, r) are summed, and once a window the sketch (m, k): their sums are those of the
whole gradient, so P is the same everywhere, though nobody holds the whole gradient (as in Vogels et al., 2019, "PowerSGD"). With
error feedback what a process did not send is added to its next gradient: sum of sent + error = sum of gradients.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from alignment.models.distributed import all_sum, world
from alignment.models.sketches import best_basis, orthonormal, sketch_columns, sketched
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

OJA = 1.0  # length of a step of the basis, as a share of a step of the power method
DAMPING = 1e-3  # of the mean gradient's energy in a direction, beside its mean over all
SMALLEST = 1e-30  # energy
FLOAT = 4  # bytes
MEMORY = 0.9  # of a matrix's running consistency
EVERY = 10  # steps of a window, at whose end a basis is that of its gradients and its rank changes
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


class Move(NamedTuple):
    """Where a basis goes once its step is taken, and what was seen of the mean gradient beside it: beside right'."""

    basis: Tensor  # (m, r)
    beside: Tensor  # (m, r)
    right: Tensor  # (n, r)
    size: float  # |f(G)|, before anybody clips it


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
        oja: float = OJA,
        **adam: Any,  # noqa: ANN401 - as AdamW
    ) -> None:
        super().__init__(params, **adam)
        self.rank, self.feedback, self.consistency, self.oja = rank, feedback, consistency, oja
        self.told = Told()
        self.halves: dict[Tensor, Halves] = {}
        self.moves: dict[Tensor, Move] = {}
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
        moved = [
            self._compress(weight, group["betas"][0])
            for group in self.param_groups
            for weight in group["params"]
            if weight.ndim == 2 and weight.grad is not None
        ]
        self._sum_others()
        self._sum_told()
        for weight in moved if self.consistency else ():
            if int(self.state[weight]["step"]) % EVERY == EVERY - 1:
                self._adapt(weight)
        self.halves.clear()

    def _compress(self, weight: Tensor, decay: float) -> Tensor:
        """One matrix: project, sum, learn the projector, keep the error."""
        assert weight.grad is not None
        state, gradient = self.state[weight], lying(weight.grad, weight)
        fed = gradient + state["error"] if "error" in state else gradient
        if "projector" not in state:
            self._begin(weight, fed)
        basis = state["projector"]
        own = basis.T @ fed
        small = all_sum(own)
        self._tell(weight, gradient, fed, own)
        found = basis @ small
        if self.feedback:
            state["error"] = (fed - basis @ own).contiguous()
        self.moves[weight] = self._move(state, fed, small, decay)
        if world().size > 1:
            self.told.bytes += FLOAT * (small.numel() + basis.numel())
        self._sketch(state, fed)
        weight.grad = standing(found, weight).contiguous()
        return weight

    def _sketch(self, state: dict[str, Tensor], fed: Tensor) -> None:
        """Add a gradient to what is known of its window; at the window's end that is summed over processes."""
        window, at = divmod(int(state["step"]), EVERY)
        if "sketch" not in state:  # or in a state that was stored without one
            columns = sketch_columns(fed.shape[0], fed.shape[1], self.rank)
            state["sketch"] = fed.new_zeros(len(fed), columns)
        state["sketch"] += sketched(fed, state["sketch"].shape[1], window)
        if at == EVERY - 1 and world().size > 1:
            state["sketch"] = all_sum(state["sketch"])
            self.told.bytes += FLOAT * state["sketch"].numel()

    def _move(self, state: dict[str, Tensor], fed: Tensor, small: Tensor, decay: float) -> "Move":
        """Where the basis goes: down the distillation loss of the mean gradient."""
        basis = state["projector"]
        right, upper = torch.linalg.qr((decay * state["exp_avg"] + (1 - decay) * small).T)
        seen = all_sum(fed @ right)
        beside = (1 - decay) * (seen - basis @ (basis.T @ seen))
        energy = upper.T @ upper  # (r, r) of the mean gradient, by directions of the basis
        damping = (DAMPING * energy.diagonal().mean()).clamp(min=SMALLEST)
        damped = energy + damping * torch.eye(len(energy)).to(energy)
        step = torch.linalg.solve(damped, upper.T @ beside.T).T
        found = orthonormal(basis + self.oja * step)
        return Move(found, beside, right, float((basis @ small).norm()))

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
        """Adam in each small space, its step in the large one; then every basis moves on."""
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
            self._move_on(weight)
            if int(self.state[weight]["step"]) % EVERY == 0:
                self._end_window(self.state[weight])
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
        """Take the basis that was learned, and the mean gradient in it, with what was seen of it beside the old one."""
        state = self.state[weight]
        if (move := self.moves.pop(weight, None)) is not None and weight.grad is not None:
            clipped = float(weight.grad.norm()) / max(move.size, SMALLEST)
            turned = move.basis.T @ state["projector"] @ state["exp_avg"]
            state["exp_avg"] = turned + clipped * (move.basis.T @ move.beside) @ move.right.T
            state["projector"] = move.basis

    def _end_window(self, state: dict[str, Tensor]) -> None:
        """Take the best basis of the window's gradients, and the mean gradient in it."""
        before, window = state["projector"], int(state["step"]) // EVERY - 1
        state["projector"] = best_basis(state["sketch"], window, before, state["exp_avg"])
        state["exp_avg"] = state["projector"].T @ before @ state["exp_avg"]
        state["sketch"].zero_()

    def _adapt(self, weight: Tensor) -> None:
        """One direction fewer where the halves of batches disagree, one more where they agree; `rank` is the most."""
        state, move = self.state[weight], self.moves[weight]
        basis, running = move.basis, state["running"].item()
        if running < self.consistency and basis.shape[1] > 1:
            kept = state["exp_avg_sq"].sum(1).argsort(descending=True)[:-1].sort().values
            self.moves[weight] = move._replace(basis=basis[:, kept].contiguous())
            state["projector"] = state["projector"][:, kept].contiguous()
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name][kept].contiguous()
        elif running > self.consistency + SLACK and basis.shape[1] < min(self.rank, basis.shape[0]):
            self._widen(weight, new_direction(basis, int(state["step"])))

    def _widen(self, weight: Tensor, more: Tensor) -> None:
        state, move = self.state[weight], self.moves[weight]
        self.moves[weight] = move._replace(basis=orthonormal(torch.cat([move.basis, more], 1)))
        state["projector"] = orthonormal(torch.cat([state["projector"], more], 1))
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
    """(m, 1) a direction that the basis lacks, the same in every process; Oja's rule will turn it."""
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
