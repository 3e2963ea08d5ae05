"""The worked examples of docs/fabric.md against the contract word by word."""

from __future__ import annotations

import pytest
from delivery_examples import DELIVERY_EXAMPLES, DeliveryExample
from delivery_reference import DeliveryReference


@pytest.mark.parametrize("example", DELIVERY_EXAMPLES, ids=lambda example: example.name)
def test_examples_follow_the_contract(example: DeliveryExample) -> None:
    """Protects the examples themselves: words land, are sent and arrive as the rules say."""
    reference = DeliveryReference(example.mesh, example.sharding)
    lanes = range(len(example.streams))
    if example.direct:
        for core, needed in reference.needs.items():
            assert needed <= set(example.streams[example.groups[core[0]][core[1]]])
        return
    final = example.exchanges[-1].along if example.exchanges else "rows"
    dealt = reference.landed(example.groups, example.streams, final, from_host=example.from_host)
    assert {core: tuple(words) for core, words in dealt.items()} == example.landed
    sent, _, ended = reference.exchanged(dealt, example.exchanges)
    assert tuple(sent) == example.sent
    assert all(reference.needs[core] <= ended[core] for core in ended)
    for lane in lanes:
        group = [core for core in dealt if example.groups[core[0]][core[1]] == lane]
        assert {word for core in group for word in dealt[core]} <= set(example.streams[lane])


@pytest.mark.parametrize(
    "example", [each for each in DELIVERY_EXAMPLES if each.from_host], ids=lambda example: example.name
)
def test_streams_from_the_host(example: DeliveryExample) -> None:
    """Protects what the host sends along each lane, and in what order."""
    reference = DeliveryReference(example.mesh, example.sharding)
    reached = example.landed if not example.direct else reference.needs
    for lane, stream in enumerate(example.streams):
        cores = [core for core in reached if example.groups[core[0]][core[1]] == lane]
        assert stream == tuple(sorted({word for core in cores for word in reached[core]}))
