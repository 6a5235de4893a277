"""What clients of the example API do wrong is answered as theirs, and what they do at once is counted exactly."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from leads import asking, example
from servers import free_port

KEY = {"x-api-key": "demo-tamarack-ridge"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with example(tmp_path_factory.mktemp("leads")) as (_, url):
        yield url


@pytest.mark.parametrize(
    "body",
    [
        rb'{"name": "\ud800", "email": "a@b"}', rb'{"name": NaN, "email": "a@b"}', b"NaN",
        rb'{"name": 1e999, "email": "a@b"}', rb'["\ud800"]', b"[" * 100_000, b"1" * 5_000, b"\xff", b"{", b"",
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_repeated_is_the_clients_mistake(url, body):
    answer = httpx.post(f"{url}/v1/leads", content=body, headers=KEY | {"content-type": "application/json"})

    assert answer.status_code in {400, 422}
    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.status_code == answer.json()["status"]


def test_a_problem_says_where_it_is(url):
    answer = httpx.post(f"{url}/v1/imports", json=[{"name": "Ada"}], headers=KEY)

    assert [{"pointer": "/body/0/email", "detail": "Field required"}] == answer.json()["errors"]


@pytest.mark.parametrize(("path", "status"), [("/v1/nothing", 404), ("/v1/usage", 405)])
def test_what_is_not_there_is_a_problem_too(url, path, status):
    answer = httpx.delete(url + path, headers=KEY)

    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/leads", "GET, POST"),
        ("/v1/files/a", "DELETE, PUT"),
        ("/v1/usage", "GET"),
        ("/healthz", "GET"),
        ("/signin", "GET"),
    ],
)
def test_a_405_names_the_methods_of_every_route_of_the_path(url, path, allowed):
    assert allowed == httpx.patch(url + path, headers=KEY).headers["allow"]


@pytest.mark.parametrize("cookie", ["a,b=1", "a/b=1", "a=1; (b)=2", "a:b@=1", "=;=", "key[]=1", "k\xe9y=1"])
def test_an_odd_cookie_is_nobodys(url, cookie):
    assert 401 == httpx.get(f"{url}/plan", headers={"cookie": cookie.encode("latin-1")}).status_code


def test_an_endless_body_is_not_read_to_its_end(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(
            b"PUT /v1/files/endless HTTP/1.1\r\nHost: x\r\nX-Api-Key: demo-tamarack-ridge\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        client.sendall((b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 16)  # 1 MiB, and no last chunk
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_length_that_is_too_large_is_refused_before_a_byte_is_read(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(
            b"POST /v1/leads HTTP/1.1\r\nHost: x\r\nX-Api-Key: demo-tamarack-ridge\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000001\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_storage_is_exact_when_one_file_is_written_by_many_at_once(tmp_path, valkey):
    sizes = [100 * n for n in range(1, 13)]

    async def put_all(url):
        async with httpx.AsyncClient(base_url=url, headers=KEY, timeout=60) as client:
            calls = [client.put("/v1/files/shared", content=b"x" * size) for size in sizes]
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    with example(tmp_path, valkey.url) as (module, url), asking(url) as client:
        for _ in range(3):
            assert {201} == set(asyncio.run(put_all(url)))
            used = client("GET", "/v1/usage", "tamarack-ridge").json()["storage"]["used"]
            assert used == module.database.size_of("tamarack-ridge", "shared")


def test_bytes_come_back_when_a_file_cannot_be_written(tmp_path):
    with example(tmp_path) as (module, url):
        module.database.run("CREATE TRIGGER full BEFORE INSERT ON files BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        assert 500 == httpx.put(f"{url}/v1/files/a", content=b"x" * 500, headers=KEY).status_code
        assert 0 == httpx.get(f"{url}/v1/usage", headers=KEY).json()["storage"]["used"]


def test_each_of_four_workers_gives_a_quarter_of_a_rate_while_the_store_is_away(tmp_path, monkeypatch):
    """A small business has 100 calls an hour."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    with example(tmp_path, f"redis://127.0.0.1:{free_port()}") as (module, url), asking(url) as client:
        answers = [client("GET", "/v1/leads", "bluefinch").status_code for _ in range(40)]

    assert (4, 25) == (module.WORKERS, answers.count(200))
    assert {200, 429} == set(answers)
