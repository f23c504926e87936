"""Whatever is posted, no answer is a 500 and every refusal is a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_backend.loop.house import House
from ml_backend.server.app import create_app
from ml_backend.server.auth import SECRET_HEADER
from ml_backend.settings import Settings
from tests.server.conftest import KEY, SECRET, RedisServer, add_project, add_ranking, own_redis, payload

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def spoiled(body: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A real body with some of its fields, two levels deep, replaced by anything."""
    nested = {
        name: st.just(value) | values | (spoiled(value) if isinstance(value, dict) and value else st.nothing())
        for name, value in body.items()
    }
    return st.fixed_dictionaries({}, optional=nested)


bodies = values | st.sampled_from(
    ["setup", "predict", "annotation_created", "annotations_created", "annotations_deleted", "project_updated"]
).flatmap(lambda name: spoiled(payload(name)))


@pytest.fixture(scope="module")
def shared(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    config = Settings(
        _env_file=None,
        model_dir=tmp_path_factory.mktemp("model"),
        redis_url=own_redis(redis_server),
        predict_seconds=0.05,
    )
    rooms = House(config)
    number = add_project(rooms)
    add_ranking(rooms, number, [20001, 20002])
    with TestClient(create_app(rooms), raise_server_exceptions=True) as client:
        yield client
    rooms.ledger.close()


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies)
def test_no_json_is_a_500(shared: TestClient, path: str, body: Any) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = shared.post(path, content=content, headers={SECRET_HEADER: SECRET})
    assert answer.status_code in {200, 400, 401, 404}
    if answer.status_code == 200 and path == "/predict":
        assert len(answer.json()["results"]) == len(body["tasks"])
        assert all({"result", "score", "model_version"} <= result.keys() for result in answer.json()["results"])
    if answer.status_code != 200:
        assert answer.json()["detail"].endswith((".", ")"))


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_bytes_are_a_500(shared: TestClient, path: str, body: bytes) -> None:
    assert shared.post(path, content=body).status_code in {200, 400, 401, 404}
