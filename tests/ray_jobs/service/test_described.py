"""/openapi.json: what a program can go by without having read anything else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ray_jobs.service.warm import Warm


@pytest.fixture(scope="module")
def warm() -> Warm:
    return Warm()


@pytest.fixture(scope="module")
def document(warm: Warm) -> dict[str, Any]:
    found: dict[str, Any] = warm.client().get("/openapi.json").json()
    return found


def test_what_needs_a_token_says_so(warm: Warm, document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, routes in document["paths"].items():
        for method, route in routes.items():
            needs = route.get("security", document["security"]) != []
            assert needs == (warm.client(None).request(method, path, json={}).status_code == 401), path


def test_every_route_is_told_of_and_errors_are_as_they_come(warm: Warm, document: dict[str, Any]) -> None:
    for routes in document["paths"].values():
        for route in routes.values():
            assert route["description"]
            assert route["tags"]
            assert "422" not in route["responses"]
    told = warm.client().post("/v1/evolve", json={"rounds": "many"}).json()
    answer = document["components"]["schemas"]["ErrorAnswer"]["properties"]["error"]
    fields = document["components"]["schemas"][answer["$ref"].rpartition("/")[2]]["properties"]
    assert told["error"].keys() == fields.keys()


def test_examples_are_what_the_service_takes(warm: Warm, document: dict[str, Any]) -> None:
    bodies = {
        path: routes["post"]["requestBody"]["content"]["application/json"].get("example")
        for path, routes in document["paths"].items()
        if "requestBody" in routes.get("post", {})
    }
    del bodies["/v1/login"], bodies["/v1/runs"]  # one has a secret, the other begins something
    assert len(bodies) == 6
    for path, example in bodies.items():
        answer = warm.client().post(path, json=example)
        assert answer.status_code == 200, (path, answer.text)
