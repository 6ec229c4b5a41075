"""Uploads that are too large never reach the disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile


class LimitedUpload(FileUploadHandler):
    """Drops a file past IMPORT_LIMIT while it arrives; the request then says `upload_too_large`."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass the bytes on, or drop the whole file."""
        if start + len(raw_data) > settings.IMPORT_LIMIT:
            self.request.upload_too_large = True
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> Any:  # noqa: ANN401 - Django's signature
        """Let the next handler make the file."""
        return None
