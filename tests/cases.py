"""Cases of a test, of which `make test` tries some and leaves the others to those that are slow."""

from collections.abc import Iterable

import pytest

PARAM = type(pytest.param())


def cases(names, values, *, quick: Iterable | None = None, **options):
    """`parametrize`, where all but these of the values are marked slow; all but the first unless they are named."""
    several = not isinstance(names, str) or "," in names
    each = [one if isinstance(one, PARAM) else packed(one, several=several) for one in values]
    told = [one.values if several else one.values[0] for one in each]
    quick = told[:1] if quick is None else list(quick)
    missing = [one for one in quick if one not in told]
    assert not missing, f"there is no such case: {missing}"
    slow = [
        one if value in quick else one._replace(marks=(*one.marks, pytest.mark.slow))
        for one, value in zip(each, told, strict=True)
    ]
    return pytest.mark.parametrize(names, slow, **options)


def packed(case, *, several):
    """A case as `parametrize` knows it: one value, or several of them."""
    return pytest.param(*(case if several else (case,)))
