"""Which workers there are: one at each address that the router was given, or as many as its name stands for.

A name is looked up again and again. A worker whose address it no longer has gets no new request, and is let go of when
it is done with those that it has.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NoReturn

import structlog

from router.workers.line import Dialer
from router.workers.names import Resolve, workers_behind
from router.workers.worker import Worker
from textdiffusion.addresses import TcpAddress, WorkerAddress, parse_address
from textdiffusion.tasks import cancelled
from textdiffusion.v1.textdiffusion_pb2 import GetInfoResponse

log = structlog.get_logger(__name__)

LOOK_UP_SECONDS: Final = 5.0

Admit = Callable[[GetInfoResponse], Awaitable[None]]


@dataclass(slots=True)
class Site:
    """One of the addresses that the router was given, and the workers that are there now."""

    address: WorkerAddress
    workers: dict[WorkerAddress, Worker] = field(default_factory=dict)
    trouble: str = ""  # why its name cannot be looked up

    @property
    def name(self) -> str:
        return self.address.host if isinstance(self.address, TcpAddress) else ""


class Membership:
    def __init__(
        self, addresses: Sequence[str], dialer: Dialer, resolve: Resolve, admit: Admit, on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when workers have come or gone, and when one has changed its state."""
        self._addresses = addresses
        self._dialer = dialer
        self._resolve = resolve
        self._admit = admit
        self._on_change = on_change
        self._sites: Sequence[Site] = ()
        self._following: dict[Worker, asyncio.Task[NoReturn]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._numbers: set[int] = set()
        self.workers: Sequence[Worker] = ()  # replaced and never changed: other threads read it

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follows every worker for as long as the context lasts."""
        self._sites = [Site(parse_address(address)) for address in self._addresses]
        for site in self._sites:
            site.workers[site.address] = self._meet(site, site.address)
        self._changed()
        looking_up = [asyncio.create_task(self._follow(site)) for site in self._sites]
        try:
            yield
        finally:
            await cancelled(*looking_up)
            await cancelled(*self._following.values(), *self._leaving)
            await asyncio.gather(*(worker.close() for worker in self.workers))

    async def _follow(self, site: Site) -> None:
        if not (isinstance(site.address, TcpAddress) and site.address.is_name):
            self._become(site, [site.address])
            return
        while True:
            try:
                ips = await self._resolve(site.address.host)
                if not ips:
                    raise OSError("it has no address")  # noqa: TRY301 - to whoever asks, this is no answer either
                self._become(site, workers_behind(site.address, ips))
                self._can_look_up(site)
            except OSError as error:
                self._cannot_look_up(site, error.strerror or str(error))
            except Exception as error:  # else nobody would look it up any longer, and nobody would know
                log.exception("name cannot be followed", name=site.name)
                self._cannot_look_up(site, f"the router failed ({type(error).__name__}); its log says how")
            await asyncio.sleep(LOOK_UP_SECONDS)

    def _cannot_look_up(self, site: Site, trouble: str) -> None:
        """Whatever workers it had, it keeps."""
        if trouble == site.trouble:
            return
        site.trouble = trouble
        strangers = [worker for worker in site.workers.values() if worker not in self._following]
        for worker in strangers:
            worker.lose(f"{site.name} cannot be looked up: {trouble}")
        if not strangers:
            log.warning("name cannot be looked up", name=site.name, reason=trouble, workers=len(site.workers))

    def _can_look_up(self, site: Site) -> None:
        if site.trouble:
            log.info("name can be looked up again", name=site.name)
            site.trouble = ""

    def _become(self, site: Site, wanted: Sequence[WorkerAddress]) -> None:
        for address in [one for one in site.workers if one not in wanted]:
            self._dismiss(site.workers.pop(address))
        for address in wanted:
            worker = site.workers.get(address) or self._meet(site, address)
            site.workers[address] = worker
            if worker not in self._following:
                self._following[worker] = asyncio.create_task(worker.follow(self._admit))
        self._changed()

    def _meet(self, site: Site, address: WorkerAddress) -> Worker:
        """Gives it the lowest number that is free, so that the series of the metrics stay few however many come."""
        number = next(one for one in count() if one not in self._numbers)
        self._numbers.add(number)
        return Worker(self._dialer.dial(address, site.name), number, self._on_change)

    def _dismiss(self, worker: Worker) -> None:
        self._numbers.remove(worker.number)
        leaving = asyncio.create_task(self._let_go(worker, self._following.pop(worker, None)))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _let_go(self, worker: Worker, following: "asyncio.Task[NoReturn] | None") -> None:
        try:
            if following:
                log.info("worker has left", address=worker.address, number=worker.number)
                await cancelled(following)
            await worker.finish()
        finally:
            await worker.close()

    def _changed(self) -> None:
        self.workers = tuple(worker for site in self._sites for worker in site.workers.values())
        self._on_change()
