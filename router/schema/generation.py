"""What requests for text have in common, whether for a chat or for a completion."""

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import (
    MAX_CHOICES,
    Count,
    LogitBias,
    Only,
    Seed,
    Stops,
    Strict,
    TopK,
)
from router.schema.tolerance import Tolerated
from textdiffusion.settings import KvCache, Remasking


class StreamOptions(Strict):
    """What a stream tells besides."""

    include_usage: bool = Field(False, description="send a last chunk with the usage")
    continuous_usage_stats: bool = Field(
        False, description="with `include_usage`: each chunk before it has the usage so far"
    )
    include_obfuscation: Annotated[Any, Only(False)] = None


class GenerationRequest(Tolerated):
    """The fields that say how many replies there shall be, how long, how sampled, how denoised and how told."""

    model: str | None = Field(
        None, description="which model; GET /v1/models lists them; may be left out where there is but one"
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="length of the canvas: the most tokens that a reply may have; the model's default otherwise"
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="0 takes the likeliest token at each position"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="sample from the likeliest tokens of this total probability"
    )
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = Field(1, description="choices for each prompt")
    stop: Stops | None = Field(None, description="the reply ends before the first of these strings")
    stream: bool = Field(False, description="send the reply as it is denoised, as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with `stream`")
    seed: Seed | None = Field(
        None, description="the same seed gives the same reply again; choice number i of a prompt has `seed` + i"
    )
    logit_bias: LogitBias | None = Field(None, description="added to the logits of these token ids, from -100 to 100")

    steps: Count | None = Field(
        None,
        description="a fixed schedule: denoising steps, shared out over the blocks, at least one for each and at most "
        "one for each position; has no effect beside `threshold` or `factor`, which decide how many steps it takes",
    )
    block_length: Count | None = Field(None, description="positions per block; blocks are filled from left to right")
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="a step commits every position at or above this confidence, and at least one"
    )
    factor: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None,
        description="a step commits as many positions, n, as keep (n + 1)(1 - confidence of the nth) below this, "
        "and at least one",
    )
    max_parallel_tokens: Count | None = Field(None, description="the most positions that a step commits")
    cfg_scale: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="classifier-free guidance; 0: off"
    )
    remasking: Remasking | None = Field(None, description="which positions a step commits first")
    kv_cache: KvCache | None = Field(None, description="keys and values that the steps of a block reuse")
    use_cache: bool | None = Field(None, description="with `use_dual_cache`: Fast-dLLM's way to say `kv_cache`")
    use_dual_cache: bool | None = Field(None, description="see `use_cache`")
    top_k: TopK | None = Field(None, description="sample from this many tokens; 0 or -1: all")
    ignore_eos: bool = Field(
        False,
        description="fill the whole canvas; end tokens and what follows them are then tokens of the reply",
    )
    diffusing: bool = Field(
        False, description="only with `stream`: an event for each step, with the canvas under the key `canvas`"
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "GenerationRequest":
        if self.stream_options and any(asked for _, asked in self.stream_options) and not self.stream:
            raise PydanticCustomError("stream_options", "is only allowed when stream is true")
        if self.diffusing and not self.stream:
            raise PydanticCustomError("diffusing", "is only allowed when stream is true")
        if self.threshold is not None and self.factor is not None:
            raise PydanticCustomError("factor", "and threshold exclude each other; give one of them")
        if self.use_dual_cache and self.use_cache is False:
            raise PydanticCustomError("use_dual_cache", "needs use_cache")
        if self.kv_cache is not None and self.kv_cache not in self._caches_by_flags:
            raise PydanticCustomError("kv_cache", "contradicts use_cache or use_dual_cache")
        return self

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens to tell beside each chosen one; none if log probabilities are not asked for."""
        raise NotImplementedError

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
