"""docs/migrating.md: the applications before and after answer alike, on real servers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from doors import serving_wsgi
from webserver import serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
REQUESTS = (
    ["/home"] * 3 + ["/reports"] * 4 + ["/home"] * 5 + ["/health"] * 9 + ["/slow"] * 3 + ["/fast"] * 8 + ["/ping"] * 9
)


def application(library, place):
    """Return the application of a library's section; its windows are days, so that none ends meanwhile."""
    section = PAGE.partition(f"\n## {library}\n")[2].partition("\n## ")[0]
    code = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[place]
    code = re.sub(
        r"per (?:minute|hour)|(?<=\d)/minute", lambda found: "/day" if found[0][0] == "/" else "per day", code
    )
    names = {"__name__": f"{library}_{place}".replace("-", "_")}
    exec(compile(code, f"{library} {place}", "exec"), names)  # noqa: S102 - to run it is the test
    return names["app"]


@contextmanager
def client(app, serve):
    with serve(app) as url, httpx.Client(base_url=url, timeout=60) as opened:
        yield opened


@pytest.mark.parametrize(("library", "serve"), [("slowapi", serving), ("Flask-Limiter", serving_wsgi)])
@pytest.mark.filterwarnings("ignore:Using the in-memory storage")
def test_the_migrated_application_answers_as_it_did(library, serve):
    found = []
    for place in (0, 1):
        with client(application(library, place), serve) as opened:
            answers = [opened.get(path) for path in REQUESTS]
        found.append([(each.status_code, each.text if each.status_code == 200 else "") for each in answers])
        last = [each for each in answers if each.status_code == 429][-1]
    before, after = found

    assert before == after
    assert {200, 429, 404} == {status for status, _ in before}
    assert "application/problem+json" == last.headers["content-type"]
