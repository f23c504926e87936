"""The pages for people: one module each, found by themselves.

A page is a module of this package with a `router`; if it belongs to a project it has a `TAB` too, and then stands in
the project's navigation at /projects/{project_id}/PATH. Its template extends templates/base.html. A whole page:

    from fastapi import APIRouter, Request, Response

    from ml_backend.server.admin import Known, Open
    from ml_backend.server.forms import Filled
    from ml_backend.server.pages.frame import Admin, Tab, back, page
    from ml_backend.server.pages.live import events_of

    TAB = Tab("Queue", "queue", order=20)
    router = APIRouter(prefix="/projects/{project_id}/queue", include_in_schema=False)

    @router.get("")
    def show(request: Request, session: Open, project: Known) -> Response:
        return page(request, "queue.html", title="Queue", project=project, items=..., events=events_of(project.id))

    @router.post("/{task_id}/pin")
    def pin(request: Request, admin: Admin, form: Filled, project: Known, task_id: int) -> Response:
        ...  # `Admin` has checked role and CSRF token
        return back(request, f"/projects/{project.id}/queue", f"Task {task_id} is first now.")

- Every page is for people who are logged in: the application asks, so a route need not. `Admin` is for changes (POST
  alone); who only looks and needs to know who they are takes `Visitor`.
- Every form carries the session's token: `<form method="post" action="...">{{ parts.csrf(csrf) }}...</form>`, or
  `{{ parts.button(action, label, csrf) }}`. htmx sends it by itself in a header, so `hx-post` needs no field.
- `caller.may_write` tells a template whether to show what changes things.
- What is to change without a reload stands in an element with an `id` and `data-live`; give `page(..., events=...)`.
- A chart is `{{ parts.chart(id, title, figure, head, rows) }}`: `figure` is Plotly's {"data": ..., "layout": ...};
  `head` and `rows` are the table behind it. Such a page says `{% block scripts %}{{ parts.plotly() }}{% endblock %}`.
- Colours come from static/nextlabel.css alone (custom properties, light and dark); no script and no style stands
  inline, and nothing is fetched from another host.
"""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import APIRouter

from ml_backend.server.pages.frame import Tab


def found() -> tuple[list[APIRouter], list[Tab]]:
    """Every page's router, and the tabs in their order."""
    routers, tabs = [], []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        loaded = importlib.import_module(module.name)
        if isinstance(router := getattr(loaded, "router", None), APIRouter):
            routers.append(router)
        if isinstance(tab := getattr(loaded, "TAB", None), Tab):
            tabs.append(tab)
    return routers, sorted(tabs, key=lambda tab: tab.order)
