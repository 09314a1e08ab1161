"""The pages: one HTML document, and the files that it loads. They hold no data: that comes from the API."""

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ...pages import POLICY, PageFile, find_file, index_file
from ..http.conditions import is_not_modified
from ..http.requests import ApiRequest


@get("/", include_in_schema=False, sync_to_thread=True)
def index(request: ApiRequest) -> Response[bytes]:
    """Return the document."""
    return _answer(request, index_file())


@get("/pages/{path:path}", include_in_schema=False, sync_to_thread=True)
def page_file(request: ApiRequest, path: FromPath[str]) -> Response[bytes]:
    """Return a module, a style sheet or a picture of the pages."""
    file = find_file(path)
    if file is None:
        raise NotFoundException
    return _answer(request, file)


def _answer(request: ApiRequest, file: PageFile) -> Response[bytes]:
    # no-cache: browsers ask each time, so that an upgrade never mixes modules of two releases.
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "ETag": file.entity_tag}
    if is_not_modified(request, file.entity_tag):
        return Response(b"", status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
