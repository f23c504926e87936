"""The open house: ledger, arrays, Redis queue and Label Studio clients of this process, made once from the settings."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

from redis import Redis
from rq import Queue

from ml_backend.loop.import_links import SignedLinks, link_path
from ml_backend.loop.video_media import VideoCache
from ml_backend.settings import Settings, settings
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from ml_backend.store.ledger import Ledger
from ml_backend.store.tables import Project
from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.client import Studio
from ml_backend.studio.media import MediaCache
from ml_backend.studio.own_links import OwnLinks

RESULT_SECONDS = 3600
Cache = TypeVar("Cache", bound=MediaCache)


class House:
    """What the loop needs to do its work; `studio(project)` is a client with that project's token."""

    def __init__(self, config: Settings) -> None:
        self.settings = config

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.ledger_url)

    @cached_property
    def arrays(self) -> ArrayStore:
        return ArrayStore(str(self.settings.model_dir.absolute() / "arrays"))

    @cached_property
    def features(self) -> DiskFeatures:
        return DiskFeatures(self.arrays)

    @cached_property
    def redis(self) -> Redis:
        """Gives up on a Redis that hangs; `blocking_redis` is for those who wait for jobs."""
        return Redis.from_url(
            self.settings.redis_url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=30
        )

    def blocking_redis(self) -> Redis:
        return Redis.from_url(self.settings.redis_url, socket_connect_timeout=2)

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.settings.queue_prefix, connection=self.redis)

    def studio(self, project: Project) -> Studio:
        return Studio(project.studio_url, project.token or self.settings.label_studio_api_key or "")

    def media(self, studio: Studio) -> MediaCache:
        return self._cache(MediaCache, studio)

    def videos(self, studio: Studio) -> VideoCache:
        return self._cache(VideoCache, studio)

    def _cache(self, kind: type[Cache], studio: Studio) -> Cache:
        data: Path = self.settings.model_dir.absolute()
        hosts = AllowedHosts.parse(self.settings.media_hosts)
        links = OwnLinks(self.settings.backend_url, link_path, SignedLinks(data).file_of)
        local = self.settings.local_files_document_root
        return kind(data / "media", studio, local_root=local, hosts=hosts, links=links)


@lru_cache(maxsize=1)
def house() -> House:
    """The house of this process."""
    return House(settings())
