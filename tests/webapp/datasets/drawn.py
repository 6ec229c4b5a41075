"""Examples drawn once for tests that look at the same: drawing one takes fifty times as long as a look."""

from hypothesis import HealthCheck, Phase, given, settings

NUMBER = 150  # of examples; each of the tests sees them all


def drawn(strategy, number=NUMBER):
    """So many examples of a strategy."""
    found = []

    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def keep(one):
        found.append(one)

    keep()
    return found


def look_at_each(examples, look):
    """Whichever fails is named, as nothing makes it smaller."""
    for one in examples:
        try:
            look(one)
        except Exception as error:
            error.add_note(f"The example: {one!r}")
            raise
