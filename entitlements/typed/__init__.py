"""
Enforcers and handles as type checkers see them once the names of a policy are known.

`entitlements codegen POLICY -o names.py` writes a module with the names of a policy as types. Its `typed(enforcer)`
returns the enforcer, or the handle of an account, as one of these Protocols, so that a misspelt name is an error of
the type checker. Nothing changes when the program runs.
"""

from entitlements.typed.accounts import TypedAsyncBoundAccount, TypedBoundAccount
from entitlements.typed.enforcers import TypedAsyncEnforcer, TypedCan, TypedEnforcer

__all__ = ["TypedAsyncBoundAccount", "TypedAsyncEnforcer", "TypedBoundAccount", "TypedCan", "TypedEnforcer"]
