"""Uploads that are too large never reach the disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile


class LimitedUpload(FileUploadHandler):
    """Drops files past IMPORT_LIMIT together while they arrive; the request then says `upload_too_large`.

    It drops every file of somebody who is not signed in: forms are read before a view looks who asks.
    """

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass the bytes on, or drop the whole file."""
        known = self.request.user.is_authenticated
        taken = getattr(self.request, "upload_bytes", 0) + len(raw_data)
        self.request.upload_bytes = taken
        if not known or taken > settings.IMPORT_LIMIT:
            self.request.upload_too_large = True
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> Any:  # noqa: ANN401 - Django's signature
        """Let the next handler make the file."""
        return None
