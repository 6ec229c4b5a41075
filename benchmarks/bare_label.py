"""The least that a label's POST can be: its rows read and written by plain statements of the ORM, its card rendered.

Behind the same middleware it reads session, person and membership, locks a row, inserts one, updates two, takes
the next by an index and renders the same card. It keeps none of the promises: `benchmarks.web_settings` alone
serves it, beside the addresses of the product.
"""

from django.db import transaction
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path

from webapp import urls
from webapp.accounts.requests import PersonRequest
from webapp.labeling.keys import chosen_keys
from webapp.labeling.models import Assignment, Label, Task
from webapp.projects.models import Membership
from webapp.rendering.services import render_short


def label(request: PersonRequest, project_id: int) -> HttpResponse:
    """Store what was posted about one's card, and show the next task on it."""
    person = request.user
    member = Membership.objects.select_related("project").get(project=project_id, user=person.pk)
    with transaction.atomic():
        card = Assignment.objects.select_for_update().get(
            pk=request.POST["assignment"], annotator=person.pk
        )
        Label.objects.create(
            task_id=card.task_id,
            project_id=project_id,
            assignment=card,
            annotator=card.annotator,
            client_id=request.POST["client_id"],
            answer={"choice": request.POST["choice"]},
            verdict="0>1",
            retracted=True,
        )
        Assignment.objects.filter(pk=card.pk).update(draft_revision=F("draft_revision") + 1)
        Task.objects.filter(pk=card.task_id).update(skips=0)
        rows = Task.objects.filter(project=member.project, taken__lt=F("need"))
        task = rows.select_related("prompt").order_by("priority", "key")[0]
    task.completions = [item.completion for item in task.items.all()]
    card.task = task
    texts = [task.prompt.text, *(each.text for each in task.completions)]
    shown = {text: render_short(text) for text in texts}
    context = {"cards": [card], "renderings": shown, "keys": chosen_keys(person)}
    return render(request, "labeling/label.html#cards", context)


handler500 = urls.handler500
urlpatterns = [path("p/<row:project_id>/floor/", label), *urls.urlpatterns]
