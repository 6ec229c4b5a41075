"""The settings, with the floor's address, and with what each answer cost in its headers."""

from webapp.settings import *  # noqa: F403
from webapp.settings import MIDDLEWARE as USUAL

ROOT_URLCONF = "benchmarks.bare_label"
MIDDLEWARE = ["benchmarks.costs.Costs", *USUAL]
