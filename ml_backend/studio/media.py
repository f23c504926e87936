"""From the URLs in tasks to image files on this machine, kept by content."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import posixpath
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx

from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.client import ElsewhereError, Studio, StudioError
from ml_backend.studio.elsewhere import Elsewhere
from ml_backend.studio.image_check import check_image as check_image  # a door for simulation too
from ml_backend.studio.local_files import ROUTE
from ml_backend.studio.media_errors import MediaError as MediaError
from ml_backend.studio.media_errors import refused_by, shortened
from ml_backend.studio.own_links import OwnLinks

STORAGE_SCHEMES = ("s3", "gs", "azure-blob", "azure_spi")


@dataclass(frozen=True)
class Fetched:
    """contents: task id -> SHA-256 (hex) of its file. problems: task id -> (kind, one sentence)."""

    contents: dict[int, str] = field(default_factory=dict)
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)


class MediaCache:
    """Files by the SHA-256 of their bytes under `root`, each decoded once before it is kept.

    local_root: the folder that Label Studio serves under /data/local-files/, where it is on this machine; files are
    then read straight from it. hosts: who else may be asked, nobody by default; Label Studio itself and the storages
    that it sends us to are always. links: the backend's own addresses of stored frames. byte_limit, seconds: of one
    file. threads: downloads and decodings at a time.
    The token goes to Label Studio's own origin and nowhere else, redirects included.
    """

    def __init__(
        self,
        root: Path,
        studio: Studio,
        *,
        local_root: Path | None,
        hosts: AllowedHosts | None = None,
        links: OwnLinks | None = None,
        byte_limit: int = 100 * 2**20,
        threads: int = 8,
        seconds: float = 60.0,
    ) -> None:
        self.root = root
        self.studio = studio
        self.local_root = local_root.resolve() if local_root else None
        self.byte_limit = byte_limit
        self.threads = threads
        self.seconds = seconds
        self.links = links
        self._elsewhere = Elsewhere(hosts or AllowedHosts(), byte_limit=byte_limit, seconds=seconds)
        root.mkdir(parents=True, exist_ok=True)

    def path(self, content: str) -> Path:
        return self.root / content[:2] / content

    def has(self, content: str) -> bool:
        return self.path(content).is_file()

    def fetch(self, items: Sequence[tuple[int, str]], progress: Callable[[int, int], None] | None = None) -> Fetched:
        """Brings the images of (task id, URL) here; a URL that several tasks share is read once.

        Problem kinds: image_missing, image_forbidden, image_unreachable (try again later), image_unreadable (not an
        image, damaged, or absurdly large once decoded), image_too_large, image_bad_url, image_refused (its host or
        address is not allowed, or it is no file).
        """
        tasks: dict[str, list[int]] = defaultdict(list)
        for task, url in items:
            tasks[url].append(task)
        fetched, done = Fetched(), 0
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="media")
        try:
            futures = {pool.submit(self._bring, sharing[0], url): sharing for url, sharing in tasks.items()}
            for future in as_completed(futures):
                sharing = futures[future]
                try:
                    fetched.contents.update(dict.fromkeys(sharing, future.result()))
                except MediaError as error:
                    fetched.problems.update(dict.fromkeys(sharing, (error.kind, str(error))))
                done += len(sharing)
                if progress is not None:
                    progress(done, len(items))
        finally:
            pool.shutdown(cancel_futures=True)
        return fetched

    def _bring(self, task: int, url: str) -> str:
        data = self._read(task, url)
        content = hashlib.sha256(data).hexdigest()
        if not self.has(content):
            check_image(data, shortened(url))
            self._keep(content, data)
        return content

    def _keep(self, content: str, data: bytes) -> None:
        path = self.path(content)
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def local_file(self, url: str) -> Path | None:
        """Where the file of a URL lies on this machine: one that Label Studio serves from its disk, or a link of ours.

        None where it must be fetched. Raises MediaError.
        """
        try:
            parts, own = urlsplit(url), self.studio.owns(url)
        except (ValueError, httpx.InvalidURL):
            return None  # fetching it says what is wrong
        if own or (not parts.scheme and not parts.netloc):
            found = self._served(parts.path, parts.query)
            return None if found is None else found[1]
        if self.links is None or parts.scheme not in {"http", "https"}:
            return None
        try:
            return self.links.file(url)
        except ValueError as error:
            raise refused_by(url, 0, str(error)) from error

    # where the bytes come from

    def _read(self, task: int, url: str) -> bytes:
        if url[:5].lower() == "data:":
            return self._from_data_uri(url)
        try:
            url.encode()  # JSON can carry half a surrogate pair
            parts, own = urlsplit(url), self.studio.owns(url)
        except (ValueError, httpx.InvalidURL) as error:
            raise MediaError(
                "image_bad_url", f"'{shortened(url)}' is not a URL ({error}); correct the task."
            ) from error
        scheme = parts.scheme.lower()
        if scheme in STORAGE_SCHEMES:
            encoded = quote(base64.urlsafe_b64encode(url.encode()).decode())
            return self._from_studio(f"{self.studio.url}/tasks/{task}/resolve/?fileuri={encoded}", url)
        if scheme in {"http", "https"} and parts.hostname:
            if (linked := self._from_ourselves(url)) is not None:  # first: a proxy may put us beside Label Studio
                return linked
            if not own:
                return self._elsewhere.read(url)
            return self._from_files(parts.path, parts.query) or self._from_studio(url, url)
        if scheme or parts.netloc or not url.startswith("/"):
            raise MediaError(
                "image_bad_url",
                f"'{shortened(url)}' is no URL that can be read; use http(s), a storage of the project, or an upload.",
            )
        return self._from_files(parts.path, parts.query) or self._from_studio(self._absolute(url), url)

    def _from_ourselves(self, url: str) -> bytes | None:
        return self.links.read(url, byte_limit=self.byte_limit, seconds=self.seconds) if self.links else None

    def _absolute(self, path: str) -> str:
        """Label Studio under a path writes that path into some URLs and leaves it out of others."""
        own = urlsplit(self.studio.url)
        if own.path and path.startswith(own.path + "/"):
            return f"{own.scheme}://{own.netloc}{path}"
        return self.studio.url + path

    def _from_data_uri(self, url: str) -> bytes:
        head, comma, body = url.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise MediaError("image_bad_url", f"'{shortened(url)}' is no base64 data URI; encode it as base64.")
        if len(body) * 3 // 4 > self.byte_limit:
            raise MediaError(
                "image_too_large", f"'{shortened(url)}' is larger than {self.byte_limit} bytes; shrink it."
            )
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MediaError(
                "image_bad_url", f"'{shortened(url)}' is not valid base64 ({error}); encode it again."
            ) from error

    def _from_files(self, path: str, query: str) -> bytes | None:
        """The bytes of a /data/local-files/ URL from our own disk; None leaves it to Label Studio."""
        found = self._served(path, query)
        if found is None:
            return None
        relative, file = found
        try:
            if file.stat().st_size > self.byte_limit:
                raise MediaError("image_too_large", f"{relative} is larger than {self.byte_limit} bytes; shrink it.")
            return file.read_bytes()
        except OSError as error:
            raise MediaError("image_forbidden", f"{relative} cannot be read ({error.strerror}); allow it.") from error

    def _served(self, path: str, query: str) -> tuple[str, Path] | None:
        """Name and place of the file behind a /data/local-files/ URL; None where it is not here, or where Label Studio
        has rules of its own (a link that leaves the folder, say)."""
        if self.local_root is None or not f"{path.rstrip('/')}/".endswith(ROUTE):
            return None
        relative = (parse_qs(query).get("d") or [""])[0].replace("\\", "/").lstrip("/")
        if not relative or ".." in relative.split("/") or "\0" in relative:
            raise MediaError(
                "image_bad_url", f"'{shortened(relative)}' leaves the served folder; name a file inside it."
            )
        try:
            file = (self.local_root / relative).resolve()
            return (relative, file) if file.is_relative_to(self.local_root) and file.is_file() else None
        except OSError as error:
            raise MediaError("image_forbidden", f"{relative} cannot be read ({error.strerror}); allow it.") from error

    def _from_studio(self, url: str, shown: str) -> bytes:
        if self._is_call(url):
            raise MediaError(
                "image_refused", f"'{shortened(shown)}' is a call of the API, not a file; correct the task."
            )
        try:
            return self.studio.download(url, limit=self.byte_limit, seconds=self.seconds)
        except ElsewhereError as elsewhere:
            return self._elsewhere.read(elsewhere.url, for_storage=shown)
        except StudioError as error:
            if error.status == 500 and "/data/upload/" in url:
                raise MediaError(
                    "image_missing",
                    f"'{shortened(shown)}' is answered with 500, as for a deleted upload; import it again.",
                ) from error
            raise refused_by(shown, error.status, str(error)) from error

    def _is_call(self, url: str) -> bool:
        """A GET of the API may change something (the next task is locked, say), and the token's rights are wide."""
        own = urlsplit(self.studio.url).path
        path = posixpath.normpath(unquote(urlsplit(url).path).removeprefix(own))
        return f"/{path.lstrip('/')}/".startswith("/api/")
