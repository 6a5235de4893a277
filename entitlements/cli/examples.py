"""The examples that `--help` of each command shows; policy and accounts are those of the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

EXAMPLES = {
    "init": ("init shop --framework flask",),
    "validate": ("validate policies/customer-tiers", "validate policies/customer-tiers --accounts examples/accounts.csv"),
    "tiers": ("tiers --format markdown",),
    "can": ("can quillmark sso", "can quillmark integrations:standard"),
    "explain": ("explain pinehollow leads",),
    "value": ("value quillmark support.phone",),
    "assign": ("assign quillmark",),
    "preview": ("preview quillmark mid-market",),
    "review": ("review", "review rookhaven --event non-renewal"),
    "transitions": ("transitions cases.csv --review", "transitions cases.csv --late"),
    "portfolio": ("portfolio -o page.html",),
    "services": ("services", "services quillmark"),
    "due": ("due", "due --month --role csm --csv due.csv --ics due.ics"),
    "capacity": ("capacity", "capacity --if moves"),
    "quote": ("quote rookhaven phone-support training=3 --to mid-market",),
    "sla": ("sla harborwick P1",),
    "uptime": ("uptime harborwick 99.2 --fee 35000",),
    "health": ("health",),
    "trials": ("trials",),
    "conversion": ("conversion journeys.csv",),
    "invalidate": ("invalidate quillmark --store redis://localhost:6379",),
    "diff": ("diff policies/customer-tiers policies/next --accounts examples/accounts.csv",),
    "doctor": ("doctor redis://localhost:6379",),
    "schema": ("schema",),
    "codegen": ("codegen policies/customer-tiers -o names.py",),
    "test": ("test policies/customer-tiers",),
    "import pricing2yaml": ("import pricing2yaml prices.yml -o policy.yaml",),
    "serve": ("serve policies/customer-tiers --accounts examples/accounts.csv --port 8080",),
    "console": ("console --accounts examples/accounts.csv", "console --accounts postgresql://user@host/db --write --author ann"),
    "ledger writers": ("ledger writers --ledger postgresql://user@host/db",),
    "ledger usage": ("ledger usage --month 2026-11",),
    "ledger drift": ("ledger drift",),
    "ledger rebuild": ("ledger rebuild quillmark",),
    "ledger export": ("ledger export --since 2026-11-01 --format csv -o november.csv",),
    "ledger close-months": ("ledger close-months",),
    "base renewals": ("base renewals --within 90",),
    "base churn": ("base churn --before last-year.csv",),
    "base money": ("base money",),
    "base questions": ("base questions --top 5",),
    "base compare": ("base compare --by industry",),
    "base kpis": ("base kpis --usage usage.csv",),
    "base abandoned": ("base abandoned --usage usage.csv",),
    "crm assign": ("crm assign export.csv -o tiered.csv",),
    "crm formula": ("crm formula --field ARR__c",),
    "account migrate": ("account migrate --accounts postgresql://user@host/db",),
    "account create": ('account create acme mid-market --reason "signed up"',),
    "account show": ("account show acme",),
    "account list": ("account list",),
    "account set-tier": ('account set-tier acme enterprise --reason "order 1234" --dry-run',),
    "account override": ('account override acme leads 8000 --expires 2027-01-01 --reason "renewal promise"',),
    "account grant": ("account grant acme agents 2 --reason goodwill",),
    "account add-on": ('account add-on acme premium-support --reason "order 1235"',),
    "account trial": ('account trial acme enterprise --ends 2027-01-01 --reason "asked for it"',),
    "account suspend": ('account suspend acme --reason "invoice 17 is overdue"',),
    "account resume": ('account resume acme --reason "invoice 17 is paid"',),
    "account audit": ("account audit acme",),
    "account close": ('account close acme --reason "contract ended"',),
    "usage show": ("usage quillmark --store redis://localhost:6379", "usage --all --near 80"),
    "usage scopes": ("usage scopes quillmark",),
    "usage set": ('usage set quillmark leads 120 --reason "import counted twice"',),
    "usage reset": ('usage reset quillmark api --reason "load test"',),
    "usage release": ('usage release quillmark agents 1 --reason "seat left behind"',),
}  # fmt: skip
"""By command: what follows `entitlements`."""


Epilog = Callable[[str], str]
"""Returns the end of the help of a command, such as `usage set`."""


def epilogs(exit_codes: Mapping[int, str], *, is_styled: bool) -> Epilog:
    """Return what makes the end of a command's help: its examples, and the meanings of the exit codes."""

    def paragraph(*lines: str) -> str:
        return "\n".join(lines if is_styled else ["\b", *lines])  # \b keeps click from joining the lines

    codes = paragraph("Exit codes:", *(f"  {code}  {meaning}" for code, meaning in exit_codes.items()))

    def epilog(command: str) -> str:
        shown = [f"  entitlements {each}" for each in EXAMPLES.get(command, ())]
        return "\n\n".join([paragraph("Examples:", *shown), codes] if shown else [codes])

    return epilog
