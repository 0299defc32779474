"""The console: static files out of the package, with a policy under which nothing else runs or is asked for."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Response

from ray_jobs.service.answers import NotFound, Told

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
}
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
PAGES = ("/", "/runs/{run_id}", "/records/{run_id}", "/new", "/workbench", "/compare", "/engines", "/api", "/login")


def assets() -> dict[str, Traversable]:
    """The console's files by their path below /static."""
    found = dict[str, Traversable]()
    folder = files("ray_jobs.service").joinpath("console")
    for item in folder.iterdir():
        inner = (
            [(f"{item.name}/{file.name}", file) for file in item.iterdir()] if item.is_dir() else [(item.name, item)]
        )
        found.update((name, file) for name, file in inner if name[name.rfind(".") :] in TYPES)
    return found


def router() -> APIRouter:
    """The pages, which are one document, and its files."""
    routes = APIRouter(route_class=Told, include_in_schema=False)
    found = assets()

    def answer(name: str) -> Response:
        kind = TYPES[name[name.rfind(".") :]]
        return Response(found[name].read_bytes(), media_type=f"{kind}; charset=utf-8", headers=HEADERS)

    def page() -> Response:
        return answer("index.html")

    for path in PAGES:
        routes.add_api_route(path, page, methods=["GET"])

    @routes.get("/static/{name:path}")
    def static(name: str) -> Response:
        if name not in found:
            raise NotFound(f"/static/{name}: there is no such file")
        return answer(name)

    return routes
