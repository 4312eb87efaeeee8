"""What requests for text have in common, whether for a chat or for a completion."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import (
    MAX_CHOICES,
    LogitBias,
    Only,
    Stops,
    Strict,
)
from router.schema.tolerance import Tolerated
from textdiffusion.generation_options import OPTIONS, KvCache
from textdiffusion.option_fields import OptionFields
from textdiffusion.option_layers import contradictions


class StreamOptions(Strict):
    """What a stream tells besides."""

    include_usage: bool = Field(False, description="send a last chunk with the usage")
    continuous_usage_stats: bool = Field(
        False, description="with `include_usage`: each chunk before it has the usage so far"
    )
    include_obfuscation: Annotated[Any, Only(False)] = None


class ReplyRequest(Tolerated):
    """The fields that say whose replies there shall be, how many, how far and how told."""

    model: str | None = Field(
        None, description="which model; GET /v1/models lists them; may be left out where there is but one"
    )
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = Field(1, description="choices for each prompt")
    stop: Stops | None = Field(None, description="the reply ends before the first of these strings")
    include_stop_str_in_output: bool = Field(False, description="the string that ends the reply is a part of it")
    skip_special_tokens: bool = Field(True, description="leave special tokens out of the text, or spell them")
    stream: bool = Field(False, description="send the reply as it is denoised, as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with `stream`")
    diffusing: bool = Field(
        False, description="only with `stream`: an event for each step, with the canvas under the key `canvas`"
    )


class GenerationRequest(OptionFields, ReplyRequest):
    """And those that say how they are sampled and denoised."""

    @property
    def own_defaults(self) -> Mapping[str, Any]:
        """What is sent where a client leaves it out, to models that know it."""
        return {"end_of_thinking_boost": 0.0} if self.is_without_thinking else {}

    @property
    def is_without_thinking(self) -> bool:
        """Whether the model shall not think first, and so is not to be brought to its end."""
        return bool(self.reasoning_effort == "none" or self.thinking_token_budget == 0)

    # What is more than the model holds is refused in OpenAI's words, however much it is.
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description=OPTIONS["max_tokens"].meaning)
    # The keys of JSON are texts.
    logit_bias: LogitBias | None = Field(None, description=OPTIONS["logit_bias"].meaning)
    use_cache: bool | None = Field(None, description="with `use_dual_cache`: Fast-dLLM's way to say `kv_cache`")
    use_dual_cache: bool | None = Field(None, description="see `use_cache`")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "GenerationRequest":
        if self.stream_options and any(asked for _, asked in self.stream_options) and not self.stream:
            raise PydanticCustomError("stream_options", "is only allowed when stream is true")
        if self.diffusing and not self.stream:
            raise PydanticCustomError("diffusing", "is only allowed when stream is true")
        if self.use_dual_cache and self.use_cache is False:
            raise PydanticCustomError("use_dual_cache", "needs use_cache")
        if self.kv_cache is not None and self.kv_cache not in self._caches_by_flags:
            raise PydanticCustomError("kv_cache", "contradicts use_cache or use_dual_cache")
        for name, reason, _ in contradictions(self.options):
            raise PydanticCustomError(name, reason.replace("max_tokens", self.max_tokens_field))
        return self

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens to tell beside each chosen one; none if log probabilities are not asked for."""
        raise NotImplementedError

    @property
    def options(self) -> dict[str, Any]:
        """The options that are given, by their own names, in whichever way."""
        given = {name: getattr(self, name) for name in OPTIONS}
        given.update(max_tokens=self.reply_length, kv_cache=self.cache)
        return {name: value for name, value in given.items() if value is not None}

    @property
    def choices(self) -> int:
        """How many the reply has."""
        return self.n

    @property
    def max_tokens_field(self) -> str:
        """The name under which this request says how long the reply may be."""
        return "max_tokens"

    def field_of_worker(self, name: str) -> str:
        """Return the name by which this request gave a field that workers call `name`."""
        if name == "gen_length":
            return self.max_tokens_field
        if name == "kv_cache" and self.kv_cache is None and self.cache is not None:
            return "use_cache" if self.use_dual_cache is None else "use_dual_cache"
        return name

    @property
    def reply_length(self) -> int | None:
        return self.max_tokens

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def continuous_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.continuous_usage_stats

    @property
    def cache(self) -> KvCache | None:
        """The kv_cache that is asked for, in whichever way."""
        if self.kv_cache is None and (self.use_cache, self.use_dual_cache) == (None, None):
            return None
        return self.kv_cache or self._caches_by_flags[0]

    @property
    def _caches_by_flags(self) -> list[KvCache]:
        """The values of `kv_cache` that Fast-dLLM's flags allow, first the one that they mean there."""
        left: list[KvCache] = ["prefix", "dual", "none"]
        if self.use_cache is not None:
            left = [cache for cache in left if (cache != "none") is self.use_cache]
        if self.use_dual_cache is not None:
            left = [cache for cache in left if (cache == "dual") is self.use_dual_cache]
        return left
