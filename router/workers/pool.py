"""The workers that this router was given, and the models that they turn out to serve."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import Final

from router.errors import InvalidValueError, ModelNotFoundError, NoHealthyWorkersError
from router.text.tokenizer import ChatTokenizer, TokenizerUnavailableError, load_tokenizer
from router.workers.balancer import Balancer
from router.workers.breaker import Call
from router.workers.budget import RetryBudget
from router.workers.line import Dialer
from router.workers.membership import Membership
from router.workers.model import Model
from router.workers.names import Resolve, resolve
from router.workers.worker import Worker, WorkerRefusedError, WorkerState
from textdiffusion.model_names import check_model_id
from textdiffusion.tasks import holds_within
from textdiffusion.v1.textdiffusion_pb2 import GetInfoResponse

CLEARTEXT: Final = Dialer()

LoadTokenizer = Callable[[str, Collection[int], str | None], ChatTokenizer]
NO_TEMPLATES: Final[Mapping[str, str]] = MappingProxyType({})


class Pool:
    def __init__(
        self,
        addresses: Sequence[str],
        dialer: Dialer = CLEARTEXT,
        *,
        load: LoadTokenizer = load_tokenizer,
        resolve: Resolve = resolve,
        templates: Mapping[str, str] = NO_TEMPLATES,
    ) -> None:
        """`templates` are chat templates in place of those that come with tokenizers, by the ids of their models."""
        self._membership = Membership(addresses, dialer, resolve, self._admit, self._changed)
        self._load = load
        self._templates = templates
        self._models: dict[str, Model] = {}
        self._balancer: Balancer[Worker] = Balancer()
        self._admitting = asyncio.Lock()
        self.retries = RetryBudget(lambda: sum(worker.places for worker in self.workers))
        self.on_change: Callable[[], None] = lambda: None  # a worker has come or gone

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Follows every worker for as long as the context lasts."""
        async with self._membership.followed():
            yield

    @property
    def workers(self) -> Sequence[Worker]:
        return self._membership.workers

    @property
    def models(self) -> Mapping[str, Model]:
        return self._models

    @property
    def ready(self) -> bool:
        return any(worker.state is WorkerState.SERVING for worker in self.workers)

    async def heard_of_all(self, seconds: float, most: float) -> None:
        """Returns once it is known of every worker whether it serves; one that cannot be reached does not.

        Waits `seconds` for workers that say nothing, and `most` seconds for the tokenizers of those that serve.
        """
        await holds_within(seconds, lambda: all(worker.heard_of for worker in self.workers))
        await holds_within(most, lambda: all(worker.heard_of or worker.info is None for worker in self.workers))

    def model(self, name: str | None) -> Model:
        """Return the model of that name or, where there is but one, that one if none is named.

        Raises `InvalidValueError` where one of several would have to be named, `ModelNotFoundError`, or
        `NoHealthyWorkersError` while some worker may turn out to serve it.
        """
        if name is None:
            return self._only_model()
        if name in self._models:
            return self._models[name]
        if not self._models or any(worker.may_serve(name) for worker in self.workers):
            raise NoHealthyWorkersError
        raise ModelNotFoundError(f"There is no model {name!r:.200}; there is {', '.join(self._models)}.", param="model")

    def _only_model(self) -> Model:
        if not self._models:
            raise NoHealthyWorkersError
        if len(self._models) > 1:
            raise InvalidValueError(f"model is required; there is {', '.join(self._models)}.", param="model")
        return next(iter(self._models.values()))

    def serving(self, model_id: str) -> list[Worker]:
        return [
            worker
            for worker in self.workers
            if worker.state is WorkerState.SERVING and worker.info and worker.info.model_id == model_id
        ]

    def places(self, model_id: str) -> int:
        """How many requests the workers of a model run at once."""
        return sum(worker.places for worker in self.serving(model_id))

    def outstanding(self, worker: Worker) -> int:
        return self._balancer.outstanding(worker)

    def choose(self, model: Model, avoiding: Container[Worker] = ()) -> Worker:
        """The worker of `model` that has the least to do. Raises `NoHealthyWorkersError`.

        While a request waited, workers of other weights may have come; its ids would mean nothing to them.
        """
        healthy = [
            worker
            for worker in self.serving(model.id)
            if worker.info and model.agrees_with(worker.info) and worker not in avoiding
        ]
        candidates = [worker for worker in healthy if worker.breaker.takes_calls]
        if not candidates:
            waits = [worker.breaker.seconds_to_wait for worker in healthy]
            raise NoHealthyWorkersError(retry_after=min(waits, default=None))
        return self._balancer.choose(candidates)

    @contextmanager
    def lease(self, worker: Worker, positions: int) -> Iterator[Call]:
        """Lasts as long as the call of a worker that was just chosen; what is raised in it tells how the call went."""
        with self._balancer.lease(worker, positions), worker.judged() as call:
            yield call

    def _changed(self) -> None:
        self._balancer.keep(self.workers)
        for model_id in self._models:
            if infos := self._infos(model_id):
                self._models[model_id] = self._models[model_id].bounded_by(infos)
        self.on_change()

    def _infos(self, model_id: str) -> list[GetInfoResponse]:
        return [worker.info for worker in self.serving(model_id) if worker.info]

    async def _admit(self, info: GetInfoResponse) -> None:
        """Learns the model of a worker that says it serves. Raises `WorkerRefusedError`.

        Two workers of one model must give the same tokens for the same request, so one that differs stays out for as
        long as others serve that model.
        """
        try:
            check_model_id(info.model_id)
        except ValueError as error:
            raise WorkerRefusedError(str(error)) from error
        async with self._admitting:
            known = self._models.get(info.model_id)
            if known and known.agrees_with(info):
                newest = Model.from_info(info, known.tokenizer, known.created)
                self._models[info.model_id] = newest.bounded_by([info, *self._infos(info.model_id)])
                return
            if known and self.serving(info.model_id):
                raise WorkerRefusedError(f"it serves another {info.model_id} than the workers that are there already")
            tokenizer = await self._tokenizer_for(info)
            # What a tokenizer brings with it stays. Looking through all of it for garbage, again and again, would stop
            # every request for tens of milliseconds.
            gc.freeze()
            self._models[info.model_id] = Model.from_info(info, tokenizer, created=int(time.time()))

    async def _tokenizer_for(self, info: GetInfoResponse) -> ChatTokenizer:
        if not info.tokenizer:
            raise WorkerRefusedError("its model has no tokenizer")
        control_ids = {info.mask_token_id, *info.eos_token_ids}
        try:
            tokenizer = await asyncio.to_thread(
                self._load, info.tokenizer, control_ids, self._templates.get(info.model_id)
            )
        except TokenizerUnavailableError as error:
            raise WorkerRefusedError(str(error)) from error
        if info.tokenizer_fingerprint not in ("", tokenizer.fingerprint):
            raise WorkerRefusedError(f"its tokenizer is not the one at {info.tokenizer}")
        return tokenizer
