"""REST as its own OpenAPI page describes it, asked with whatever fits the description and what does not: no 500."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance

from benchmarks.filled_ledger import fill
from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.app import create_app
from ml_backend.settings import Settings
from tests.server.conftest import RedisServer, own_redis

EXAMPLES = 20  # of each operation and each mode; CI has a minute
METHODS = ("get", "put", "post", "patch", "delete")


def operations() -> list[tuple[str, str, GenerationMode]]:
    """Every operation of the REST interface, right and wrong; making the application opens nothing."""
    paths = create_app(House(Settings(_env_file=None, model_dir=Path("not-made")))).openapi()["paths"]
    found = []
    for path, method in ((path, method) for path in paths for method in METHODS if method in paths[path]):
        found.append((path, method, GenerationMode.POSITIVE))
        if paths[path][method].get("parameters") or paths[path][method].get("requestBody"):
            found.append((path, method, GenerationMode.NEGATIVE))
    return found


@dataclass(frozen=True)
class Fuzzed:
    schema: Any
    token: str


@pytest.fixture(scope="module")
def fuzzed(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A filled project with number 1, so that most requests get past the door; Label Studio is nowhere."""
    folder = tmp_path_factory.mktemp("fuzz")
    rooms = House(Settings(_env_file=None, model_dir=folder, redis_url=own_redis(redis_server)))
    fill(rooms, 60, cycles=6)
    with rooms.ledger.session() as session:
        token = accounts.make_token(session, "fuzz", "write", author="test")
    yield Fuzzed(schemathesis.openapi.from_asgi("/openapi", create_app(rooms)), token)
    rooms.ledger.close()


@pytest.mark.parametrize(("path", "method", "mode"), operations())
def test_no_request_is_a_500(fuzzed: Fuzzed, path: str, method: str, mode: GenerationMode) -> None:
    right = mode is GenerationMode.POSITIVE and "{project_id}" in path
    operation = fuzzed.schema[path][method.upper()]
    cases = operation.as_strategy(generation_mode=mode, path_parameters={"project_id": 1} if right else None)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=cases)
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(headers={"Authorization": f"Bearer {fuzzed.token}"})
        if response.status_code >= 500:
            assert response.status_code in (502, 503), response.text  # Label Studio is nowhere, and a sentence says so
            assert response.json()["detail"].endswith((".", ")"))
            return
        if response.status_code < 400:
            case.validate_response(response, checks=[response_schema_conformance])

    ask()


@given(value=st.text(max_size=40))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_credentials_are_a_500(fuzzed: Fuzzed, value: str) -> None:
    case = fuzzed.schema["/api/projects"]["GET"].Case()
    for header in (value, f"Bearer {value}", f"Basic {value}"):
        printable = header.encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "").strip()
        assert case.call(
            headers={"Authorization": printable, "Cookie": f"nextlabel_session={printable}"}
        ).status_code in (
            200,
            401,
        )
