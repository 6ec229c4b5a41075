"""The web application, as `webapp.serving` and other servers find it."""

import os

from django.core.wsgi import get_wsgi_application

from webapp.machine.database import share_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
application = get_wsgi_application()
share_connections()
