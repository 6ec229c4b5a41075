"""What there is at which address: a router a topic."""

from ninja import Router

from webapp.api.resources import (
    audit,
    datasets,
    files,
    jobs,
    labels,
    models,
    projects,
    prompts,
    rounds,
    runs,
    webhooks,
)

TOPICS = (
    projects, prompts, labels, datasets, files, jobs, runs, rounds, models, audit, webhooks
)  # fmt: skip
ROUTERS: tuple[Router, ...] = tuple(each.router for each in TOPICS)
