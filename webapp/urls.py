"""All addresses; a project's pages live below /p/<project>/."""

from django.urls import URLPattern, URLResolver, include, path

from webapp.people.urls import sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include(sign_in)),
    path("", include("webapp.people.urls")),
    path("", include("webapp.home.urls")),
    path("", include("webapp.projects.urls")),
    path("", include("webapp.notifications.urls")),
    path("", include("webapp.api.urls")),
    path("p/<row:project_id>/", include("webapp.people.member_urls")),
    path("p/<row:project_id>/", include("webapp.labeling.urls")),
    path("p/<row:project_id>/", include("webapp.quality.urls")),
    path("p/<row:project_id>/", include("webapp.datasets.urls")),
    path("p/<row:project_id>/", include("webapp.erasure.urls")),
    path("p/<row:project_id>/", include("webapp.registry.urls")),
    path("p/<row:project_id>/", include("webapp.home.runs_urls")),
    path("p/<row:project_id>/", include("webapp.rounds.urls")),
    path("p/<row:project_id>/", include("webapp.sweeps.urls")),
    path("p/<row:project_id>/", include("webapp.jobs.urls")),
    path("p/<row:project_id>/", include("webapp.webhooks.urls")),
]
handler500 = "webapp.machine.outages.broken"
