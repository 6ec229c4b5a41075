import pytest

from alignment.kinds import KINDS
from webapp.sweeps.space import (
    Dimension,
    SpaceError,
    grid_points,
    grid_size,
    parse_dimension,
    varied,
)

ALIGN = varied(KINDS["align"])


def of(name, text):
    return parse_dimension(name, ALIGN[name], text)


def test_values_are_read_as_the_setting_has_them():
    assert of("beta", "0.1, 0.3,1 ").values == (0.1, 0.3, 1.0)
    assert of("steps", "10, 20").values == (10, 20)


def test_a_range_is_read_with_its_scale():
    assert of("beta", "0.1 to 1") == Dimension(name="beta", low=0.1, high=1.0)
    found = of("steps", "10 to 1000 log")
    assert found == Dimension(name="steps", low=10, high=1000, log=True, whole=True)


def test_a_choice_takes_names_their_words_or_all():
    assert of("divergence", "Reverse KL, jensen_shannon").values == ("reverse_kl", "jensen_shannon")
    assert len(of("divergence", "").values) > 5
    assert of("damping", "").values == (False, True)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("beta", "0.5", "several values"),
        ("beta", "", "several values"),
        ("beta", "0, 1", "^0: input should be greater than 0"),
        ("beta", "a, 1", "^a: "),
        ("beta", "nan, 1", "nan"),
        ("steps", "1.5, 2", "^1.5: "),
        ("beta", "1 to 0.1", "smaller number"),
        ("inference_weight", "0 to 1 log", "above 0"),
        ("divergence", "reverse_kl, none", "no “none”"),
        ("divergence", "reverse_kl", "two or more"),
        ("beta", ",".join(map(str, range(1, 60))), "At most 50"),
    ],
)
def test_what_is_no_value_is_refused_in_words(name, text, words):
    with pytest.raises(SpaceError, match=words):
        of(name, text)


def test_what_is_fixed_or_a_text_is_not_varied():
    assert "must_contain" not in ALIGN
    assert set(KINDS["align"].fixed).isdisjoint(ALIGN)


def test_the_points_of_a_range_lie_at_equal_distances():
    assert of("beta", "1 to 3").points == (1.0, 1.5, 2.0, 2.5, 3.0)
    assert of("beta", "0.01 to 100 log").points == pytest.approx((0.01, 0.1, 1, 10, 100))
    assert of("steps", "1 to 3").points == (1, 2, 3)  # whole numbers, each once
    assert all(isinstance(one, int) for one in of("steps", "1 to 3").points)


def test_a_grid_has_every_combination():
    space = [of("beta", "0.1, 1"), of("divergence", "reverse_kl, forward_kl")]
    found = list(grid_points(space))
    assert len(found) == grid_size(space) == 4
    assert {"beta": 1.0, "divergence": "forward_kl"} in found


def test_where_a_value_lies():
    assert of("beta", "1 to 3").place(2.0) == 0.5
    assert of("beta", "0.01 to 100 log").place(1.0) == pytest.approx(0.5)
    assert of("divergence", "reverse_kl, forward_kl").place("forward_kl") == 1.0
