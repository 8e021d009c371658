"""Settings of an endpoint, read from ``PINGTI_ENDPOINT_*`` environment variables."""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pingti.errors import InputError
from pingti.validation import faults_of, sentence


def _variable(pointer: str) -> str:
    """The variable that sets the field of a JSON pointer."""
    return f"PINGTI_ENDPOINT_{pointer.split('/')[1].upper()}" if pointer else "settings"


class EndpointSettings(BaseSettings):
    """One immutable value for the process."""

    model_config = SettingsConfigDict(env_prefix="PINGTI_ENDPOINT_", frozen=True, extra="ignore")

    model: Path = Field(
        default=Path("/opt/ml/model"),
        description="What `pingti export --format sagemaker` wrote, or a folder of several of them.",
    )
    host: str = Field(default="0.0.0.0", description="Where the endpoint listens.")
    port: int = Field(default=8080, ge=0, le=65535, description="Its port; 0: a free one.")
    body_bytes: int = Field(
        default=32 << 20, ge=1, description="Most bytes of a request's body; a larger one is answered by 413."
    )

    @classmethod
    def of_environment(cls) -> Self:
        """Read the settings.

        Raises:
            InputError: a variable has a wrong value; the sentence names it.
        """
        try:
            return cls()
        except ValidationError as error:
            faults = faults_of(error.errors(include_url=False), show_values=True)
            raise InputError(sentence(faults, _variable), faults=faults) from error
