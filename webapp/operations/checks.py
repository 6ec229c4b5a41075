"""What `manage.py check` says of the environment, where nothing has to stop."""

from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def environment_known(app_configs: object = None, **_: object) -> list[CheckMessage]:
    """A warning for each variable that is none of ours, and for each folder of models that is not there."""
    missing = [
        f"ATTUNE_MODEL_FOLDERS names {folder}, which is not there (yet)."
        for folder in settings.MODEL_FOLDERS
        if not Path(folder).is_dir()
    ]
    return [
        Warning(sentence, id=f"attune.W00{number}")
        for number, sentences in enumerate((settings.UNKNOWN_VARIABLES, missing), start=1)
        for sentence in sentences
    ]
