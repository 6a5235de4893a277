"""Attacks on the console by a real server: what another site, a visitor with few rights, or a hostile text cannot do."""

import re
import socket
import threading

import pytest
from console_site import ROOT, SIGNED, ConsoleSite, hidden, text_of
from sql_sources import statements_of
from trade import WRITTEN

from entitlements import Policy
from entitlements.console import Access
from entitlements.console.tokens import COOKIE

SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    f'{SCRIPT}"><img src=x onerror=alert(1)></title><b>{{{{ 7777*7 }}}}{{% raw %}}',
    "javascript:alert(1)//' or 1=1 --",
)


# --- Forged requests -------------------------------------------------------------------------------------------------


def test_a_form_without_a_token_changes_nothing(site):
    form = site.form("suspend")
    del form["token"]

    assert 403 == site.post("account/change/preview", form).status_code
    assert 403 == site.post("account/change/confirm", form | {"version": "1"}).status_code
    assert 1 == site.accounts.version("petra")


def test_a_form_without_its_cookie_changes_nothing(site):
    shown = hidden(site.preview("suspend"))
    site.client.cookies.clear()

    assert 403 == site.post("account/change/confirm", shown).status_code
    assert 1 == site.accounts.version("petra")


def test_the_token_of_another_session_changes_nothing(site):
    foreign = hidden(site.preview("suspend"))
    site.client.cookies.clear()
    site.form("suspend")

    assert 403 == site.post("account/change/confirm", foreign).status_code
    assert 1 == site.accounts.version("petra")


def test_the_token_and_the_cookie_of_another_author_change_nothing(site):
    """Someone who may write plants their own cookie and form in the browser of another."""
    site.access = Access("mallory")
    planted = hidden(site.preview("suspend"))
    site.access = Access("ann")

    assert 403 == site.post("account/change/confirm", planted).status_code
    assert 1 == site.accounts.version("petra")


def test_the_token_of_a_form_does_not_confirm(site):
    form = site.form("suspend")

    assert 403 == site.post("account/change/confirm", form | {"version": "1"}).status_code
    assert 1 == site.accounts.version("petra")


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "999999"},
        {"limit": "agents"},
        {"id": "maxim"},
        {"verb": "suspend"},
        {"reason": "x"},
        {"version": "2"},
    ],
)
def test_nothing_is_confirmed_but_what_was_previewed(site, other):
    shown = hidden(site.preview("grant", limit="leads", amount="5"))

    assert 403 == site.post("account/change/confirm", shown | other).status_code
    assert (1, 1) == (site.accounts.version("petra"), site.accounts.version("maxim"))


def test_a_confirmation_is_not_made_twice(site):
    shown = hidden(site.preview("grant", limit="leads", amount="5"))

    assert [303, 409] == [site.post("account/change/confirm", shown).status_code for _ in range(2)]
    assert 1 == len(site.accounts.find("petra").grants)


@pytest.mark.parametrize(
    "token", ["", ".", "9999999999.", "9999999999.00", "99999999999999999999.x", "x.\u00e9", "9" * 5000]
)
def test_a_token_of_ones_own_making_changes_nothing(site, token):
    assert 403 == site.post("account/change/preview", site.form("suspend") | {"token": token[:400]}).status_code


def test_a_token_expires(site, monkeypatch):
    form = site.form("suspend")
    monkeypatch.setattr("entitlements.console.tokens.time.time", lambda: 4_000_000_000.0)

    assert 403 == site.post("account/change/preview", form).status_code


def test_a_forged_cookie_is_no_session(site):
    form = site.form("suspend")
    value, _, signature = site.client.cookies[COOKIE].partition(".")
    for forged in (f"{value}x.{signature}", f"{value}.", value, f"{value}.{'0' * 64}"):
        site.client.cookies.clear()
        site.client.cookies.set(COOKIE, forged)
        assert 403 == site.post("account/change/preview", form).status_code


def test_processes_with_one_secret_take_each_others_forms_and_others_do_not(tmp_path):
    for secret, status in (("0123456789abcdef", 200), ("another-secret-of-16", 403)):
        folder = tmp_path / secret
        folder.mkdir()
        with (
            ConsoleSite(f"sqlite:///{folder / 'a.db'}", secret=b"0123456789abcdef") as one,
            ConsoleSite(f"sqlite:///{folder / 'b.db'}", secret=secret) as other,
        ):
            form = one.form("suspend")
            other.client.cookies.update(one.client.cookies)
            assert status == other.post("account/change/preview", form).status_code


def test_the_cookie_is_kept_from_scripts_other_sites_and_other_paths(site):
    shown = site.get("account/change", id="petra", verb="suspend")

    wanted = rf"{COOKIE}=[\w-]+\.[0-9a-f]{{64}}; HttpOnly; Path={ROOT}/; SameSite=strict"
    assert re.fullmatch(wanted, shown.headers["set-cookie"])


def test_the_cookie_is_for_encrypted_connections_only_where_there_is_one(site):
    shown = site.client.get("/account/change?id=petra", headers={"x-forwarded-proto": "https"})

    assert "; Secure" in shown.headers["set-cookie"]


# --- Hostile texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_ids_are_text(site, text):
    site.accounts.create(text, "pro", **SIGNED)
    site.enforcer.can(text, "sso")
    pages = [
        site.get(), site.get(prefix=text), site.get("account", id=text), site.get("account/meters", id=text, scope=text),
        site.get("account/preview", id=text, tier="max"), site.get("account/change", id=text, verb="grant"),
        site.get("account/audit", id=text), site.get("refusals", account=text), site.preview("suspend", text),
    ]  # fmt: skip

    for page in pages:
        assert 200 == page.status_code
        assert_inert(page, text)


@pytest.mark.parametrize("text", HOSTILE)
def test_reasons_authors_and_values_are_text(site, text):
    form = {"reason": text, "author": text}
    for page in (
        site.preview("grant", limit="leads", amount="5", **form), site.preview("grant", limit=text, amount=text, expires=text, **form),
        site.preview("override", name="support.phone", value=f'"{text}"'.replace('""', '"'), **form),
    ):  # fmt: skip
        assert_inert(page, text)
    site.accounts.override("petra", "support.phone", text, reason=text, author=text)
    for name in ("account", "account/audit", "account/change"):
        assert_inert(site.get(name, id="petra"), text)


def test_texts_of_a_policy_are_text(tmp_path):
    tiers = {
        **WRITTEN["tiers"],
        "pro": {**WRITTEN["tiers"]["pro"], "name": SCRIPT, "values": {"support": {"phone": SCRIPT}}},
    }
    written = Policy.parse(
        WRITTEN | {"tiers": tiers, "features": {"sso": SCRIPT, "chat": SCRIPT}, "policy": {"version": SCRIPT}}
    )
    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}", written=written) as site:
        for page in ("", "account", "account/meters", "account/change", "plans", "refusals"):
            answer = site.get(page, id="petra", verb="set_tier")
            assert 200 == answer.status_code
            assert_inert(answer, SCRIPT)
            assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_request_holds_is_text_in_errors(site, text):
    for page in (
        site.get("account", id=text), site.get(tier=text), site.get("account/preview", id="petra", tier=text),
        site.get("account/change", id="petra", verb=text), site.get("account", id="petra", find=text), site.get(text.replace("/", "")),
    ):  # fmt: skip
        assert_inert(page, text)


LOADS = re.compile(
    r"<script(?! src=\"/entitlements/static/console.js\" defer>)|<img|style=|href=\"(?!/entitlements/|#)|\son\w+=\""
)
"""Whatever loads or runs what is not a file of the console."""


def assert_inert(page, text):
    """Check that a text stands on a page escaped or not at all, and that the page loads nothing but its own files."""
    assert text not in page.text or not re.search(r"[<>\"']", text)
    assert "54439" not in page.text
    assert not LOADS.search(page.text)


# --- The database ----------------------------------------------------------------------------------------------------


def test_a_search_and_an_id_are_parameters_of_their_statements(sql_site):
    seen = statements_of(sql_site.accounts._engine)
    for text in ("' or '1'='1", "x'; drop table entitlements_accounts; --", "%", "_", "\\", "a' union select"):
        assert "No account is found" in text_of(sql_site.get(prefix=text))
        assert sql_site.get(prefix="petra", after=text).status_code == 200
        assert sql_site.get("account", id=text).status_code == 404
        assert sql_site.get("account/audit", id=text).status_code == 404

    assert len(seen) > 12
    assert not [each for each in seen if "drop" in each or "1'='1" in each]
    assert "pro" == sql_site.accounts.find("petra").tier


def test_characters_that_no_id_has_never_reach_the_database(sql_site):
    seen = statements_of(sql_site.accounts._engine)
    for id in ("", "\0", "a\nb", "\x85", "x" * 257):
        assert 400 == sql_site.get("account", id=id).status_code
    for text in ("\0", "\x1b[2J"):
        assert 400 == sql_site.get(prefix=text).status_code
        assert 400 == sql_site.get(prefix="a", after=text).status_code

    assert [] == seen


# --- Rights ----------------------------------------------------------------------------------------------------------


def test_a_guessed_id_shows_what_an_unknown_one_shows(site):
    site.access = Access("ann", accounts=lambda id: id == "petra")
    site.enforcer.can("frida", "sso")
    fields = {**site.form("suspend"), "id": "maxim"}

    for page in ("account", "account/meters", "account/preview", "account/change", "account/audit"):
        assert 200 == site.get(page, id="petra").status_code
        known, unknown = (site.get(page, id=id, tier="max") for id in ("maxim", "nobdy"))
        assert 404 == known.status_code
        assert known.text.replace("maxim", "nobdy") == unknown.text
    assert 404 == site.post("account/change/preview", fields).status_code
    assert 404 == site.post("account/change/confirm", fields).status_code
    assert "maxim" not in site.get().text
    assert "frida" not in site.get("refusals").text
    assert 1 == site.accounts.version("maxim")


def test_who_may_only_read_changes_nothing_with_the_forms_of_a_writer(site):
    shown = hidden(site.preview("suspend"))
    site.access = Access("ann", write=False)

    assert 403 == site.post("account/change/confirm", shown).status_code
    assert 1 == site.accounts.version("petra")


# --- The protocol ----------------------------------------------------------------------------------------------------


def test_no_page_is_framed_sniffed_kept_or_runs_scripts_of_others(site):
    site.access = None
    refused = site.get()
    site.access = "write"
    for answer in (
        refused, site.get(), site.get("account", id="petra"), site.get("account", id="nobody"), site.get("nothing"),
        site.get("static/console.css"), site.post("account/change/preview", {}), site.client.request("PUT", "/"),
    ):  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert ("DENY", "nosniff", "same-origin") == tuple(
            answer.headers[name] for name in ("x-frame-options", "x-content-type-options", "referrer-policy")
        )
    assert "no-store" == site.get("account", id="petra").headers["cache-control"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_a_form_that_was_sent_changes_an_account(site, method):
    shown = hidden(site.preview("suspend"))
    answer = site.client.request(method, "/account/change/confirm", params=shown)

    assert 405 == answer.status_code
    assert 405 == site.post("account", shown | {"_method": "POST"}).status_code
    assert (
        403
        == site.client.post(
            "/account/change/confirm",
            params=shown,
            content="id=petra&verb=suspend",
            headers={"content-type": "application/x-www-form-urlencoded"},
        ).status_code
    )
    assert 1 == site.accounts.version("petra")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_a_body_of_another_type_is_refused(site, kind):
    answer = site.client.post("/account/change/confirm", content='{"id": "petra"}', headers={"content-type": kind})

    assert 415 == answer.status_code


def test_oversized_and_malformed_bodies_are_refused(site):
    form = {"content-type": "application/x-www-form-urlencoded"}
    bodies = {
        "x=" + "a" * 20_000: 413, "&".join(f"x{each}=1" for each in range(60)): 400, "a=1&a=2": 400,
        "a=%ff": 400, "\u00e9=1": 400, "": 404,
    }  # fmt: skip
    for body, status in bodies.items():
        assert status == site.client.post("/account/change/preview", content=body.encode(), headers=form).status_code


def test_an_endless_body_is_cut_off(site):
    host, port = site.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        head = f"POST {ROOT}/account/change/preview HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        client.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode())
        sender = threading.Thread(target=flood, args=(client,), daemon=True)
        sender.start()
        assert client.recv(64).startswith(b"HTTP/1.1 413")
    sender.join(60)


def flood(client):
    """Send pieces of a body until the connection is closed."""
    try:
        while True:
            client.sendall(b"1000\r\n" + b"a" * 4096 + b"\r\n")
    except OSError:
        pass


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: x=1", "a\nLocation: https://evil.example", "a\x00b"])
def test_no_text_becomes_a_header(site, text):
    for answer in (
        site.get("account", id=text), site.get("account", id="petra", done=text),
        site.preview("suspend", reason=text), site.preview("suspend", author=text),
    ):  # fmt: skip
        assert "evil.example" not in str(answer.headers)
        assert "x=1" not in answer.headers.get("set-cookie", "")
    assert 422 == site.preview("suspend", reason=text).status_code
    assert 1 == site.accounts.version("petra")


def test_a_redirect_leads_to_the_console_only(site):
    site.accounts.create("//evil.example", "pro", **SIGNED)
    for id in ("//evil.example", "petra"):
        shown = hidden(site.preview("suspend", id))
        done = site.client.post(
            "/account/change/confirm?next=https://evil.example",
            data=shown,
            headers={"host": "evil.example", "referer": "https://evil.example"},
        )
        assert 303 == done.status_code
        assert done.headers["location"].startswith("/entitlements/account?id=")


@pytest.mark.parametrize("path", ["", "/", "/account/", "/plans/", "/account/change/preview/"])
def test_the_host_header_stands_in_no_response(site, path):
    answer = site.client.get(
        path,
        headers={"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-prefix": "//evil.example"},
    )
    below = httpx_location(answer)

    assert "evil.example" not in answer.text
    assert below is None or path == ""


def httpx_location(answer):
    return answer.headers.get("location")


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/templates/layout.html",
     "/static/", "/../console", "//account?id=petra", "/%2e%2e/", "/account%00"],
)  # fmt: skip
def test_no_path_leaves_the_console(site, path):
    host, port = site.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"GET {ROOT}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert re.match(rb"HTTP/1.1 40[04]", answer)
    assert b"root:" not in answer
    assert b"import " not in answer


def test_a_mount_point_of_a_request_names_no_other_host():
    from entitlements.console.visit import mounted_at

    for root in ("//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", '"><script>', "/a b"):
        made = mounted_at({"root_path": root})
        assert re.fullmatch(r"/[\w.%~/-]+", made)
        assert not made.startswith("//")


def test_a_parameter_that_is_given_twice_is_refused(site):
    site.access = Access("ann", accounts=lambda id: id == "petra")

    assert 400 == site.client.get("/account?id=petra&id=maxim").status_code
    assert 400 == site.get("account", id="petra", find="x" * 300).status_code
