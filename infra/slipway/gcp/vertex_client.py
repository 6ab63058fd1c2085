"""Vertex AI's services for models and endpoints, as the dynamic providers ask them: who asks, where, and errors as sentences.

Imported by a provider when it first asks something, never while a plan is made: Google's client takes two seconds to load.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from slipway.gcp.vertex_login import Login

try:
    import google.auth
    import google.oauth2.credentials
    import google.oauth2.service_account
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.api_core.retry import Retry, if_transient_error
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.aiplatform_v1.services.endpoint_service import EndpointServiceClient
    from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
except ImportError as error:
    raise ImportError(
        "models and deployments on Vertex AI need google-cloud-aiplatform; install it with: pip install 'slipway[gcp]'"
    ) from error

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ENDPOINT_VARIABLE = "GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT"
"""Another address of the service, by the name that Google's provider for Pulumi reads too: `https://HOST/v1/`."""
RETRY_SECONDS = 120.0
_ADDRESS = re.compile(r"^(GET|POST|PATCH|DELETE) \S+: ")
T = TypeVar("T")


class VertexError(Exception):
    """Vertex AI did not do as asked; the message says what, why, and what is left behind."""


class Vertex:
    """The two services in one region."""

    def __init__(self, location: str, login: Login) -> None:
        """
        Raises:
            VertexError: There are no credentials.
        """
        address = os.environ.get(ENDPOINT_VARIABLE) or f"https://{location}-aiplatform.googleapis.com"
        options = ClientOptions(api_endpoint=address.removesuffix("/").removesuffix("/v1"))
        found = _credentials(login)
        # By HTTP and JSON: it goes through proxies, and a fork of this process does no harm.
        self.models: Any = ModelServiceClient(credentials=found, client_options=options, transport="rest")
        self.endpoints: Any = EndpointServiceClient(credentials=found, client_options=options, transport="rest")

    def ask(self, method: Callable[..., T], request: Mapping[str, Any] | object) -> T:
        """Call a method, again while the service is not to be had.

        Everything asked here may be asked twice: what is made has an id of its own, so that a second time finds the first.

        Raises:
            google.api_core.exceptions.NotFound: It is not there.
            google.api_core.exceptions.Conflict: It is there already, or changes at this moment.
            VertexError: Everything else that the service answers, in words.
        """
        try:
            return method(request=request, retry=_RETRY, timeout=60.0)
        except (exceptions.NotFound, exceptions.Conflict):
            raise
        except GoogleAuthError as error:
            raise VertexError(f"Google Cloud gives no token: {error}; {_HOW}") from None
        except exceptions.GoogleAPIError as error:
            raise VertexError(told(error)) from None


def told(error: exceptions.GoogleAPIError) -> str:
    """An error of the service in one line, without the method and address that Google's client puts before it."""
    if not isinstance(error, exceptions.GoogleAPICallError):
        return f"Vertex AI does not answer: {error}"
    message: Any = cast("Any", error).message
    said = _ADDRESS.sub("", message or "").rstrip(".")
    how = f"; {_HOW}" if isinstance(error, exceptions.Unauthorized) else ""
    return f"{said} ({error.code} {type(error).__name__}){how}"


_HOW = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"


def _transient(error: BaseException) -> bool:
    # A quota that is used up is told at once: it does not come back in two minutes.
    return if_transient_error(cast("Exception", error)) and not isinstance(error, exceptions.TooManyRequests)


_RETRY = Retry(predicate=_transient, initial=0.2, maximum=10.0, timeout=RETRY_SECONDS)


def _credentials(login: Login) -> Any:
    oauth: Any = google.oauth2.credentials
    account: Any = google.oauth2.service_account
    auth: Any = google.auth
    if login.access_token:
        return oauth.Credentials(login.access_token)
    try:
        if login.key:
            return account.Credentials.from_service_account_info(login.key, scopes=[SCOPE])
        if login.key_file:
            return auth.load_credentials_from_file(login.key_file, scopes=[SCOPE])[0]
        return auth.default(scopes=[SCOPE])[0]
    except (GoogleAuthError, ValueError) as error:
        raise VertexError(f"there are no credentials for Google Cloud: {error}; {_HOW}") from None
