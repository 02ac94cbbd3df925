"""Names become numbers before the traffic begins; an unknown one keeps nobody."""

from peercell.broker.hosting.addresses import await_one, look_up_seeds, own_address


def test_names_become_numbers_and_numbers_stay() -> None:
    seeds = {"a": "tcp://localhost:5600", "b": "tcp://192.0.2.7:5601", "c": "tcp://[::1]:5602"}
    found = look_up_seeds(seeds)
    assert found["a"] in {"tcp://127.0.0.1:5600", "tcp://[::1]:5600"}
    assert (found["b"], found["c"]) == ("tcp://192.0.2.7:5601", "tcp://[::1]:5602")


def test_a_name_that_nobody_knows_is_left_out() -> None:
    assert look_up_seeds({"a": "tcp://..:5600", "b": "tcp://127.0.0.1:1"}) == {
        "b": "tcp://127.0.0.1:1"
    }


def test_a_host_waits_until_it_finds_one_seed() -> None:
    seeds = {"a": "tcp://..:5600"}
    waited: list[float] = []

    def pause(wait_s: float) -> None:
        waited.append(wait_s)
        if len(waited) == 3:
            seeds["a"] = "tcp://127.0.0.1:5600"

    assert await_one(seeds, pause) == {"a": "tcp://127.0.0.1:5600"}
    assert len(waited) == 3
    assert await_one({}, pause) == {}


def test_who_listens_everywhere_is_found_at_the_address_that_leads_to_the_others() -> None:
    assert own_address("192.0.2.9", {}) == "192.0.2.9"
    # Only this machine leads to itself: that is no address for others.
    assert own_address("::", {"a": "tcp://127.0.0.1:5600"}) == ""
