"""Writing the audit log, where services change something: in their transaction, so that both are there or neither."""

from collections.abc import Callable

from django.utils.module_loading import import_string

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.models import OURS, AuditEntry

LONGEST_FACT = 200  # characters: facts are for finding what changed, not a second copy of it
FactValue = str | int | float | bool | None
# Who else is told of each row, in its transaction; named by paths, as their apps stand above this one.
TOLD = ("webapp.webhooks.deliveries.follow_act",)


def record_act(
    act: Act,
    by: User | None,
    *,
    project: int | None = None,
    about: int | None = None,
    **facts: FactValue,
) -> AuditEntry:
    """Append what somebody did, or by nobody a program of ours, to the row with the key `about`."""
    token, via = by.by_token if by else (None, OURS)
    entry = AuditEntry.objects.create(
        project_id=project,
        person_id=by.pk if by else None,
        token=token,
        via=via,
        act=act,
        thing=act.value.partition(".")[0],
        number=about,
        facts={name: _short(value) for name, value in facts.items()},
    )
    for path in TOLD:
        follower: Callable[[AuditEntry], object] = import_string(path)
        follower(entry)
    return entry


def _short(value: FactValue) -> FactValue:
    return str(value)[:LONGEST_FACT] if isinstance(value, str) else value
