"""Which nodes slots need, and which nodes can be done without."""

from __future__ import annotations

from collections import Counter

from app.domain.capacity.kinds import NodeType, type_of
from app.domain.capacity.loads import Load
from app.domain.capacity.packing import Bin, Packing, of_node, spared
from app.domain.priority import Priority
from app.domain.queueing import Request
from tests.unit.domain.capacity.builders import NODE, a_node, a_type, asks, types, vector


def some(count: int, request: Request) -> Load:
    return Load(request, count, Priority.NORMAL)


def packed(loads: list[Load], kinds: dict[str, NodeType], *bins: Bin) -> Packing:
    packing = Packing(kinds, list(bins), {name: kind.most for name, kind in kinds.items()})
    packing.put_all(loads, NODE)
    return packing


def new(packing: Packing) -> Counter[str | None]:
    return Counter(b.type for b in packing.bins if b.node is None)


def test_what_is_free_is_filled_before_anything_new() -> None:
    packing = packed([some(10, asks(cores=2))], types(), of_node(a_node("n1", asks(cores=4))))
    assert [sum(load.count for load in b.loads) for b in packing.bins] == [2, 4, 4]


def test_large_ones_are_placed_first() -> None:
    """Small first would leave two half-filled nodes and ask for a third."""
    packing = packed([some(4, asks(cores=1)), some(2, asks(cores=6))], types())
    assert new(packing) == {"small": 2}


def test_the_cheapest_type_for_each_slot_is_taken() -> None:
    kinds = types(a_type("small", price=1.0), a_type("big", vector(64, 256), price=5.0))
    assert new(packed([some(1, asks(cores=2))], kinds)) == {"small": 1}
    assert new(packed([some(32, asks(cores=2))], kinds)) == {"big": 1}, "5 for 32 slots, not 8 for 32"


def test_of_equally_cheap_types_the_smallest_is_taken() -> None:
    kinds = types(a_type("big", vector(64, 256)), a_type("tiny", vector(2, 8)))
    assert new(packed([some(1, asks(cores=2))], kinds)) == {"tiny": 1}


def test_a_type_must_have_what_is_asked_for() -> None:
    kinds = types(a_type(), a_type("gpu", vector(16, 64, 4), price=9.0, labels={"gpu": "a100"}))
    assert new(packed([some(1, asks(gpus=2))], kinds)) == {"gpu": 1}
    assert new(packed([some(1, asks(gpu="a100"))], kinds)) == {"gpu": 1}
    assert new(packed([some(1, asks(node_type="small"))], kinds)) == {"small": 1}


def test_no_more_than_the_most_of_a_type() -> None:
    packing = packed([some(5, asks(cores=8))], types(a_type(most=2), a_type("dear", price=3.0, most=1)))
    assert new(packing) == {"small": 2, "dear": 1}
    assert [load.count for load in packing.unplaced] == [2]


def test_what_runs_alone_takes_an_empty_node_whole() -> None:
    busy, empty = of_node(a_node("n1", asks())), of_node(a_node("n2"))
    packing = packed([some(1, asks(alone=True)), some(1, asks(cores=4))], types(), busy, empty)
    assert [[load.request[2] for load in b.loads] for b in packing.bins] == [[False], [True]]


def test_nodes_are_spared_whose_runs_would_fit_elsewhere() -> None:
    bins = [of_node(a_node("n1", asks(cores=4))), of_node(a_node("n2", asks(cores=3))), of_node(a_node("n3"))]
    gone = spared(bins, [bins[2], bins[1], bins[0]])
    assert [b.node.id for b in gone if b.node] == ["n3", "n2"]
    assert bins[0].free == vector(1, 30) + NODE - vector(8, 32), "what moved is held there now"


def test_a_node_that_cannot_be_spared_leaves_the_others_as_they_were() -> None:
    bins = [of_node(a_node("n1", asks(cores=6))), of_node(a_node("n2", asks(cores=2), asks(cores=1)))]
    assert spared(bins, [bins[1]]) == []
    assert bins[0].free.cpu_millicores == 2_000 and bins[0].loads == []


def test_runs_stay_where_their_labels_are() -> None:
    bins = [of_node(a_node("n1", kind=None)), of_node(a_node("n2", asks(node_type="small")))]
    assert spared(bins, [bins[1]]) == []


def test_a_node_says_of_which_type_it_is() -> None:
    kinds = types()
    assert type_of({"node_type": "small"}, kinds) == "small"
    assert type_of({"node_type": "other"}, kinds) is None
    assert type_of({}, kinds) is None
