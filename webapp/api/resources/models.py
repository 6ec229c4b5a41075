"""Stored models."""

from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import ModelSchema
from webapp.artifacts.models import MODEL_TYPES, Artifact
from webapp.projects.access import Action

router = Router(tags=["models"])


@router.get("/projects/{project_id}/models", response=PageSchema[ModelSchema])
def list_models(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[Artifact]:
    """Models of every type, the newest first."""
    project = open_project(request, project_id, Action.SEE_MODELS)
    return list_part(project.artifacts.filter(type__in=MODEL_TYPES), paging, newest=True)


@router.get("/projects/{project_id}/models/{model_id}", response=ModelSchema)
def get_model(request: ApiRequest, project_id: RowId, model_id: RowId) -> Artifact:
    """One model."""
    project = open_project(request, project_id, Action.SEE_MODELS)
    return get_object_or_404(project.artifacts, type__in=MODEL_TYPES, pk=model_id)
