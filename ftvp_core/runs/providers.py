"""Where a candidate's server is, and the key for it."""

import os

from ftvp_core.errors import UserError
from ftvp_core.models import RemoteModel
from ftvp_core.runs.arms import Arm
from ftvp_core.spec import OPENAI, Candidate, ProviderSpec, Spec


def open_remote(arm: Arm, spec: Spec) -> RemoteModel:
    """The arm's server. Call it inside the event loop that will use it."""
    from ftvp_core.models.openai_compatible import OpenAICompatible

    provider = provider_of(arm.candidate, spec)
    return OpenAICompatible(
        provider.base_url, arm.candidate.model_name, api_key(provider, f"candidate {arm.candidate.name}")
    )


def identity_of(arm: Arm, spec: Spec) -> str:
    """What the cache knows the arm's server and model by, without opening it."""
    from ftvp_core.models import openai_batches, openai_compatible

    identity = openai_batches.identity if arm.is_batched else openai_compatible.identity
    return identity(provider_of(arm.candidate, spec).base_url, arm.candidate.model_name)


def api_key(provider: ProviderSpec, where: str) -> str | None:
    """The provider's key, from the environment. Raises UserError when it is named and unset."""
    if provider.api_key_env is None:
        return None
    key = os.environ.get(provider.api_key_env)
    if not key:
        raise UserError(
            where, f"the environment variable {provider.api_key_env} is not set", "set it to the provider's key"
        )
    key = key.strip()
    if not key.isprintable():
        raise UserError(where, f"the environment variable {provider.api_key_env} holds a control character", "mend it")
    return key


def provider_of(candidate: Candidate, spec: Spec) -> ProviderSpec:
    return provider_named(candidate.provider or "", spec)


def provider_named(name: str, spec: Spec) -> ProviderSpec:
    """Where a provider's server is; OpenAI's own needs no entry."""
    if name == "openai" and name not in spec.providers:
        return OPENAI
    return spec.providers[name]
