from worker.engine.batch import rounded_down, rounded_up


def test_row_counts_come_in_few_sizes_that_waste_little() -> None:
    sizes = {rounded_up(rows) for rows in range(1, 2049)}
    assert len(sizes) < 50
    assert all(rows <= rounded_up(rows) < rows + max(4, rows / 4 + 1) for rows in range(1, 10_000))
    assert all(rounded_up(size) == size for size in sizes)


def test_a_chunk_is_one_of_the_sizes_and_not_above_its_bound() -> None:
    assert [rounded_down(rows) for rows in (131, 128, 65, 4, 2, 0)] == [128, 128, 64, 4, 4, 4]
    assert all(rounded_up(rounded_down(rows)) == rounded_down(rows) for rows in range(5000))
