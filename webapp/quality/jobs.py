"""The job that measures a project's labels."""

from functools import partial
from typing import Any

from django.db.models import Max
from django.db.models.functions import Now

from webapp.jobs.models import Job
from webapp.jobs.work import Work, at_once
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.quality.measures import Measures
from webapp.quality.models import QualityReport
from webapp.quality.readings import TASKS, tasks_answered


def measure_labels(job: Job) -> Work:
    """Read all labels, task by task, and keep what they say."""
    newest, total = newest_label(job.project), job.project.tasks.count()
    measures, done = Measures(), 0
    for answered in tasks_answered(job.project):
        for task in answered:
            measures.feed(task)
        done += TASKS
        yield min(done, total), total
    return partial(_keep, job.project, measures.figures(), newest)


def measure_now(project: Project) -> None:
    """The same at once, for who waits for it at a terminal."""
    at_once(measure_labels(Job(project=project)))


def newest_label(project: Project) -> int:
    """The number of the last label of a project; 0 where there is none."""
    last = Label.objects.filter(project=project).aggregate(pk=Max("pk"))["pk"]
    return last or 0


def _keep(project: Project, figures: dict[str, Any], newest: int) -> dict[str, Any]:
    columns = {"figures": figures, "newest": newest, "made_at": Now()}
    QualityReport.objects.update_or_create(project=project, defaults=columns)
    return {"labels": figures["labels"]}
