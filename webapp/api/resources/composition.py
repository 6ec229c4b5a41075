"""How a project asks its tasks."""

from ninja import Router
from pydantic import ValidationError

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.errors import FieldsError
from webapp.api.filled import filled
from webapp.api.paging import RowId
from webapp.api.schemas import FormSchema
from webapp.api.sent import FormSent
from webapp.labeling.composing import SAME_NAME, CompositionForm, composed, first_shown
from webapp.labeling.composition import Attribute, Form, composition_of, form_of
from webapp.labeling.services import change_form
from webapp.projects.access import Action
from webapp.projects.models import Project

router = Router(tags=["composition"])


@router.get("/projects/{project_id}/form", response=FormSchema)
def get_form(request: ApiRequest, project_id: RowId) -> dict[str, object]:
    """The form as it is now, with all that nobody has chosen."""
    return _told(form_of(open_project(request, project_id, Action.COMPOSE_FORM)))


def _told(form: Form) -> dict[str, object]:
    return {"number": form.number, "composition": form.composition.model_dump(mode="json")}


@router.post("/projects/{project_id}/form", response=FormSchema, operation_id="change_form")
def compose_anew(request: ApiRequest, project_id: RowId, sent: FormSent) -> dict[str, object]:
    """Ask by another form from now on; `seen` is the number of the one that it was made from, where that matters."""
    project = open_project(request, project_id, Action.COMPOSE_FORM)
    before = composition_of(project)
    form = filled(
        CompositionForm, sent.options, project=project, initial=first_shown(project, before)
    )
    try:
        scales = before.attributes
        if sent.attributes is not None:
            scales = tuple(Attribute(**one.dict()) for one in sent.attributes)
        chosen = composed(form, scales)
    except ValidationError:
        raise FieldsError({"attributes": str(SAME_NAME)}) from None
    change_form(project, chosen, seen=form.cleaned_data["seen"], by=request.user)
    return _told(form_of(Project.objects.get(pk=project.pk)))
