"""What is done with many prompts at once: tags given and taken away, prompts retired and restored."""

from collections.abc import Callable, Mapping, Sequence

from django.db import transaction

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.models import LONGEST_TAG, Project, Prompt, PromptStanding, PromptTag

MOST_TAGS = 10  # that somebody gives at once


def tags_in(text: str) -> list[str]:
    """The tags that somebody has written with commas between, each once and in small letters."""
    names = (" ".join(part.split()).lower()[:LONGEST_TAG] for part in text.split(","))
    return list(dict.fromkeys(name for name in names if name))[:MOST_TAGS]


@transaction.atomic
def tag_prompts(project: Project, prompts: Sequence[int], tag: str) -> list[int]:
    """Give prompts of the project a tag; those that did not have it."""
    ours = _locked(project, prompts)
    having = set(
        PromptTag.objects.filter(name=tag, prompt__in=ours).values_list("prompt", flat=True)
    )
    new = [pk for pk in ours if pk not in having]
    PromptTag.objects.bulk_create(PromptTag(prompt_id=pk, name=tag) for pk in new)
    return new


@transaction.atomic
def untag_prompts(project: Project, prompts: Sequence[int], tag: str) -> list[int]:
    """Take a tag from prompts of the project; those that had it."""
    having = PromptTag.objects.filter(name=tag, prompt__in=_locked(project, prompts))
    found = list(having.values_list("prompt", flat=True))
    having.delete()
    return found


def retire_prompts(project: Project, prompts: Sequence[int], _tag: str = "") -> list[int]:
    """Let no run and no new task use these prompts; those that were used until now."""
    return _stand(project, prompts, PromptStanding.ACCEPTED, PromptStanding.RETIRED)


def restore_prompts(project: Project, prompts: Sequence[int], _tag: str = "") -> list[int]:
    """Let retired prompts be used again; those that were retired."""
    return _stand(project, prompts, PromptStanding.RETIRED, PromptStanding.ACCEPTED)


@transaction.atomic
def _stand(project: Project, prompts: Sequence[int], before: str, after: str) -> list[int]:
    found = _locked(project, prompts, standing=before)
    Prompt.objects.filter(pk__in=found).update(standing=after)
    return found


def _locked(project: Project, prompts: Sequence[int], **columns: str) -> list[int]:
    """Those of these prompts that are the project's, locked until the end of the transaction."""
    ours = Prompt.objects.filter(project=project, pk__in=list(prompts), **columns)
    return list(ours.order_by("pk").select_for_update().values_list("pk", flat=True))


ACTS: Mapping[str, Callable[[Project, Sequence[int], str], list[int]]] = {
    "tag": tag_prompts,
    "untag": untag_prompts,
    "retire": retire_prompts,
    "restore": restore_prompts,
}
UNDONE_BY = {"tag": "untag", "untag": "tag", "retire": "restore", "restore": "retire"}


@transaction.atomic
def change_prompts(
    project: Project, act: str, prompts: Sequence[int], tag: str, *, by: User | None
) -> list[int]:
    """Do one of ACTS with prompts of the project; those that it has changed."""
    changed = ACTS[act](project, prompts, tag)
    if changed:
        number = len(changed)
        record_act(Act.PROMPTS_CHANGED, by, project=project.pk, what=act, tag=tag, prompts=number)
    return changed
