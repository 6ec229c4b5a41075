"""Addresses of the pages that see everything."""

from django.urls import URLPattern, path

from webapp.home import audit, installation_page, needed, upkeep, views

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("installation/", installation_page.show_installation, name="installation"),
    path("installation/jobs/<row:job_id>/", installation_page.try_again, name="try_job_again"),
    path("projects/archived/", views.archived, name="archived"),
    path("p/<row:project_id>/upkeep/", upkeep.upkeep, name="upkeep"),
    path("p/<row:project_id>/copy/", upkeep.make_copy, name="copy_project"),
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
