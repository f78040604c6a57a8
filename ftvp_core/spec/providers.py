"""The servers that are asked, and what they and the machines cost."""

from pydantic import BaseModel, ConfigDict, Field

from ftvp_core.spec.parts import Part, Price


class ProviderSpec(Part):
    base_url: str = Field(pattern=r"^https?://")
    api_key_env: str | None = None
    batch: bool = False


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
