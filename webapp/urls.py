"""All addresses; a project's pages live below /p/<project>/."""

from django.urls import URLPattern, URLResolver, include, path

from webapp.accounts.urls import sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include(sign_in)),
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.projects.urls")),
    path("p/<int:project_id>/", include("webapp.labeling.urls")),
    path("p/<int:project_id>/", include("webapp.datasets.urls")),
    path("p/<int:project_id>/", include("webapp.registry.urls")),
    path("p/<int:project_id>/", include("webapp.runs.urls")),
    path("p/<int:project_id>/", include("webapp.rounds.urls")),
    path("p/<int:project_id>/", include("webapp.jobs.urls")),
]
handler500 = "webapp.machine.full.broken"
