"""What there is at which address: a router a topic."""

from ninja import Router

from webapp.api.resources import (
    audit,
    composition,
    datasets,
    files,
    jobs,
    labels,
    members,
    models,
    projects,
    prompts,
    quality,
    rounds,
    runs,
    sweeps,
    webhooks,
)

TOPICS = (
    projects, prompts, labels, composition, quality, members, datasets, files, jobs, runs, rounds, sweeps, models,
    audit, webhooks,
)  # fmt: skip
ROUTERS: tuple[Router, ...] = tuple(each.router for each in TOPICS)
