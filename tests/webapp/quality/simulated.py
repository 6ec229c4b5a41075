"""Projects whose agreement is known, as so many tasks of theirs that chance hardly matters say it."""

import numpy as np

from webapp.quality.agreement import krippendorff_alpha

MANY = 200_000


def nominal(tasks, chance):
    """Three classes; each of two to four people sees the right one in seven cases of ten."""
    for right in chance.integers(3, size=tasks):
        people = chance.integers(2, 5)
        known = chance.random(people) < 0.7
        yield list(np.where(known, right, chance.integers(3, size=people)).tolist())


def graded(tasks, chance):
    """Marks from 1 to 7: a task's own, and everybody's error."""
    for own in chance.normal(4, 1.4, size=tasks):
        seen = own + chance.normal(0, 1, size=chance.integers(2, 5))
        yield [(float(mark),) for mark in np.clip(np.round(seen), 1, 7)]


def ranked(tasks, chance):
    """Three or four answers in the order of what they are worth, as each person sees it; near ones are tied."""
    for _ in range(tasks):
        worth = chance.normal(size=chance.integers(3, 5))
        seen = worth + chance.normal(0, 0.7, size=(chance.integers(2, 4), len(worth)))
        yield [tuple(float(rank) for rank in np.round(-one)) for one in seen]


PROJECTS = {"nominal": nominal, "ordinal": graded, "interval": graded, "ranking": ranked}


def truth(level, number=MANY):
    """The alpha of all tasks that there could be."""
    return krippendorff_alpha(PROJECTS[level](number, np.random.default_rng(1)), level)
