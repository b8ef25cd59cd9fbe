"""The `notify:` block of a pipeline file: whom a run tells how it ended."""

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Event = Literal["failed", "gate", "rejected", "finished"]
"""How a run can end: it failed or left files out; a gate did not hold; it rejected more rows than
errors.max_rejected; it is done and all is well."""

ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Notify(BaseModel):
    """A webhook, told by a JSON POST at the end of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: str | None = Field(None, description="https URL; http only for loopback")
    webhook_env: str | None = Field(
        None, pattern=ENVIRONMENT_NAME, description="environment variable with the URL"
    )
    events: tuple[Event, ...] = Field(
        ("failed", "gate", "rejected"), min_length=1, description="what is told"
    )
    header: str = Field(
        "Authorization", pattern=r"^[A-Za-z0-9-]+$", description="header for the secret"
    )
    header_env: str | None = Field(
        None, pattern=ENVIRONMENT_NAME, description="environment variable with the header's value"
    )
    allow_private: bool = Field(False, description="the host may be in a private network")

    @field_validator("webhook")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        problem = url_problem(url) if url is not None else None
        if problem:
            raise ValueError(problem)
        return url

    @model_validator(mode="after")
    def _check_one(self) -> "Notify":
        if (self.webhook is None) == (self.webhook_env is None):
            raise ValueError("should have either webhook: URL or webhook_env: NAME")
        return self


def url_problem(url: str) -> str | None:
    """Why a URL cannot be a webhook, as the end of a sentence; None if it can."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is no URL"
    if not (url.isascii() and url.isprintable() and " " not in url):
        return "has characters that a URL cannot have; write them as %41"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "should begin with https:// and name a host"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "should begin with https://; http is for this machine only"
    if parts.username or parts.password:
        return "should hold no user or password; name a secret by  header_env: NAME"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host, as it is written, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
