"""What people see: the pages of cases, pictures and accounts, rendered on the server from the same report as everywhere.

Each page works without a script; scripts add dropping, pasting, live progress, and the tools over the picture.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from veriscope.server import pages_cases, pages_documents, pages_people, pages_pictures
from veriscope.server.pages_rendering import error_page, styles

__all__ = ["error_page", "router"]

router = APIRouter(include_in_schema=False)


@router.get("/static/styles.css")
def stylesheet(request: Request) -> Response:
    """The report's styles and the pages' own, as one file."""
    keep = "public, max-age=31536000, immutable" if request.query_params.get("v") else "no-cache"
    return Response(styles(), media_type="text/css", headers={"Cache-Control": keep})


for part in (pages_cases, pages_documents, pages_pictures, pages_people):
    router.include_router(part.router)
