"""Measurements; each module is a program whose last line is one JSON object."""

from tests import ground

ground.stand()
