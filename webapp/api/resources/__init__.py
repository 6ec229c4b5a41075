"""What there is at which address: a router a topic."""

from ninja import Router

from webapp.api.resources import (
    datasets,
    jobs,
    labels,
    models,
    projects,
    prompts,
    rounds,
    runs,
)

ROUTERS: tuple[Router, ...] = tuple(
    each.router for each in (projects, prompts, labels, datasets, jobs, runs, rounds, models)
)
