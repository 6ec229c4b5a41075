"""Models as outlines: weights that hold no numbers are not filled with random ones.

On the meta device torch goes through Python for each of the fills, which takes longer than all else that
making an outline does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

FILLS = {init.normal_, init.uniform_, init.kaiming_uniform_}  # of those that ask modes


class Unfilled(TorchFunctionMode):
    """While it is entered, what fills a weight on the meta device leaves it as it is."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch's function returns
        """What torch asks instead of calling one of its functions."""
        named = kwargs or {}
        if func in FILLS:
            weight: Tensor = args[0] if args else named["tensor"]
            if weight.is_meta:
                return weight
        return func(*args, **named)
