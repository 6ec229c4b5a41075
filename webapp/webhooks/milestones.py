"""Numbers of labels that are told of: 100, 200, 500, 1000 and so on, each once."""

from collections.abc import Iterator
from itertools import count, takewhile

from django.db import transaction
from django.db.models import Count, Max

from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling.models import Label
from webapp.webhooks.models import LabelCount, Webhook


def milestones() -> Iterator[int]:
    """All of them, the least first."""
    return (step * 10**power for power in count(2) for step in (1, 2, 5))


def tell_milestones() -> int:
    """Tell of each number that a project has reached, where a webhook wants to know; how many. A duty of `tend`.

    Labels themselves count nothing: theirs is the path that people wait for.
    """
    working = Webhook.objects.working().values_list("project", "acts")
    asking = sorted({project for project, acts in working if Act.LABELS_REACHED in acts})
    return sum(map(_tell, asking))


@transaction.atomic
def _tell(project: int) -> int:
    """Count on from where it was counted before; what was there when counting began is not told of."""
    if not LabelCount.objects.filter(project=project).exists():
        LabelCount.objects.get_or_create(project_id=project, defaults=_counted(project, 0))
        return 0
    row = LabelCount.objects.select_for_update().get(project=project)  # one tend at a time
    since = _counted(project, row.newest)
    if not since["labels"]:
        return 0
    before, now = row.labels, row.labels + since["labels"]
    row.labels, row.newest = now, since["newest"]
    row.save()
    reached = [number for number in takewhile(lambda n: n <= now, milestones()) if number > before]
    for number in reached:
        record_act(Act.LABELS_REACHED, None, project=project, labels=number)
    return len(reached)


def _counted(project: int, beyond: int) -> dict[str, int]:
    """How many labels came after one, and the last of them."""
    given = Label.objects.filter(project=project, pk__gt=beyond)
    found = given.aggregate(labels=Count("pk"), newest=Max("pk"))
    return {"labels": found["labels"], "newest": found["newest"] or beyond}
