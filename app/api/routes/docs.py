"""The documentation page: Swagger UI, served completely by this process."""

from functools import cache
from importlib.resources import files

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ..http.requests import ApiRequest

_SWAGGER_FILES = {"swagger_bundle.js": "text/javascript", "swagger_style.css": "text/css"}
_PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>videoanalysis: the HTTP API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="{prefix}/docs/assets/swagger_style.css">
    <link rel="stylesheet" href="{prefix}/docs/assets/page.css">
  </head>
  <body>
    <div id="page"></div>
    <noscript>
      This page needs JavaScript. It shows <a href="{prefix}/docs/openapi.json">this document</a>.
    </noscript>
    <script src="{prefix}/docs/assets/swagger_bundle.js"></script>
    <script src="{prefix}/docs/assets/start.js"></script>
  </body>
</html>
"""
_STYLE = "body { margin: 0 }\n"
# `validatorUrl` is off because the badge would send this site's address to another one.
_START = """\
SwaggerUIBundle({
  // The page is at /docs or /docs/, perhaps below the path prefix of a proxy.
  url: location.pathname.replace(/[/]*$/, "/openapi.json"),
  dom_id: "#page", deepLinking: true, validatorUrl: null,
  docExpansion: "list", defaultModelsExpandDepth: 0, tryItOutEnabled: false, persistAuthorization: false
});
"""
_OWN_FILES = {"page.css": ("text/css", _STYLE), "start.js": ("text/javascript", _START)}
# Swagger UI draws its icons from data: URLs.
_POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
_CACHED = {"Cache-Control": "max-age=3600"}


@get("/docs")
async def page(request: ApiRequest) -> Response[str]:
    """Return the page."""
    text = _PAGE.format(prefix=request.options.path_prefix)
    return Response(text, media_type="text/html", headers=_POLICY)


@get(["/openapi.json", "/docs/openapi.json"])
async def document(request: ApiRequest) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(request.app.state.openapi(), media_type="application/json")


@get("/docs/assets/{name:str}", sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """Return a script or a style sheet of the page."""
    if name in _OWN_FILES:
        media_type, text = _OWN_FILES[name]
        return Response(text.encode(), media_type=media_type, headers=_CACHED)
    if name not in _SWAGGER_FILES:
        raise NotFoundException
    return Response(_asset(name), media_type=_SWAGGER_FILES[name], headers=_CACHED)


@cache
def _asset(name: str) -> bytes:
    return (files("offapi") / name).read_bytes()
