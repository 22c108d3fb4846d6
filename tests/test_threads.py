"""Work ahead: order, distance, errors."""

from concurrent.futures import ThreadPoolExecutor

from surgseg.threads import ahead, one_behind


def test_reading_ahead_keeps_order_and_its_distance():
    started = []
    with ThreadPoolExecutor(2) as pool:
        for taken, value in enumerate(ahead(pool, lambda i: started.append(i) or i * i, range(50), 4)):
            assert value == taken**2 and len(started) <= taken + 6
    assert sorted(started) == list(range(50))


def test_an_item_is_begun_before_the_one_before_it_is_used():
    order = []

    def begin():
        for number in range(3):
            order.append(f"begin {number}")
            yield number

    for number in one_behind(begin()):
        order.append(f"use {number}")
    assert order == ["begin 0", "begin 1", "use 0", "begin 2", "use 1", "use 2"]
    assert list(one_behind([])) == [] and list(one_behind([0])) == [0]
