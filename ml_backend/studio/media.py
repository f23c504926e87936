"""From the URLs in tasks to image files on this machine, kept by content."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from PIL import Image, UnidentifiedImageError

from ml_backend.studio.client import Studio, StudioError

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "ICO",
    "TGA",
)  # no EPS: it runs a program
PIXEL_LIMIT = 100_000_000
STORAGE_SCHEMES = ("s3", "gs", "azure-blob", "azure_spi")
_KINDS = {
    401: "image_forbidden",
    403: "image_forbidden",
    404: "image_missing",
    410: "image_missing",
    413: "image_too_large",
}


class MediaError(Exception):
    """An image that cannot be had; `kind` is one of the problem kinds that `MediaCache.fetch` lists."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Fetched:
    """contents: task id -> SHA-256 (hex) of its file. problems: task id -> (kind, one sentence)."""

    contents: dict[int, str] = field(default_factory=dict)
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)


class MediaCache:
    """Files by the SHA-256 of their bytes under `root`, each decoded once before it is kept.

    local_root: the folder that Label Studio serves under /data/local-files/, where it is on this machine; files are
    then read straight from it. byte_limit: of one file. threads: downloads and decodings at a time.
    The token goes to Label Studio's own origin and nowhere else, redirects included.
    """

    def __init__(
        self,
        root: Path,
        studio: Studio,
        *,
        local_root: Path | None,
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
        self._foreign = httpx.Client(timeout=httpx.Timeout(min(20.0, seconds), connect=5.0), follow_redirects=True)
        root.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        self._foreign.close()

    def path(self, content: str) -> Path:
        return self.root / content[:2] / content

    def has(self, content: str) -> bool:
        return self.path(content).is_file()

    def fetch(self, items: Sequence[tuple[int, str]], progress: Callable[[int, int], None] | None = None) -> Fetched:
        """Brings the images of (task id, URL) here; a URL that several tasks share is read once.

        Problem kinds: image_missing, image_forbidden, image_unreachable (try again later), image_unreadable (not an
        image, damaged, or absurdly large once decoded), image_too_large, image_bad_url.
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

    # where the bytes come from

    def _read(self, task: int, url: str) -> bytes:
        if url[:5].lower() == "data:":
            return self._from_data_uri(url)
        try:
            url.encode()  # JSON can carry half a surrogate pair
            parts, own = urlsplit(url), self._is_own(url)
        except (ValueError, httpx.InvalidURL) as error:
            raise MediaError(
                "image_bad_url", f"'{shortened(url)}' is not a URL ({error}); correct the task."
            ) from error
        scheme = parts.scheme.lower()
        if scheme in STORAGE_SCHEMES:
            encoded = quote(base64.urlsafe_b64encode(url.encode()).decode())
            return self._from_studio(f"{self.studio.url}/tasks/{task}/resolve/?fileuri={encoded}", url)
        if scheme in {"http", "https"} and parts.hostname:
            if not own:
                return self._from_elsewhere(url)
            return self._from_files(parts.path, parts.query) or self._from_studio(url, url)
        if scheme or parts.netloc or not url.startswith("/"):
            raise MediaError(
                "image_bad_url",
                f"'{shortened(url)}' is no URL that can be read; use http(s), a storage of the project, or an upload.",
            )
        return self._from_files(parts.path, parts.query) or self._from_studio(self._absolute(url), url)

    def _is_own(self, url: str) -> bool:
        """Same scheme, host and port as Label Studio, and under its path: what may see the token. Read by the parser
        that also sends the request, so that no URL can look like one host and reach another."""
        asked, own = httpx.URL(url), httpx.URL(self.studio.url)
        same = (asked.scheme, asked.host, asked.port) == (own.scheme, own.host, own.port)
        return same and asked.path.startswith(own.path.rstrip("/") + "/")

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
        """The bytes of a /data/local-files/ URL from our own disk; None leaves it to Label Studio, which has its own
        rules (a link that leaves the folder, say)."""
        if self.local_root is None or not path.rstrip("/").endswith("/data/local-files"):
            return None
        relative = (parse_qs(query).get("d") or [""])[0].replace("\\", "/").lstrip("/")
        if not relative or ".." in relative.split("/") or "\0" in relative:
            raise MediaError(
                "image_bad_url", f"'{shortened(relative)}' leaves the served folder; name a file inside it."
            )
        try:
            file = (self.local_root / relative).resolve()
            if not file.is_relative_to(self.local_root) or not file.is_file():
                return None
            if file.stat().st_size > self.byte_limit:
                raise MediaError("image_too_large", f"{relative} is larger than {self.byte_limit} bytes; shrink it.")
            return file.read_bytes()
        except OSError as error:
            raise MediaError("image_forbidden", f"{relative} cannot be read ({error.strerror}); allow it.") from error

    def _from_studio(self, url: str, shown: str) -> bytes:
        try:
            return self.studio.download(url, limit=self.byte_limit)
        except StudioError as error:
            if error.status == 500 and "/data/upload/" in url:
                raise MediaError(
                    "image_missing",
                    f"'{shortened(shown)}' is answered with 500, as for a deleted upload; import it again.",
                ) from error
            raise MediaError(
                _KINDS.get(error.status, "image_unreachable"), _explain(shown, error.status, str(error))
            ) from error

    def _from_elsewhere(self, url: str) -> bytes:
        """A foreign host never sees the token, and gets so many seconds and bytes, however slowly it drips."""
        deadline, parts, size = time.monotonic() + self.seconds, [], 0
        try:
            with self._foreign.stream("GET", url) as answer:
                if answer.is_error:
                    kind = _KINDS.get(answer.status_code, "image_unreachable")
                    raise MediaError(kind, _explain(url, answer.status_code, f"It answered {answer.status_code}."))
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > self.byte_limit:
                        raise MediaError("image_too_large", _explain(url, 413, f"It exceeds {self.byte_limit} bytes."))
                    if time.monotonic() > deadline:
                        raise MediaError("image_unreachable", _explain(url, 0, f"It took over {self.seconds:g} s."))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise MediaError(
                "image_bad_url", f"'{shortened(url)}' is not a URL ({error}); correct the task."
            ) from error
        except httpx.HTTPError as error:
            raise MediaError("image_unreachable", _explain(url, 0, f"{type(error).__name__}: {error}.")) from error
        return b"".join(parts)


def check_image(data: bytes, name: str) -> None:
    """Raises MediaError unless the bytes decode. JPEGs are decoded at an eighth of their size, which still reads all
    of the file; others in full."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                raise MediaError(
                    "image_unreadable", f"'{name}' has {width} x {height} pixels, over {PIXEL_LIMIT}; shrink it."
                )
            image.draft("L", (1, 1))
            image.load()
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError("image_unreadable", f"'{name}' is no image of a known format; replace it.") from error
    except Exception as error:  # decoders answer hostile bytes with nearly every type
        raise MediaError("image_unreadable", f"'{name}' cannot be decoded ({error}); replace it.") from error


def shortened(url: str) -> str:
    return url if len(url) <= 160 else f"{url[:120]}...({len(url)} characters)"


def _explain(url: str, status: int, what: str) -> str:
    remedy = {
        401: "allow its reading, or serve it through Label Studio",
        403: "allow its reading, or serve it through Label Studio",
        404: "restore the file or its storage, or delete the task",
        410: "restore the file or its storage, or delete the task",
        413: "shrink it",
    }.get(status, "it will be tried again")
    return f"'{shortened(url)}' cannot be read: {what.rstrip('.')}; {remedy}."
