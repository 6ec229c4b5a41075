"""What was made of artifacts, however many runs lie between."""

from collections.abc import Collection

from webapp.artifacts.models import MODEL_TYPES, TEXT_TYPES, Artifact

DEEPEST = 12  # generations


def descendants_of(artifacts: Collection[int]) -> set[int]:
    """All that runs made of these, and of what they made, generation by generation: one query each."""
    found: set[int] = set()
    newest = set(artifacts)
    for _ in range(DEEPEST):
        made = Artifact.objects.filter(producer__inputs__artifact__in=newest)
        newest = set(made.values_list("pk", flat=True)) - found
        if not newest:
            break
        found |= newest
    return found


def models_made_of(artifacts: Collection[int]) -> list[Artifact]:
    """The models among these descendants, the newest first."""
    return _made_of(artifacts, MODEL_TYPES)


def texts_made_of(artifacts: Collection[int]) -> list[Artifact]:
    """What holds texts among these descendants, the newest first, each with the run that made it."""
    return _made_of(artifacts, TEXT_TYPES)


def _made_of(artifacts: Collection[int], types: Collection[str]) -> list[Artifact]:
    made = Artifact.objects.filter(pk__in=descendants_of(artifacts), type__in=types)
    return list(made.select_related("producer").order_by("-pk"))
