"""Uploads that are too large never reach the disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest

from webapp.machine.bodies import was_cut


class LimitedUpload(FileUploadHandler):
    """Drops files past IMPORT_LIMIT together while they arrive.

    It drops every file of somebody who is not signed in: forms are read before a view looks who asks.
    """

    taken = 0  # bytes of one request
    dropped = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass the bytes on, or drop the whole file."""
        self.taken += len(raw_data)
        if self.taken > settings.IMPORT_LIMIT or not self._is_whole():
            self.dropped = True
            raise SkipFile
        return raw_data

    def _is_whole(self) -> bool:
        """Whether somebody who is known sends it, and all of it came."""
        request = self.request
        return request is not None and request.user.is_authenticated and not was_cut(request)

    def file_complete(self, file_size: int) -> Any:  # noqa: ANN401 - Django's signature
        """Let the next handler make the file."""
        return None


def is_too_large(request: HttpRequest) -> bool:
    """Whether files of a request that was read were dropped."""
    handlers = request.upload_handlers
    return any(one.dropped for one in handlers if isinstance(one, LimitedUpload))
