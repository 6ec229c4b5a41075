"""A project made after another one: how it works and what it wants; no labels, models or runs."""

from django.db import connection, transaction

from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.models import Membership, Project, Wish

OWN = ("id", "name", "form_version", "archived_at", "delete_after", "created_at")  # not copied
PROMPTS = """
    INSERT INTO projects_prompt
    (project_id, key, messages, columns, split, source, standing, author_id, created_at)
    SELECT %s, key, messages, columns, split, source, standing, author_id, created_at FROM projects_prompt
    WHERE project_id = %s AND standing IN ('accepted', 'retired')
    AND (intake_id IS NULL OR intake_id IN (SELECT id FROM datasets_intake WHERE whole)) ORDER BY id
"""
TAGS = """
    INSERT INTO projects_prompttag (prompt_id, name)
    SELECT ours.id, tag.name FROM projects_prompttag tag
    JOIN projects_prompt theirs ON theirs.id = tag.prompt_id AND theirs.project_id = %s
    JOIN projects_prompt ours ON ours.project_id = %s AND ours.key = theirs.key
"""


@transaction.atomic
def copy_project(
    source: Project, name: str, *, by: User, members: bool = False, prompts: bool = False
) -> Project:
    """A new project with the settings, guidelines, form and wishes of another; its maker is admin.

    Its members and its prompts with their tags come along where that is wanted; prompts that wait for a
    review, or were rejected, do not. Raises IntegrityError for a name that is taken.
    """
    copied = [field for field in Project._meta.concrete_fields if field.name not in OWN]
    settings = {field.attname: getattr(source, field.attname) for field in copied}
    made = Project.objects.create(name=name, **settings)
    Membership.objects.create(project=made, user=by, role=Role.ADMIN)
    wishes = source.wishes.values("what", "tag", "split", "wanted")
    Wish.objects.bulk_create(Wish(project=made, **wish) for wish in wishes)
    record_act(Act.PROJECT_MADE, by, project=made.pk, about=made.pk, name=name)
    record_act(Act.PROJECT_COPIED, by, project=source.pk, about=source.pk, copy=made.pk)
    if members:
        _copy_members(source, made, by)
    if prompts:
        _copy_prompts(source, made)
    return made


def _copy_members(source: Project, made: Project, by: User) -> None:
    others = source.memberships.exclude(user=by).values("user_id", "role", "by_name")
    Membership.objects.bulk_create(Membership(project=made, **other) for other in others)


def _copy_prompts(source: Project, made: Project) -> None:
    """By one statement for all: there may be many."""
    with connection.cursor() as cursor:
        cursor.execute(PROMPTS, [made.pk, source.pk])
        cursor.execute(TAGS, [source.pk, made.pk])
