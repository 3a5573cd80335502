"""What an error of the SDK means: for its request, for the run, and for what was paid."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from hardneg.errors import HardnegError, ModelError, PartError
from hardneg.llm.api import retry_after

LONGEST_RETRY_AFTER = 300.0
BODY = 300
"""Characters of a server's error that are passed on."""
AT_WORK = (408, 504)
"""States of HTTP that say that a server was at work for too long: its answer may have been paid."""


@dataclass(slots=True)
class RefusedError(Exception):
    """This request will never be answered."""

    reason: str


@dataclass(slots=True)
class PassingError(Exception):
    """A failure that may pass. ``kind``: in two words, for counting. ``wait``: seconds that the server asks for, if it
    does. ``lost``: whether an answer may have been generated, and paid, that did not arrive.
    """

    reason: str
    kind: str
    wait: float | None = None
    busy: bool = False
    lost: bool = False


Failure = HardnegError | RefusedError | PassingError


def failure_of(error: Exception, url: str, model: str, key: str | None, clean: Callable[[str], str]) -> Failure:
    """What an error means. ``key``: the variable that holds it. ``clean`` takes the key out of a server's words."""
    import openai

    cause = f" ({type(error.__cause__).__name__})" if error.__cause__ is not None else ""
    told = clean(f"{type(error).__name__}: {error}")  # before the cut, which could leave a part of the key
    reason = " ".join(told.split())[:BODY] + cause
    if not isinstance(error, openai.APIStatusError):
        return _without_status(error, reason, url)
    status = error.status_code
    if status in (401, 403):
        named = f"the key in `{key}`" if key else "the request without a key; name one by `api_key_env`"
        return ModelError(f"{url} refuses {named} (HTTP {status})")
    if status == 404:
        return ModelError(f"{url} knows no model `{model}`, or is not the API's address (HTTP 404: {reason})")
    if status not in (408, 409, 429) and status < 500:
        return RefusedError(f"HTTP {status}: {reason}")
    wait = retry_after(error.response.headers)
    if wait is not None and wait > LONGEST_RETRY_AFTER:
        return ModelError(
            f"{url} asks to wait {wait:.0f} s (HTTP {status}); run again then: what is answered is kept", retryable=True
        )
    busy = status in (429, 529) or wait is not None
    return PassingError(f"HTTP {status}: {reason}", f"HTTP {status}", wait, busy=busy, lost=status in AT_WORK)


def _without_status(error: Exception, reason: str, url: str) -> Failure:
    """A failure of the connection, of time, or of the answer's form."""
    import aiohttp
    import openai

    late = (aiohttp.ServerTimeoutError, asyncio.TimeoutError)
    unconnected = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if isinstance(causes[-1], ssl.SSLCertVerificationError):
        return PartError(
            f"`base_url`: nobody known vouches for the certificate of {url} ({causes[-1].verify_message}); name the "
            "file of an authority that does in SSL_CERT_FILE"
        )
    if any(isinstance(cause, unconnected) for cause in causes):
        return PassingError(reason, "cannot connect")
    if any(isinstance(cause, late) for cause in causes):
        return PassingError(reason if str(error) else "no answer in time", "no answer in time", lost=True)
    if isinstance(error, openai.APIConnectionError):
        return PassingError(reason, "connection lost", lost=True)
    return PassingError(reason, "not the API's form", lost=True)
