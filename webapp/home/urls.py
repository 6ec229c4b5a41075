"""Addresses of the pages that see everything."""

from django.urls import URLPattern, path

from webapp.home import audit, needed, views

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("p/<row:project_id>/", views.project, name="project"),
    path("audit/", audit.audit_log, name="audit_of_all"),
    path("audit.csv", audit.audit_file, name="audit_file_of_all"),
    path("p/<row:project_id>/audit/", audit.audit_log, name="audit"),
    path("p/<row:project_id>/audit.csv", audit.audit_file, name="audit_file"),
    path("p/<row:project_id>/advice/", views.advice, name="advice"),
    path("p/<row:project_id>/prompts/", views.prompts, name="prompts"),
    path("p/<row:project_id>/prompts/act/", views.act_on_prompts, name="act_on_prompts"),
    path("p/<row:project_id>/needed/", needed.needed, name="needed"),
    path("p/<row:project_id>/needed/<row:wish_id>/write/", needed.write, name="write_wanted"),
    path("p/<row:project_id>/needed/<row:wish_id>/drop/", needed.drop, name="drop_wish"),
]
