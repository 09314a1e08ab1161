"""The documentation pages: Swagger UI, with every byte of it from this server."""

from functools import cache
from importlib.resources import files

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from ..http.requests import ApiRequest

_ASSETS = {"swagger_bundle.js": "text/javascript", "swagger_style.css": "text/css"}
_PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>videoanalysis: the HTTP API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/docs/assets/swagger_style.css">
    <link rel="stylesheet" href="/docs/assets/page.css">
  </head>
  <body>
    <div id="page"></div>
    <noscript>This page needs JavaScript. It shows <a href="/docs/openapi.json">this document</a>.</noscript>
    <script src="/docs/assets/swagger_bundle.js"></script>
    <script src="/docs/assets/start.js"></script>
  </body>
</html>
"""
_STYLE = "body { margin: 0 }\n"
# The validator's badge would tell another site about this one.
_START = """\
SwaggerUIBundle({
  url: "/docs/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null,
  docExpansion: "list", defaultModelsExpandDepth: 0, tryItOutEnabled: false, persistAuthorization: true
});
"""
_OURS = {"page.css": ("text/css", _STYLE), "start.js": ("text/javascript", _START)}
# Swagger UI draws its icons from data: URLs.
_POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
_KEEP = {"Cache-Control": "max-age=3600"}


@get("/", include_in_schema=False)
async def root() -> Redirect:
    """To the documentation."""
    return Redirect("/docs")


@get("/docs")
async def page() -> Response[str]:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers=_POLICY)


@get("/docs/openapi.json")
async def document(request: ApiRequest) -> Response[bytes]:
    """The OpenAPI document."""
    return Response(request.app.state.openapi, media_type="application/json")


@get("/docs/assets/{name:str}", sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """A script or a style sheet of the page."""
    if name in _OURS:
        media_type, text = _OURS[name]
        return Response(text.encode(), media_type=media_type, headers=_KEEP)
    if name not in _ASSETS:
        raise NotFoundException
    return Response(_asset(name), media_type=_ASSETS[name], headers=_KEEP)


@cache
def _asset(name: str) -> bytes:
    return (files("offapi") / name).read_bytes()
