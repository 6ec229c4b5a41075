"""The audit log: who did what to which row, and when."""

from datetime import UTC, date, datetime, time
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.audit.acts import Act
from webapp.rendering.names import NameField

OURS = "attune"  # who did what nobody asked for: a program of Attune's


class EntryQuerySet(models.QuerySet["AuditEntry"]):
    """Rows by what somebody looks for."""

    def asked(
        self,
        *,
        person: Any = None,  # noqa: ANN401 - a person, or their number
        act: str = "",
        thing: str = "",
        number: int | None = None,
        days: tuple[date | None, date | None] = (None, None),
    ) -> "EntryQuerySet":
        """Those of a person, of an act, about a thing or one row of it, between two days (UTC), both included."""
        since, until = days
        told = {"person": person, "act": act, "thing": thing, "number": number}
        told |= {"created_at__gte": since and datetime.combine(since, time.min, tzinfo=UTC)}
        told |= {"created_at__lte": until and datetime.combine(until, time.max, tzinfo=UTC)}
        return self.filter(**{name: value for name, value in told.items() if value})

    def update(self, **_columns: object) -> NoReturn:
        """Nobody changes what is written here."""
        raise TypeError("The audit log is only added to.")


class AuditEntry(models.Model):
    """One change of state; written in its transaction, and never changed.

    A project may be deleted, and its rows tell of it still: they keep its number, which no other one gets.
    """

    project = models.ForeignKey(
        "projects.Project", models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,  # which would wait for whoever holds the person's row, to write here
    )
    token = models.BigIntegerField(null=True)  # by which the person's program was let in
    via = NameField(max_length=80, blank=True)  # that token's name; or a program of ours
    act = models.CharField(max_length=32)  # of Act, or of that of an older Attune
    thing = models.CharField(max_length=16)  # what the act is about: its name up to the point
    number = models.BigIntegerField(null=True)  # the key of its row
    facts = models.JSONField(default=dict)  # short, and nothing secret
    created_at = models.DateTimeField(db_default=Now())

    objects = EntryQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "id"], name="audit_by_project"),
            models.Index(fields=["project", "person", "id"], name="audit_by_person"),
            models.Index(fields=["project", "act", "id"], name="audit_by_act"),
            models.Index(fields=["project", "thing", "id"], name="audit_by_thing"),
            models.Index(fields=["project", "thing", "number", "id"], name="audit_by_row"),
        ]

    def save(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as Django has it
        """Store a new row; raises TypeError for one that is there."""
        if self.pk is not None:
            raise TypeError("The audit log is only added to.")
        super().save(*arguments, **options)

    @property
    def who(self) -> str:
        """Who did it, as pages call them."""
        return " · ".join(filter(None, [self.person.shown_name if self.person else "", self.via]))

    @property
    def what(self) -> str:
        """The act in words; one of an older Attune by its name."""
        return str(Act(self.act).label if self.act in Act.values else self.act)
