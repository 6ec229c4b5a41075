"""Answers in conversations: a job of live work, done by the program that keeps models in memory."""

from collections.abc import Generator
from contextlib import closing
from functools import partial

from django.conf import settings
from django.utils.translation import gettext as _

from alignment.seam.live import LiveReply, LiveRequest
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.labeling.conversations import is_waited_for, keep_answers
from webapp.labeling.exchanges import Exchange
from webapp.runs.errors import RunError
from webapp.runs.residents import reply_to


def answer_live(job: Job) -> Work:
    """Let models answer the turn that a job is about, as long as somebody waits for it; raises RunError."""
    turn = Exchange.objects.filter(job=job).select_related("prompt").first()
    if turn is None or turn.is_answered:
        return lambda: {"kept": 0}
    with closing(reply_to(_request(job, turn), settings.LIVE_PATIENCE)) as waiting:
        reply = yield from _while_waited_for(waiting, turn)
    if reply.error:
        raise RunError(reply.error)
    return partial(keep_answers, job, reply.answers)


def _request(job: Job, turn: Exchange) -> LiveRequest:
    """What the program is asked; raises RunError where a model is gone."""
    asked = job.payload
    models = Artifact.objects.filter(project=job.project_id).in_bulk(asked["models"])
    if not all(pk in models for pk in asked["models"]):
        raise RunError(_("The model that should answer is gone. A researcher chooses another one."))
    return LiveRequest(
        id=job.pk,
        models=tuple(str(models[pk].path) for pk in asked["models"]),
        prompt=turn.prompt.record(),
        max_new_tokens=asked["max_new_tokens"],
        temperature=asked["temperature"],
        seed=asked["seed"],
    )


def _while_waited_for(
    waiting: Generator[None, None, LiveReply], turn: Exchange
) -> Generator[tuple[int, int], None, LiveReply]:
    """The reply, with a sign of life at each look; raises RunError where nobody waits for it any more."""
    while True:
        try:
            next(waiting)
        except StopIteration as end:
            reply: LiveReply = end.value
            return reply
        if not is_waited_for(turn):
            raise RunError(_("Nobody waited for these answers any more. Ask again."))
        yield 0, 1
