"""Write the schema of the interface as it is kept: `python -m tests.webapp.api.schema`."""

import json
import os
from pathlib import Path

import django

KEPT = Path(__file__).parents[3] / "docs" / "openapi.json"


def written() -> str:
    """The schema as text."""
    from webapp.api.service import service  # noqa: PLC0415 - once Django is set up

    return json.dumps(service.get_openapi_schema(), indent=1, default=str) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    KEPT.write_text(written(), encoding="utf-8")
