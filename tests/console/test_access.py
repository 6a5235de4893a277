"""Rights in the console: what `authorise` may return, and what each of it allows."""

from dataclasses import dataclass

import pytest
from console_site import ConsoleSite, hidden, text_of
from trade import policy

from entitlements import Enforcer
from entitlements.console import Access, Console

PAGES = ("", "account", "account/meters", "account/preview", "account/change", "account/audit", "plans", "refusals")


@dataclass
class User:
    author: str


def test_nobody_whom_authorise_refuses_sees_a_page(site):
    site.access = None

    for page in PAGES:
        refused = site.get(page, id="petra")
        assert 403 == refused.status_code
        assert "You may not see this page." in refused.text
        assert "petra" not in refused.text
        assert site.policy.version not in refused.text


def test_who_may_read_sees_all_and_changes_nothing(site):
    form = site.form("suspend")
    shown = hidden(site.post("account/change/preview", form))
    site.access = "read"

    assert {200} == {site.get(page, id="petra").status_code for page in PAGES}
    assert "You may read here, and change nothing." in text_of(site.get("account/change", id="petra", verb="suspend"))
    assert 403 == site.post("account/change/preview", form).status_code
    assert 403 == site.post("account/change/confirm", shown).status_code
    assert 1 == site.accounts.version("petra")


def test_without_authorise_a_console_only_reads(tmp_path):
    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}", authorise=None) as site:
        assert 200 == site.get("account", id="petra").status_code
        assert 403 == site.post("account/change/preview", {"id": "petra", "verb": "suspend"}).status_code


def test_an_object_with_an_author_may_write(site):
    site.access = User("bob")
    site.change("suspend", author="mallory")

    assert "bob" == site.row().author


def test_authorise_may_be_awaited(tmp_path):
    async def authorise(request):
        return Access(request.headers["x-user"])

    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}", authorise=authorise) as site:
        site.client.headers["x-user"] = "cleo"
        site.change("suspend")

        assert "cleo" == site.row().author


@pytest.mark.parametrize("said", [True, False, "admin", 1, object()])
def test_anything_else_that_authorise_returns_lets_nobody_in(site, said):
    site.access = said

    failed = site.get("account", id="petra")

    assert (500, False) == (failed.status_code, "petra" in failed.text)


def test_an_authorise_that_fails_lets_nobody_in(tmp_path, caplog):
    def authorise(_):
        raise KeyError("session")

    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}", authorise=authorise) as site:
        failed = site.get("account", id="petra")

    assert (500, False, "DENY") == (failed.status_code, "petra" in failed.text, failed.headers["x-frame-options"])
    assert "KeyError: 'session'" in caplog.text
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("entitlements")]
    assert not any("petra" in text for text in logged)


def test_a_wrong_argument_is_told_at_the_start():
    with Enforcer(policy()) as enforcer:
        with pytest.raises(TypeError, match="authorise 'read' is not callable; write authorise=lambda"):
            Console(enforcer, {}, authorise="read")
        with pytest.raises(ValueError, match="secret has 5 bytes; give at least 16"):
            Console(enforcer, {}, secret="short")
        with pytest.raises(ValueError, match="author '' is empty"):
            Access("")
