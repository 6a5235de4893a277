"""Accounts in tables of an application, by a query."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sql_sources import SIGNED, statements_of
from sqlalchemy import DateTime, bindparam, create_engine, text
from trade import policy

from entitlements import (
    Account,
    AccountError,
    AccountsUnavailable,
    Enforcer,
    Grant,
    Policy,
    Trial,
)
from entitlements.accounts.sql import SqlAccounts


@pytest.fixture
def customers(database):
    """An engine on a table of an application's own."""
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists customers"))
        connection.execute(
            text(
                "create table customers (number varchar(9), plan varchar(20), until timestamp, seats integer, extra varchar(99))"
            )
        )
        row = text("insert into customers values (:id, :plan, :until, :seats, :extra)")
        row = row.bindparams(
            bindparam("until", type_=DateTime)
        )  # sqlite3's own adapter is deprecated since Python 3.12
        connection.execute(
            row,
            [
                {"id": "1", "plan": "pro", "until": None, "seats": 5, "extra": "support=2"},
                {
                    "id": "2",
                    "plan": "free",
                    "until": datetime(2999, 1, 1, tzinfo=UTC).replace(tzinfo=None),
                    "seats": None,
                    "extra": "",
                },
                {"id": "3", "plan": "free", "until": None, "seats": 1, "extra": "support=none"},
            ],
        )
    yield engine
    engine.dispose()


ONE = "select number as id, plan as tier, seats, extra as add_ons from customers where number = :id"
MANY = "select number as id, plan as tier, seats, extra as add_ons from customers where number in :ids"


@pytest.mark.parametrize("query", [ONE, MANY])
def test_a_query_of_yours_is_read_like_a_csv(customers, query):
    accounts = SqlAccounts(customers, query=query)

    assert Account("1", "pro", add_ons={"support": 2}, attributes={"seats": 5}) == accounts.find("1")
    assert Account("2", "free") == accounts.find("2")
    assert accounts.find("4") is None
    with pytest.raises(
        AccountError, match=r"'3': table of the query, row 3, column add_ons: quantity 'none'.*is not a count"
    ):
        accounts.find("3")


@pytest.mark.parametrize("reader", [
    lambda row: Account(row.number, row.plan, grants=[Grant("agents", row.seats)] if row.seats else []),
    lambda row: Account(row["number"], row["plan"], grants=[Grant("agents", row["seats"])] if row["seats"] else []),
    lambda row: Account(row[0], row[1], grants=[Grant("agents", row[3])] if row[3] else []),
])  # fmt: skip
def test_a_query_of_yours_is_read_by_a_function_of_yours(customers, reader):
    accounts = SqlAccounts(customers, query="select * from customers where number = :id", account=reader)

    assert Account("1", "pro", grants=[Grant("agents", 5)]) == accounts.find("1")
    assert Account("2", "free") == Enforcer(policy(), accounts=accounts)._accounts.find("2")


def test_a_query_for_many_is_one_statement_for_many(customers):
    accounts = SqlAccounts(customers, query=MANY)
    seen = statements_of(customers)

    assert {"1", "2"} == set(accounts.find_many(["1", "2", "9"]))
    assert 1 == len(seen)


@pytest.mark.parametrize(("reader", "said"), [
    (lambda row: Account(row.id, row.plan), "row 1: AttributeError: .*plan"),
    (lambda row: Account(row["nothing"], row.tier), "row 1: .*nothing"),
    (lambda row: row.tier, "row 1: the query's reader holds 'pro' .of type str.; give an Account"),
    (lambda row: Account("2", row.tier), "holds account '2' under this id"),
])  # fmt: skip
def test_a_reader_that_fails_is_named(customers, reader, said):
    with pytest.raises(AccountError, match=said):
        SqlAccounts(customers, query=ONE, account=reader).find("1")


def test_wrong_queries_are_refused_when_built(customers):
    for query, said in (
        ("select 1", "its parameters are none; write `where id = :id`"),
        ("select 1 where 1 = :number", "its parameters are number"),
        ("select :id, :other", "its parameters are id, other"),
    ):
        with pytest.raises(ValueError, match=said):
            SqlAccounts(customers, query=query)
    with pytest.raises(ValueError, match="give query= as well"):
        SqlAccounts(customers, account=lambda row: row)
    with pytest.raises(TypeError, match="reads a query of yours; change its accounts where they are kept"):
        SqlAccounts(customers, query=ONE).suspend("1", **SIGNED)
    with pytest.raises(AccountsUnavailable, match="needs a column `id`"):
        Enforcer(
            policy(), accounts=SqlAccounts(customers, query="select plan from customers where number in :ids")
        ).can("1", "leads")


def test_a_trial_plan_in_a_query_is_resolved_by_the_policy(customers):
    customers_policy = Policy.load("policies/customer-tiers")
    query = "select number as id, 'trial' as tier, until as trial_ends from customers where number = :id"

    found = SqlAccounts(customers, query=query, policy=customers_policy).find("2")

    assert Trial("trial", None, datetime(2999, 1, 1, tzinfo=UTC)) == found.trial
    assert "trial" != found.tier
