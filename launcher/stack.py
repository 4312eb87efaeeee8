"""The processes of one stack: the workers, and the router in front of them.

Workers serve before a router is told of them, and a router has left before its workers do, so no request ever meets a
stack that is half there. A router keeps the settings and the workers that it was started with: for others there is
another one, which takes over the port.
"""

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from launcher.acceptance import RefusedError, uses_all
from launcher.changes import beside, changes
from launcher.console import Console
from launcher.health import Health, RouterHealth, WorkerHealth
from launcher.plan import Plan, WorkerSpec, external_addresses, router_plan, worker_plan, worker_specs
from launcher.ports import Doors
from launcher.processes import Router, Worker
from launcher.settings import LauncherRoot
from launcher.supervised import POLL_SECONDS, StartError, Supervised
from textdiffusion.settings import LauncherSettings
from textdiffusion.status import CONTROL
from textdiffusion.tasks import cancelled, together

# By then the workers serve, and all that is left to load is a tokenizer.
ROUTER_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What a stack runs on."""

    runtime: Path  # the folder of its sockets
    devices: Sequence[str]  # that "auto" stands for
    memory: Mapping[str, int]  # bytes of each device, as far as known, that were left before anything was started
    console: Console


class Stack:
    """The router in charge is the last of `_routers`; those before it are about to leave.

    What is wanted is what was configured last; where something of it did not start, not all of it runs.
    """

    def __init__(self, root: LauncherRoot, doors: Doors, machine: Machine, on_lost: Callable[[], None]) -> None:
        """`on_lost` is called when nothing is left that could serve."""
        self._wanted_root = root
        self._wanted_doors = doors
        self._machine = machine
        self._on_lost = on_lost
        self._workers: list[Worker] = []  # in the order in which they were started
        self._leaving: list[Worker] = []
        self._routers: list[Router] = []
        self._arriving: list[Router] = []  # the one that starts and is not in charge yet
        self._farewells: set[asyncio.Task[None]] = set()  # of routers that leave
        self._numbers = {"worker": count(), "router": count()}

    @property
    def processes(self) -> list[Supervised]:
        routers = (router.process for router in (*self._routers, *self._arriving))
        return [*routers, *(worker.process for worker in (*self._workers, *self._leaving))]

    @property
    def doors_in_use(self) -> Doors:
        """Those of the router in charge: there is one as soon as the stack has started."""
        return self._routers[-1].doors

    async def start(self) -> None:
        """Returns once all of it serves. Raises `StartError`."""
        await together(*(self._start_worker(spec) for spec in self._specs(self._wanted_root)))
        await self._take_over()

    async def apply(self, root: LauncherRoot, doors: Doors) -> bool:
        """Makes of the stack what is configured now, one process after the other; whether there was anything to do.

        Raises `StartError` if something new does not start. What had been replaced by then stays so; all else runs on
        as it was, with the defaults that the router in charge knows of.
        """
        self._wanted_root, self._wanted_doors = root, doors
        try:
            return await self._become(self._specs(root))
        finally:
            self._notice_loss()  # of what was given up while something else was about to take its place

    async def stop(self) -> None:
        """First the routers, when they have answered whom they had accepted; then the workers."""
        await cancelled(*self._farewells)
        await together(*(router.process.stop(router.drain_seconds) for router in (*self._routers, *self._arriving)))
        await self._stop([*self._workers, *self._leaving])

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    async def _become(self, wanted: Sequence[WorkerSpec]) -> bool:
        failed = {worker.spec.place: worker for worker in self._workers if worker.process.given_up}
        usable = [worker.spec for worker in self._usable]
        changed = changes(usable, [spec for spec in wanted if spec.place not in failed])
        added = await self._add(changed.start)
        for old, new in changed.replace:
            await self._replace(self._of(old), new)
        await self._retire([self._of(spec) for spec in changed.stop], added)
        await self._tell(changed.tell)
        differs = await self._update_router()
        # Last, and each for itself: whoever could not be started before may not be in the way of all others.
        specs = {spec.place: spec for spec in wanted}
        await self._forget([worker for place, worker in failed.items() if place not in specs])
        for place in [place for place in failed if place in specs]:
            await self._revive(failed[place], specs[place])
        return await self._update_router() or differs or bool(changed) or bool(failed)

    async def _add(self, specs: Iterable[WorkerSpec]) -> Sequence[Worker]:
        before = list(self._workers)
        try:
            return await together(*(self._start_worker(spec) for spec in specs))
        except StartError:
            await self._forget([worker for worker in self._workers if worker not in before])
            raise

    async def _replace(self, old: Worker, spec: WorkerSpec) -> None:
        if beside(old.spec, [worker.spec for worker in self._usable]):
            new = await self._start_worker(spec)
            try:
                await self._retire([old], [new])
            except StartError:
                await self._forget([new])
                raise
            return
        await self._retire([old], [])
        try:
            await self._start_worker(spec)
        except StartError:
            await self._start_worker(old.spec)
            await self._take_over()
            raise
        await self._take_over()

    async def _revive(self, worker: Worker, spec: WorkerSpec) -> None:
        """Gives a worker that was given up another chance; if it fails again, it stays given up."""
        worker.process.plan = worker_plan(spec, worker.process.name, self._machine.runtime)
        self._workers.remove(worker)
        self._workers.append(Worker(spec, worker.process))
        try:
            await worker.process.start()
        except StartError as error:
            self._machine.console.complain(str(error), error.lines)

    async def _retire(self, workers: Sequence[Worker], successors: Sequence[Worker]) -> None:
        """Stops workers once no router knows of them any more, and one uses their successors."""
        if not workers:
            return
        before = self._workers
        self._workers = [worker for worker in before if worker not in workers]
        self._leaving = list(workers)
        try:
            await self._take_over(successors)
        except StartError:
            self._workers, self._leaving = before, []
            raise
        await asyncio.gather(*self._farewells)
        await self._stop(workers)
        self._leaving = []

    async def _tell(self, changed: Sequence[tuple[WorkerSpec, WorkerSpec]]) -> None:
        """Gives workers that run other defaults, and has a router that starts read them there.

        If it does not start, the workers get back those that the router in charge has read.
        """
        if not changed:
            return
        for old, new in changed:
            self._adjust(self._of(old), new)
        try:
            await self._take_over()
        except StartError:
            for old, new in changed:
                self._adjust(self._of(new), old)
            raise

    def _adjust(self, worker: Worker, spec: WorkerSpec) -> None:
        """Changes what can be changed in a worker that runs, now and for when it is started again."""
        worker.process.plan = worker_plan(spec, worker.process.name, self._machine.runtime)
        worker.process.tell(spec.live)
        self._workers[self._workers.index(worker)] = Worker(spec, worker.process)
        self._machine.console.say(f"{worker.process.name} was told its settings")

    async def _forget(self, workers: Sequence[Worker]) -> None:
        """Ends workers that no router uses."""
        self._workers = [worker for worker in self._workers if worker not in workers]
        await self._stop(workers)

    async def _start_worker(self, spec: WorkerSpec) -> Worker:
        plan = worker_plan(spec, f"worker-{next(self._numbers['worker'])}", self._machine.runtime)
        worker = Worker(spec, self._supervised(plan, WorkerHealth(plan.address), self._wanted_root.launcher))
        self._workers.append(worker)
        try:
            await worker.process.start()
        except StartError:
            await self._forget([worker])
            raise
        return worker

    async def _update_router(self) -> bool:
        """Has another router take over if this one is not what is configured now; whether that was so."""
        running = self._routers[-1].process
        differs = self._router_plan(running.name) != running.plan
        if differs:
            await self._take_over()
        return differs

    async def _take_over(self, needed: Sequence[Worker] = ()) -> None:
        """Starts a router for what is configured now; when it uses the workers, the one before it leaves."""
        number = next(self._numbers["router"])
        plan = self._router_plan(f"router-{number}" if number else "router")
        try:
            self._wanted_doors.open()
        except OSError as error:
            raise StartError(f"cannot listen at {self._wanted_doors.url}: {error.strerror}") from error
        limit = min(self._wanted_root.launcher.start_timeout_seconds, ROUTER_START_SECONDS)
        health = RouterHealth(Path(plan.environment[CONTROL]))
        settings = self._wanted_root.launcher.model_copy(update={"start_timeout_seconds": limit})
        process = self._supervised(plan, health, settings)
        router = Router(self._wanted_root, self._wanted_doors, process)
        self._arriving = [router]
        try:
            await process.start()
            await self._accepted(process, health, [worker.process for worker in needed])
        except StartError:
            await process.stop(router.drain_seconds)  # it may have accepted connections
            self._arriving = []
            raise
        before = self._routers[-1:]
        self._routers.append(router)
        self._arriving = []
        for each in before:
            farewell = asyncio.create_task(self._see_off(each))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)

    async def _see_off(self, router: Router) -> None:
        await router.process.leave(signal.SIGUSR1, router.patience_seconds)
        self._routers.remove(router)

    async def _accepted(self, router: Supervised, health: RouterHealth, needed: Sequence[Supervised]) -> None:
        """Returns once the router uses all workers that serve, and those that are `needed` do. Raises `StartError`."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + ROUTER_START_SECONDS
        while not any(process.given_up for process in (router, *needed)) and clock() < give_up:
            serving = [worker.process for worker in self._in_front() if worker.process.state == "ready"]
            try:
                used = uses_all(await health.details(), {process.plan.address: process.name for process in serving})
            except RefusedError as error:
                raise StartError(str(error)) from error
            if used and all(process in serving for process in needed):
                return
            await asyncio.sleep(POLL_SECONDS)
        missing = next((process.name for process in needed if process.state != "ready"), "the workers that serve")
        raise StartError(f"{router.name} does not use {missing}")

    def _router_plan(self, name: str) -> Plan:
        addresses = [worker.process.plan.address for worker in self._in_front()]
        return router_plan(self._wanted_root, name, self._wanted_doors, addresses, self._machine.runtime)

    def _in_front(self) -> list[Worker]:
        """Those that may serve together: of each model, the ones with the weights of the last to be started."""
        weights = {worker.spec.model: worker.spec.weights for worker in self._usable}
        return [worker for worker in self._usable if worker.spec.weights == weights[worker.spec.model]]

    def _specs(self, root: LauncherRoot) -> list[WorkerSpec]:
        return worker_specs(root, self._machine.devices, self._machine.memory)

    @property
    def _usable(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.process.given_up]

    def _supervised(self, plan: Plan, health: Health, settings: LauncherSettings) -> Supervised:
        return Supervised(plan, health, settings, self._machine.console, self._notice_loss)

    def _notice_loss(self) -> None:
        in_charge = self._routers[-1:]
        routers = [*in_charge, *self._arriving]
        no_router = bool(routers) and all(router.process.given_up for router in routers)
        root = in_charge[0].root if in_charge else self._wanted_root
        no_worker = not any(external_addresses(root)) and all(
            worker.process.given_up for worker in (*self._workers, *self._leaving)
        )
        if no_router or no_worker:
            self._on_lost()

    async def _stop(self, workers: Sequence[Worker]) -> None:
        await together(*(worker.process.stop(self._wanted_root.launcher.grace_seconds) for worker in workers))

    def _of(self, spec: WorkerSpec) -> Worker:
        return next(worker for worker in self._workers if worker.spec == spec)
