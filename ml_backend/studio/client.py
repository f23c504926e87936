"""Our client of Label Studio's API: tokens, retries, and one clear sentence for everything that can go wrong."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

Json = dict[str, Any]
UPDATED = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only format that Label Studio's filters accept
HOPS = 5  # redirects
_FIELDS = "id,data,updated_at,is_labeled,annotations,result,was_cancelled,completed_by,lead_time,ground_truth"


class StudioError(Exception):
    """Label Studio refused or could not be reached; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ElsewhereError(StudioError):
    """Label Studio sends on to another host; `url` is where."""

    def __init__(self, url: str) -> None:
        super().__init__(f"Label Studio sends on to {url.partition('?')[0]}.", 302)  # the query may be a signature
        self.url = url


def token_kind(token: str) -> str:
    """'personal' for a personal access token (a JWT), 'legacy' for the 40-hex user token, else 'unknown'."""
    if token.count(".") == 2:
        payload = token.split(".")[1]
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError):
            return "unknown"
        return "personal" if claims.get("token_type", "refresh") == "refresh" else "unknown"
    return "legacy" if len(token) == 40 and all(c in "0123456789abcdef" for c in token) else "unknown"


class Studio:
    """One Label Studio and one token. Safe to share between threads.

    url: where it answers, with a path if it lives under one. Calls raise StudioError.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.kind = token_kind(token)
        self._http = httpx.Client(timeout=httpx.Timeout(timeout, connect=5.0), follow_redirects=True)
        self._access: tuple[str, float] = ("", 0.0)
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    def _authorization(self) -> str:
        if self.kind != "personal":
            return f"Token {self.token}"
        with self._lock:
            access, expires = self._access
            if time.monotonic() > expires:
                answer = self._send("POST", "/api/token/refresh/", json={"refresh": self.token}, authorized=False)
                access = answer.json()["access"]
                self._access = (access, time.monotonic() + 240)  # it lives 300 s
        return f"Bearer {access}"

    def _send(self, method: str, path: str, *, authorized: bool = True, **request: Any) -> httpx.Response:
        headers = {"Authorization": self._authorization()} if authorized else {}
        try:
            answer = self._http.request(method, self.url + path, headers=headers, **request)
        except httpx.InvalidURL as error:
            raise StudioError(f"'{self.url}' is not a URL ({error}); give http://host:port of Label Studio.") from error
        except httpx.HTTPError as error:
            what = type(error).__name__
            raise StudioError(
                f"Label Studio at {self.url} does not answer ({what}: {error}); is it running?"
            ) from error
        if answer.is_error:
            raise StudioError(_explain(answer, path, self.url), answer.status_code)
        return answer

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The decoded JSON of an API call, None where the body is empty. GETs are tried again once."""
        try:
            answer = self._send(method, path, **request)
        except StudioError as error:
            if method != "GET" or error.status not in (0, 502, 503, 504):
                raise
            answer = self._send(method, path, **request)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise StudioError(
                f"{self.url}{path} did not answer with JSON; is {self.url} really Label Studio?", answer.status_code
            ) from None

    # projects

    def whoami(self) -> Json:
        return dict(self.call("GET", "/api/current-user/whoami"))

    def version(self) -> Json:
        return dict(self.call("GET", "/api/version"))

    def project(self, project: int) -> Json:
        return dict(self.call("GET", f"/api/projects/{project}"))

    def update_project(self, project: int, **fields: Any) -> Json:
        return dict(self.call("PATCH", f"/api/projects/{project}", json=fields))

    def create_project(self, **fields: Any) -> Json:
        return dict(self.call("POST", "/api/projects/", json=fields))

    def import_tasks(self, project: int, tasks: list[Json]) -> list[int]:
        answer = self.call("POST", f"/api/projects/{project}/import?return_task_ids=1", json=tasks)
        return list(answer["task_ids"])

    # tasks

    def tasks(
        self, project: int, *, updated_after: str | None = None, page_size: int = 1000, include: str = _FIELDS
    ) -> Iterator[Json]:
        """Tasks with id, data, updated_at, is_labeled and annotations; only those changed after a moment if given.

        include: the fields, separated by commas, if not all of these are needed.
        """
        filters = [{"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime"}]
        query: Json = {"ordering": ["tasks:id"]}
        if updated_after is not None:
            query["filters"] = {"conjunction": "and", "items": [{**filters[0], "value": updated_after}]}
        page = 1
        while True:
            parameters = {
                "project": project,
                "page": page,
                "page_size": page_size,
                "fields": "all",
                "resolve_uri": "false",
                "include": include,
                "query": json.dumps(query),
            }
            try:
                answer = self.call("GET", "/api/tasks", params=parameters)
            except StudioError as error:
                if error.status == 404 and page > 1:
                    return  # the last page was full
                raise
            yield from answer["tasks"]
            if page * page_size >= answer["total"]:
                return
            page += 1

    def task(self, task: int) -> Json:
        return dict(self.call("GET", f"/api/tasks/{task}/"))

    def waiting(self, project: int, tasks: Sequence[int], page_size: int = 500) -> dict[int, frozenset[str]]:
        """Those of `tasks` that still exist and are not labeled, each with its predictions' model versions."""
        waiting: dict[int, frozenset[str]] = {}
        for start in range(0, len(tasks), page_size):
            chosen = {"all": False, "included": [int(task) for task in tasks[start : start + page_size]]}
            parameters = {
                "project": project,
                "page_size": page_size,
                "fields": "all",
                "resolve_uri": "false",
                "include": "id,is_labeled,predictions_model_versions",
                "query": json.dumps({"selectedItems": chosen}),
            }
            for row in self.call("GET", "/api/tasks", params=parameters)["tasks"]:
                if not row["is_labeled"]:
                    versions = str(row["predictions_model_versions"] or "").split(",")
                    waiting[int(row["id"])] = frozenset(versions) - {""}
        return waiting

    def next_task(self, project: int) -> Json | None:
        """What Label Studio's own queue serves next to this token's user; None when nothing is left."""
        try:
            return dict(self.call("GET", f"/api/projects/{project}/next"))
        except StudioError as error:
            if error.status == 404:
                return None
            raise

    def annotate(self, task: int, result: list[Json], **fields: Any) -> Json:
        return dict(self.call("POST", f"/api/tasks/{task}/annotations/", json={"result": result, **fields}))

    # predictions

    def import_predictions(self, project: int, predictions: list[Json]) -> int:
        """Writes predictions and returns how many Label Studio says it created: it drops invalid ones silently."""
        return int(self.call("POST", f"/api/projects/{project}/import/predictions", json=predictions)["created"])

    def model_versions(self, project: int) -> dict[str, int]:
        """Predictions per model_version."""
        answer = self.call("GET", f"/api/projects/{project}/model-versions/")
        return {str(version): int(count) for version, count in answer.items()}

    def delete_version(self, project: int, model_version: str) -> None:
        """Deletes a version's predictions. Deleting the project's current one turns the queue random: never do."""
        self.call("DELETE", f"/api/projects/{project}/model-versions/", json={"model_version": model_version})

    # the connection

    def backends(self, project: int) -> list[Json]:
        return list(self.call("GET", "/api/ml/", params={"project": project}))

    def add_backend(self, project: int, **fields: Any) -> Json:
        return dict(self.call("POST", "/api/ml/", json={"project": project, **fields}))

    def update_backend(self, backend: int, **fields: Any) -> Json:
        return dict(self.call("PATCH", f"/api/ml/{backend}", json=fields))

    def delete_backend(self, backend: int) -> None:
        self.call("DELETE", f"/api/ml/{backend}")

    def webhooks(self, project: int) -> list[Json]:
        return list(self.call("GET", "/api/webhooks/", params={"project": project}))

    def add_webhook(self, project: int, **fields: Any) -> Json:
        return dict(self.call("POST", "/api/webhooks/", json={"project": project, **fields}))

    def delete_webhook(self, webhook: int) -> None:
        self.call("DELETE", f"/api/webhooks/{webhook}/")

    # files

    def owns(self, url: str) -> bool:
        """Same scheme, host and port as Label Studio, and under its path: what may see the token. Read by the parser
        that also sends the request, so that no URL can look like one host and reach another. httpx.InvalidURL."""
        asked, own = httpx.URL(url), httpx.URL(self.url)
        same = (asked.scheme, asked.host, asked.port) == (own.scheme, own.host, own.port)
        return same and asked.path.startswith(own.path.rstrip("/") + "/")

    def download(self, url: str, *, limit: int, seconds: float = 60.0, cut: bool = False) -> bytes:
        """The bytes behind a URL of this Label Studio, at most `limit`, with the token's authority.

        seconds: for all of it, however slowly it comes. cut: more than `limit` bytes are no error, the rest is left.
        Where Label Studio sends elsewhere, to its storage say, the token does not follow: raises ElsewhereError.
        """
        deadline = time.monotonic() + seconds
        try:
            for _ in range(HOPS):
                headers = {"Authorization": self._authorization(), "Accept-Encoding": "identity"}
                with self._http.stream("GET", url, headers=headers, follow_redirects=False) as answer:
                    if not answer.has_redirect_location:
                        return _body(answer, url, limit, deadline, cut=cut)
                    target = str(answer.url.join(answer.headers["location"]))
                if not self.owns(target):
                    raise ElsewhereError(target)
                url = target
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StudioError(f"{url} cannot be read ({type(error).__name__}: {error}).") from error
        raise StudioError(f"{url} is sent on more than {HOPS} times.")


def _body(answer: httpx.Response, url: str, limit: int, deadline: float, *, cut: bool) -> bytes:
    if answer.is_error:
        raise StudioError(f"{url} answered {answer.status_code}.", answer.status_code)
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > limit and not cut:
            raise StudioError(f"{url} is larger than {limit} bytes.", 413)
        if size >= limit and cut:
            break
        if time.monotonic() > deadline:
            raise StudioError(f"{url} took too long.")
    return b"".join(parts)[:limit]


def _explain(answer: httpx.Response, path: str, url: str) -> str:
    try:
        body = answer.json()
        detail = (
            str(body.get("validation_errors") or body.get("detail") or body) if isinstance(body, dict) else str(body)
        )
    except ValueError:
        detail = answer.text[:200]
    remedy = {
        401: " Check the token: a personal access token, or a legacy token where the organization allows them.",
        403: " The token's user may lack access, or Label Studio blocks private addresses "
        "(ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false allow them).",
        404: " It may have been deleted, or the token's user cannot see it.",
    }.get(answer.status_code, "")
    return f"Label Studio at {url} answered {answer.status_code} to {path.split('?')[0]}: {detail[:300]}.{remedy}"
