"""What there is at which address: a router a topic."""

from ninja import Router

from webapp.api.resources import (
    datasets,
    files,
    jobs,
    labels,
    models,
    projects,
    prompts,
    rounds,
    runs,
)

ROUTERS: tuple[Router, ...] = tuple(
    each.router for each in (projects, prompts, labels, datasets, files, jobs, runs, rounds, models)
)
