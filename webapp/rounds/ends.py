"""Rounds that are over: told once by the audit log, after the last of their runs has ended."""

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.audit.records import record_act
from webapp.rounds.models import Round, RoundRun
from webapp.rounds.queries import state_of, with_parts
from webapp.runs.models import FINAL


def tell_ended_rounds() -> int:
    """Tell of each round whose runs are all over, unless that was told since it last began; how many. A duty of `tend`.

    Who ends the last run cannot know that it is the last: the one beside it may be ending, too.
    """
    return sum(_tell(round_id) for round_id in _untold().values_list("pk", flat=True))


def _untold() -> "QuerySet[Round]":
    log = AuditEntry.objects.filter(
        thing="round", number=OuterRef("pk"), project=OuterRef("project")
    )
    going_on = RoundRun.objects.filter(round=OuterRef("pk")).exclude(run__state__in=FINAL)
    told = Round.objects.annotate(last=Subquery(log.order_by("-pk").values("act")[:1]))
    return told.filter(~Exists(going_on), last__in=[Act.ROUND_STARTED, Act.ROUND_CHANGED])


@transaction.atomic
def _tell(round_id: int) -> bool:
    Round.objects.select_for_update().get(pk=round_id)  # one tend at a time
    ended = with_parts(_untold().filter(pk=round_id)).first()
    if ended is None:
        return False
    number, state = ended.number, state_of(ended.parts.all())
    project = ended.project_id
    record_act(Act.ROUND_ENDED, None, project=project, about=ended.pk, number=number, state=state)
    return True
