"""The servers that are asked, and what they and the machines cost."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ftvp_core.spec.parts import Part, Price


class ProviderSpec(Part):
    base_url: str = Field(pattern=r"^https?://")
    api_key_env: str | None = None
    batch: bool = False

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        """What no request could be sent to is said before one is; and a password would stand in the store and its reports."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna")
            _ = parts.port  # raises where it is none
        except ValueError as error:
            raise ValueError(f"found {url!r}; expected an address such as https://host/v1 ({error})") from None
        if "@" in parts.netloc:
            raise ValueError("found a name or password in it; leave them out, and name the key in api_key_env")
        if not host or parts.query or parts.fragment or any(char.isspace() for char in url):
            raise ValueError(f"found {url!r}; expected an address such as https://host/v1")
        return url


#: What `openai` is where a file doesn't say.
OPENAI = ProviderSpec(base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY")


class TokenPrice(Part):
    """USD per million tokens. `cached_input` is the input's price where it isn't given."""

    input: Price
    cached_input: Price | None = None
    output: Price


class Prices(BaseModel):
    """The user's own prices: `provider/model` keys, and the hours of the machines."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, TokenPrice]
    machine_hour: Price | None = None
    gpu_hour: Price | None = None

    def of(self, model: str) -> TokenPrice | None:
        return self.__pydantic_extra__.get(model)
