"""The host's columns: what it sends at the west edge of a region, and what it takes at the east edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.simulator.instructions import CoreProgram, Join, ProgramArea, Receive, Send, Start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.runtime.programs.links import HostStream, LinkWords
    from wsec.runtime.simulator.instructions import Instruction


@dataclass(frozen=True, slots=True, eq=False)
class HostPlace:
    """Where the words of a stream lie in the memory of a core of the host, one sample after the other.

    Attributes:
        link: Name.
        tensor: Of the link.
        core: Of the simulated grid.
        address: Of the first word.
        elements: In order, of a sample.
    """

    link: str
    tensor: str
    core: int
    address: int
    elements: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HostPrograms:
    """The programs of the host's cores.

    Attributes:
        areas: One for each core that has a stream.
        sends: Streams that leave it.
        takes: Streams that end there.
    """

    areas: tuple[ProgramArea, ...]
    sends: tuple[HostPlace, ...]
    takes: tuple[HostPlace, ...]


def host_programs(links: Sequence[LinkWords], *, wide: int, samples: int) -> HostPrograms:
    """A task for each stream, with all samples."""
    streams: dict[int, list[tuple[LinkWords, HostStream, bool]]] = {}
    for words in links:
        for stream in words.from_host:
            streams.setdefault(stream.core, []).append((words, stream, True))
        for stream in words.to_host:
            streams.setdefault(stream.core, []).append((words, stream, False))
    areas: list[ProgramArea] = []
    sends: list[HostPlace] = []
    takes: list[HostPlace] = []
    for core in sorted(streams):
        tasks: list[tuple[Instruction, ...]] = []
        address = 0
        for words, stream, leaves in streams[core]:
            count = stream.elements.size * samples
            tasks.append(
                (Send(stream.colour, count, address) if leaves else Receive(stream.colour, count, address),)
            )
            place = HostPlace(words.link.name, words.link.tensor, core, address, stream.elements)
            (sends if leaves else takes).append(place)
            address += count
        numbers = range(1, len(tasks) + 1)
        starts: list[Instruction] = [Start(number) for number in numbers]
        main = (*starts, *(Join(number) for number in numbers))
        y, x = divmod(core, wide)
        areas.append(ProgramArea(x, y, 1, 1, CoreProgram(main, tuple(tasks)), max(1, address)))
    return HostPrograms(tuple(areas), tuple(sends), tuple(takes))


def words_to_send(
    place: HostPlace, tensors: Sequence[Mapping[str, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """The words of a stream, sample by sample; `tensors` has each sample's by name, flat."""
    return np.concatenate([sample[place.tensor][place.elements] for sample in tensors])
