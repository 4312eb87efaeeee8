import asyncio
from pathlib import Path

import pytest

from launcher.watch import Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("one")
    return path


async def noticed(watch: Watch) -> None:
    await asyncio.wait_for(watch.changed(0.01), 60)


async def not_noticed(watch: Watch) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(watch.changed(0.01), 0.2)


async def test_a_file_that_stays_as_it_is_is_no_news(file: Path) -> None:
    watch = Watch(file)
    file.touch()
    await not_noticed(watch)


async def test_a_change_is_told_once(file: Path) -> None:
    watch = Watch(file)
    file.write_text("two")
    await noticed(watch)
    await not_noticed(watch)


async def test_a_change_while_nobody_waits_is_told_to_the_next_who_does(file: Path) -> None:
    watch = Watch(file)
    file.write_text("two")
    await asyncio.sleep(0)
    await noticed(watch)


async def test_a_file_that_is_replaced_through_a_link_has_changed(file: Path, tmp_path: Path) -> None:
    link, second = tmp_path / "link", tmp_path / "second"
    second.write_text("two")
    link.symlink_to(file)
    watch = Watch(link)
    link.unlink()
    link.symlink_to(second)
    await noticed(watch)


async def test_a_file_that_goes_or_comes_has_changed(file: Path) -> None:
    watch = Watch(file)
    file.unlink()
    await noticed(watch)
    file.write_text("one")
    await noticed(watch)


async def test_while_somebody_writes_on_nothing_is_told(file: Path) -> None:
    watch = Watch(file)
    told = asyncio.create_task(watch.changed(0.05))
    for number in range(60):
        file.write_text(str(number))
        await asyncio.sleep(0.01)
        assert not told.done()
    await asyncio.wait_for(told, 60)


async def test_any_of_several_files_counts(file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    watch = Watch(file, keys)
    keys.write_text("alice")
    await noticed(watch)
