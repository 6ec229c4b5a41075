"""The page that asks what teaches most: tasks chosen by the newest scores, and what such labels have brought."""

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.artifacts.models import Artifact
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.quality.allocation import newest_scores, start_allocation
from webapp.quality.forms import AllocationForm
from webapp.quality.outcomes import allocation_outcomes


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def allocation(request: PersonRequest, project_id: int) -> HttpResponse:
    """Choose tasks by what they would teach; what labels of such tasks say beside those of chance."""
    project = project_for(request.user, project_id, can=Action.MAKE_TASKS)
    found = newest_scores(project)
    form = AllocationForm(request.POST or None, scores=found) if found else None
    if form and form.is_valid():
        key = str(form.cleaned_data["key"])
        job = start_allocation(project, form.wish, key=key, by=request.user)
        return redirect("jobs:detail", project.pk, job.pk)
    context: dict[str, object] = {
        "project": project,
        "scores": found,
        "form": form,
        "outcomes": allocation_outcomes(project),
    }
    reward = newest_reward(project)
    context |= {"reward": reward, "older": found and reward and is_older(found, reward)}
    return render(request, "quality/allocation.html", context)


def newest_reward(project: Project) -> Artifact | None:
    """The newest reward model that training labels taught."""
    rewards = project.artifacts.reward_models()
    return rewards.exclude(producer__config__labels="validation").first()


def is_older(scores: Artifact, reward: Artifact) -> bool:
    """Whether another reward model made the scores, and this one has come since."""
    return reward.pk > scores.pk


@login_required
@require_safe
def download_scores(request: PersonRequest, project_id: int, artifact_id: int) -> FileResponse:
    """The answers that a run has scored, as JSON lines."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    found = project.artifacts.filter(type=Artifact.Type.SCORES, producer__kind="score")
    path = get_object_or_404(found, pk=artifact_id).path / "scores.jsonl"
    if not path.is_file():
        raise Http404
    name = f"scores-{artifact_id}.jsonl"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name)
