"""Asking for a person's data to be erased: the account ends at once, the work is a job."""

from django.db import transaction
from django.db.models import CASCADE, ManyToOneRel
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.datasets.models import Erasure
from webapp.datasets.queries import pseudonyms
from webapp.erasure.errors import ErasureError
from webapp.erasure.holdings import projects_of
from webapp.jobs.models import FINAL, Job
from webapp.jobs.services import start_job
from webapp.people.services import deactivate, manages
from webapp.projects.access import role_in
from webapp.projects.models import Project

KIND = "erase"  # of job
KEPT = ("assignments",)  # what the job removes itself


def person_named(name: str, project: Project) -> User | None:
    """Whose name this is, if there is anything of theirs in the project."""
    person = User.objects.matching(name).first()
    return person if person and projects_of(person).filter(pk=project.pk).exists() else None


def check_may_erase(actor: User, person: User) -> None:
    """Raise ErasureError where the actor does not manage the account and every project with something of it."""
    if person == actor:
        raise ErasureError(_("Nobody erases themselves: ask another admin."))
    if actor.is_superuser and actor.is_active:
        return
    everywhere = all(role_in(actor, one) == Role.ADMIN for one in projects_of(person))
    if person.is_superuser or not everywhere or not (manages(actor, person) or _stands_in(person)):
        words = _("{name} is not yours alone to manage; ask whoever runs Attune.")
        raise ErasureError(words.format(name=person.shown_name))


def _stands_in(person: User) -> bool:
    """Whether nobody can sign in by this account: it stands for somebody of a file."""
    return not person.is_active and person.username.startswith("imported:")


@transaction.atomic
def start_erasure(project: Project, person: User, *, by: User) -> Job:
    """End the account, take its name away and queue the work; raises ErasureError, AccountError for a last admin."""
    check_may_erase(by, person)
    for one in projects_of(person):
        (name,) = pseudonyms(one, [person.pk]).values()
        Erasure.objects.get_or_create(
            project=one, person=person, defaults={"pseudonym": name, "by": by}
        )
    if person.is_active:
        deactivate(person, by=by)
    _take_name_away(person)
    record_act(Act.PERSON_ERASED, by, project=project.pk, about=person.pk)
    return resume_erasure(project, person, by=by)


def _take_name_away(person: User) -> None:
    """Nothing of the account is left but its number, by which counts are known."""
    person.username, person.first_name = f"erased:{person.pk}", ""
    person.last_name = person.email = person.language = ""
    person.label_keys, person.last_login, person.is_active = {}, None, False
    person.set_unusable_password()
    person.save()
    for relation in User._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ManyToOneRel) or relation.related_name in KEPT:
            continue
        if relation.on_delete is CASCADE:
            rows = relation.related_model._base_manager
            rows.filter(**{relation.field.name: person}).delete()


def resume_erasure(project: Project, person: User, *, by: User) -> Job:
    """The job that erases what is left of a person; one that is under way is it."""
    Project.objects.select_for_update().get(pk=project.pk)  # two presses at once are one
    made = Job.objects.filter(kind=KIND, payload__person=person.pk)
    if running := made.exclude(state__in=FINAL).first():
        return running
    key = f"{KIND}-{person.pk}-{made.count()}"
    return start_job(project, kind=KIND, payload={"person": person.pk}, key=key, by=by)
