"""
OpenFeature: a provider whose flags are the features, levels, limits and values of a policy.

    api.set_provider_and_wait(EntitlementsProvider(enforcer))
    client.get_boolean_value("sso", False, EvaluationContext(targeting_key="acme"))

The targeting key is the account. An evaluation consumes nothing; `client.track("consume:leads", …)` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from entitlements.extras import extra

with extra("openfeature", "openfeature-sdk", __name__):
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import (
        ErrorCode,
        GeneralError,
        OpenFeatureError,
        ProviderFatalError,
        ProviderNotReadyError,
        TargetingKeyMissingError,
    )
    from openfeature.flag_evaluation import FlagResolutionDetails
    from openfeature.provider import AbstractProvider, Metadata
    from openfeature.track import TrackingEventDetails

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.enforcer import Enforcer
from entitlements.errors import AccountsUnavailable, StoreError
from entitlements.integrations.flag_source import FlagSource
from entitlements.integrations.flags import FlagError, FlagEvaluation, FlagKind, changed_flags
from entitlements.model.account import Account
from entitlements.model.events import (
    AccountInvalidated,
    AccountsBack,
    AccountsDown,
    BreakerChanged,
    Event,
    Reloaded,
    ReloadFailed,
)
from entitlements.model.policy import PolicyData
from entitlements.model.redaction import redact

__all__ = ["EntitlementsProvider"]

T = TypeVar("T")
AnyEnforcer = Enforcer | AsyncEnforcer
AccountOf = Callable[[EvaluationContext], "str | Account | None"]
MetadataOf = Callable[[str], Mapping[str, "bool | str | int | float"]]

CONSUME = "consume:"
"""Begins the names of tracking events that are charges: `consume:leads`."""

_log = logging.getLogger("entitlements.hooks")


class EntitlementsProvider(AbstractProvider):
    """
    Provider for the OpenFeature SDK.

    Args:
        enforcer: An `Enforcer` or an `AsyncEnforcer`, or a function that makes one: it is called when the provider
            is initialised, and until then every flag is `PROVIDER_NOT_READY`.
        account: Returns the account of an evaluation context, or None if it has none; by default its targeting key.
        usage: Ask the store what is used of a limit, for the metadata of its flag.
        metadata: Returns further metadata of a flag by its key, such as an owner.
        provenance: Put what an answer came from into the metadata of its flag: policy, source, tier, reason and usage.
            Without it there is only what *metadata* returns, and no store is asked.

    Synchronous evaluation under an `AsyncEnforcer` does no I/O and needs an account that is loaded; asynchronous
    evaluation under an `Enforcer` runs in a thread.
    """

    def __init__(
        self,
        enforcer: AnyEnforcer | Callable[[], AnyEnforcer],
        *,
        account: AccountOf | None = None,
        usage: bool = True,
        metadata: MetadataOf | None = None,
        provenance: bool = True,
    ) -> None:
        super().__init__()
        self._make = enforcer
        self._account = account or _targeting_key
        self._usage = usage and provenance
        self._metadata = metadata
        self._provenance = provenance
        self._flags: FlagSource | None = None
        self._policy: PolicyData | None = None
        self._troubles: set[str] = set()
        """Reasons for which the provider is stale: the store, the accounts, the policy's files."""
        self._charges: set[asyncio.Task[None]] = set()

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("entitlements")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """
        Make the enforcer, if it is given as a function, and watch its changes.

        Raises:
            ProviderFatalError: If it cannot be made, such as for a policy that is invalid.
            GeneralError: If a store or a source of accounts does not answer.
        """
        made = self._make
        if not isinstance(made, Enforcer | AsyncEnforcer):
            try:
                made = made()
            except (StoreError, AccountsUnavailable) as error:
                raise GeneralError(f"the enforcer cannot be made now: {error}") from error
            except Exception as error:
                raise ProviderFatalError(f"the enforcer cannot be made: {error}") from error
        self._policy = made.policy
        self._flags = FlagSource(made, usage=self._usage)
        made._hooks.observe(self._on_event)

    def shutdown(self) -> None:
        """Stop watching the enforcer; it stays open."""
        if self._flags is not None:
            self._flags.enforcer._hooks.ignore(self._on_event)
        self._flags = None

    # -- evaluation --------------------------------------------------------------------

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Evaluate a feature, a `feature:level`, a limit (included and above 0), or a value that is yes or no."""
        return self._resolve(FlagKind.BOOLEAN, flag_key, default_value, evaluation_context)

    async def resolve_boolean_details_async(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Evaluate as `resolve_boolean_details`."""
        return await self._resolve_async(FlagKind.BOOLEAN, flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Evaluate the level of a feature, or a value that is a text."""
        return self._resolve(FlagKind.STRING, flag_key, default_value, evaluation_context)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Evaluate as `resolve_string_details`."""
        return await self._resolve_async(FlagKind.STRING, flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Evaluate the size of a limit (unlimited is 2^53-1), or a value that is a whole number or whole seconds."""
        return self._resolve(FlagKind.INTEGER, flag_key, default_value, evaluation_context)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Evaluate as `resolve_integer_details`."""
        return await self._resolve_async(FlagKind.INTEGER, flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Evaluate the size of a limit, or a value that is a number or a duration in seconds."""
        return self._resolve(FlagKind.FLOAT, flag_key, default_value, evaluation_context)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Evaluate as `resolve_float_details`."""
        return await self._resolve_async(FlagKind.FLOAT, flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[Any] | Mapping[str, Any]]:
        """Evaluate the values below an inner node, or a value that is a list."""
        return self._resolve(FlagKind.OBJECT, flag_key, default_value, evaluation_context)

    async def resolve_object_details_async(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[Any] | Mapping[str, Any]]:
        """Evaluate as `resolve_object_details`."""
        return await self._resolve_async(FlagKind.OBJECT, flag_key, default_value, evaluation_context)

    def _resolve(
        self, kind: FlagKind, key: str, default: T, context: EvaluationContext | None
    ) -> FlagResolutionDetails[T]:
        flags, account = self._ready(context)
        try:
            return self._details(key, default, flags.evaluate(account, key, kind))
        except FlagError as error:
            raise _sdk_error(error) from error

    async def _resolve_async(
        self, kind: FlagKind, key: str, default: T, context: EvaluationContext | None
    ) -> FlagResolutionDetails[T]:
        flags, account = self._ready(context)
        try:
            return self._details(key, default, await flags.evaluate_async(account, key, kind))
        except FlagError as error:
            raise _sdk_error(error) from error

    def _ready(self, context: EvaluationContext | None) -> tuple[FlagSource, str | Account]:
        """Return the flags, and the account of an evaluation."""
        if self._flags is None:
            raise ProviderNotReadyError("the provider is not initialised: its policy is not loaded yet")
        account = self._account(context or EvaluationContext())
        if account is None or account == "":
            raise TargetingKeyMissingError("the context has no targeting key, which is the id of the account")
        return self._flags, account

    def _details(self, key: str, default: T, found: FlagEvaluation) -> FlagResolutionDetails[T]:
        own = found.metadata if self._provenance else {}
        more = {} if self._metadata is None else self._metadata(key)
        value: Any = default if found.value is None else found.value
        return FlagResolutionDetails(
            value, reason=found.reason.value, variant=found.variant, flag_metadata={**own, **more}
        )

    # -- tracking ----------------------------------------------------------------------

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """
        Charge units for an event `consume:LIMIT`, best effort: what fails is logged, and nothing is refused.

        Args:
            tracking_event_name: Events of any other name are ignored.
            evaluation_context: Names the account.
            tracking_event_details: `value` is the number of units, 1 by default; the attributes `key` and `scope` are
                those of `consume`.
        """
        if not tracking_event_name.startswith(CONSUME):
            return
        details = tracking_event_details or TrackingEventDetails()
        limit, units = tracking_event_name.removeprefix(CONSUME), 1 if details.value is None else details.value
        options: dict[str, Any] = {
            name: details.attributes[name] for name in ("key", "scope") if name in details.attributes
        }
        account: str | Account = ""
        try:
            flags, account = self._ready(evaluation_context)
            n: Any = int(units) if units == int(units) else units
            if isinstance(flags.enforcer, AsyncEnforcer):
                charge = self._charge(flags.enforcer, account, limit, n, options)
                try:
                    task = asyncio.get_running_loop().create_task(charge)
                except RuntimeError:
                    charge.close()
                    raise
                self._charges.add(task)  # the loop itself would let it be collected
                task.add_done_callback(self._charges.discard)
            else:
                flags.enforcer.consume(account, limit, n, **options)
        except Exception as error:  # noqa: BLE001 - the specification: tracking raises nothing
            _log_uncounted(tracking_event_name, account, error)

    async def _charge(
        self, enforcer: AsyncEnforcer, account: str | Account, limit: str, n: int, options: Mapping[str, Any]
    ) -> None:
        try:
            await enforcer.consume(account, limit, n, **options)
        except Exception as error:  # noqa: BLE001 - the specification: tracking raises nothing
            _log_uncounted(f"{CONSUME}{limit}", account, error)

    # -- events ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        """Tell the SDK what has changed."""
        match event:
            case Reloaded():
                self._on_reloaded()
            case AccountInvalidated():
                self.emit_provider_configuration_changed(ProviderEventDetails(message="accounts have changed"))
            case BreakerChanged(after="open"):
                self._note("store", "the store does not answer; limits follow their on_outage")
            case BreakerChanged(after="closed"):
                self._clear("store")
            case AccountsDown(problem):
                self._note("accounts", f"accounts are served as they were last loaded: {problem}")
            case AccountsBack():
                self._clear("accounts")
            case ReloadFailed(problem=problem):
                self._note("policy", f"the policy in force is not the newest: {problem}")
            case _:
                pass

    def _on_reloaded(self) -> None:
        if self._flags is not None and self._policy is not None:
            before, self._policy = self._policy, self._flags.enforcer.policy
            changed = changed_flags(before, self._policy)
            details = ProviderEventDetails(changed, f"policy {self._policy.version} is in force")
            self.emit_provider_configuration_changed(details)
        self._clear("policy")

    def _note(self, trouble: str, message: str) -> None:
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            self._set_stale()
            self.emit_provider_stale(ProviderEventDetails(message=message))

    def _clear(self, trouble: str) -> None:
        if trouble in self._troubles:
            self._troubles.discard(trouble)
            self._set_stale()
            if not self._troubles:
                self.emit_provider_ready(ProviderEventDetails())

    def _set_stale(self) -> None:
        if self._flags is not None:
            self._flags.is_stale = "accounts" in self._troubles


def _targeting_key(context: EvaluationContext) -> str | None:
    return context.targeting_key


def _sdk_error(error: FlagError) -> OpenFeatureError:
    return OpenFeatureError(ErrorCode(error.code), str(error))


def _log_uncounted(event: str, account: str | Account, error: Exception) -> None:
    id = account if isinstance(account, str) else account.id
    text = redact(str(getattr(error, "error_message", None) or error), id)
    _log.warning("tracking event %r was not counted: %s", event, text, extra={"event": event, "problem": text})
