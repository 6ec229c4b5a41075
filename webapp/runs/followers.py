"""Who else is told how a run gets on; they are named by paths, as their apps stand above this one."""

import logging
from collections.abc import Callable, Sequence

from django.db import DatabaseError, connection
from django.utils.module_loading import import_string

from webapp.runs.models import Run

Follower = Callable[[int], object]  # of the step that is stored; points.LAST once the run has ended
FOLLOWERS = ("webapp.sweeps.trials.follow",)

logger = logging.getLogger(__name__)


def followers_of(run: Run) -> list[Follower]:
    """Whoever wants to be told of this run."""
    try:
        found = [import_string(path)(run) for path in FOLLOWERS]
    except DatabaseError as error:
        logger.warning("Nobody follows run %s: %s", run.pk, error)
        connection.close()
        return []
    return [one for one in found if one is not None]


def tell_followers(followers: Sequence[Follower], step: int) -> None:
    """Tell them; the run does not hang on what they make of it, and tend tells them again."""
    for told in followers:
        try:
            told(step)
        except DatabaseError as error:
            logger.warning("Not now; tend does it later: %s", error)
            connection.close()
        except Exception:  # a fault of theirs: the run goes on, and the log has it
            logger.exception("A follower of a run failed.")
