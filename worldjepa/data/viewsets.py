"""Draws sets of distinct views of one object: rows of an episode without replacement, gathered into reused batches.

In a view set (`worldjepa.data.threedie`, recordings of ``worldjepa/Turntable-v0``) an episode is an object and its rows
are its views in no order that matters, so any M + 1 of them in any order are a sequence. The recorded actions do not
join views that are drawn so: they are given as zeros that are not valid, and relative poses take their place
(`worldjepa.views.SequenceViews`). A set of one view serves single images, whose transformations are made later.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray
from tensordict import TensorDict

from worldjepa.data.store import Store, file_bytes
from worldjepa.data.windows import choose_keys
from worldjepa.types import nested

VIEW_STREAM, FIXED_VIEW_STREAM = 13, 14
"""Numbers of one seed are drawn apart from the order of the episodes, and the views of `ViewSampler.at` apart again."""


class ViewSampler:
    """Batches of sets of ``views`` different rows, each set from one episode, in random order.

    An anchor is an episode and a number below ``draws``. Batch ``step`` is a pure function of (seed, step): the anchors
    of one epoch after another, each epoch in an order drawn from (seed, epoch), are dealt out batch by batch, and
    their views are drawn from (seed, step). Process ``rank`` of ``world`` gets the rows ``rank::world``.

    A batch: ``obs`` [B, views, ...] of all keys, images for all views; ``action`` [B, views - 1, A] zeros and
    ``action_valid`` False (see the module); ``valid`` [B, views] True. One view: ``action`` is [B, 0, A].

    Args:
        store: the data.
        episodes: numbers of the episodes to use.
        views: rows of a set, >= 1: for a sequence of M observed views and one to predict, M + 1.
        batch_size: sets in a batch, over all processes.
        keys: observation keys to load; None: all.
        seed: of the order and of the draws.
        draws: sets drawn from each episode in an epoch, >= 1.
        max_resident: bytes of files that may be mapped into this process before `Store.release` is called.

    Raises:
        ValueError: sizes out of range, unknown keys or episodes, an episode with fewer rows than ``views``.
    """

    def __init__(
        self,
        store: Store,
        *,
        episodes: Sequence[int] | ndarray,
        views: int,
        batch_size: int,
        keys: Sequence[str] | None = None,
        seed: int = 0,
        draws: int = 1,
        max_resident: int = 1 << 30,
    ):
        if views < 1 or batch_size < 1 or draws < 1:
            raise ValueError(f"views, batch_size and draws must be at least 1, got {views}, {batch_size} and {draws}")
        self.store, self.views, self.batch_size, self.seed, self.draws = store, views, batch_size, seed, draws
        self._episodes = np.asarray(episodes, dtype=np.int64)
        self._starts, self._counts = _rows_of(store, self._episodes, views)
        self._arrays = {f"obs/{key}": store.arrays[f"obs/{key}"] for key in choose_keys(store, keys)}
        mapped = sum(array.nbytes for array in self._arrays.values())
        self._mapped_limit = file_bytes() + max_resident if mapped > max_resident else None
        self._order: tuple[int, ndarray] = (-1, np.zeros(0, np.int64))
        self._fixed: ndarray | None = None
        self._buffers: dict[int, tuple[TensorDict, dict[str, ndarray]]] = {}

    def __len__(self) -> int:
        """Number of anchors: sets in an epoch."""
        return len(self._episodes) * self.draws

    def batch(self, step: int, rank: int = 0, world: int = 1) -> TensorDict:
        """Batch ``step`` (from 0), the rows of process ``rank``.

        The tensors are reused: they hold until the next call. Copy what must be kept.

        Raises:
            ValueError: the batch cannot be dealt out evenly to ``world`` processes.
        """
        if self.batch_size % world or not 0 <= rank < world:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of world {world}, and rank {rank} below it"
            )
        anchors = self.anchors(step)[rank::world]
        number = np.random.default_rng([self.seed, VIEW_STREAM, step]).random((self.batch_size, self.views))
        if len(anchors) not in self._buffers:
            self._buffers[len(anchors)] = self._allocate(len(anchors))
        batch, arrays = self._buffers[len(anchors)]
        self._fill(anchors, number[rank::world], arrays)
        return batch

    def at(self, anchors: Sequence[int] | ndarray) -> TensorDict:
        """The sets of the given anchors (0 <= anchor < len), the same ones at every call, in tensors of their own.

        Raises:
            ValueError: an anchor out of range.
        """
        chosen = np.asarray(anchors, dtype=np.int64)
        if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= len(self):
            raise ValueError(f"expected at least one anchor, each in 0..{len(self) - 1}, got {chosen[:8].tolist()}")
        if self._fixed is None:
            self._fixed = np.random.default_rng([self.seed, FIXED_VIEW_STREAM]).random((len(self), self.views))
        batch, arrays = self._allocate(len(chosen))
        self._fill(chosen, self._fixed[chosen], arrays)
        return batch

    def anchors(self, step: int) -> ndarray:
        """The anchors [batch_size] of batch ``step``, over all processes."""
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        first = step * self.batch_size
        parts, missing = [], self.batch_size
        while missing:
            epoch, begin = divmod(first, len(self))
            part = self._epoch_order(epoch)[begin : begin + missing]
            parts.append(part)
            first, missing = first + len(part), missing - len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def place(self, anchors: Sequence[int] | ndarray) -> tuple[ndarray, ndarray]:
        """Episode number in the store and number of the draw of each anchor, two int64 arrays."""
        row, draw = np.divmod(np.asarray(anchors, dtype=np.int64), self.draws)
        return self._episodes[row], draw

    def locate(self, anchors: Sequence[int] | ndarray) -> list[tuple[str, int]]:
        """Episode name and number of the draw of each anchor, for messages and evaluation."""
        episode, draw = self.place(anchors)
        return [(self.store.names[e], int(d)) for e, d in zip(episode, draw)]

    def _epoch_order(self, epoch: int) -> ndarray:
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self)))
        return self._order[1]

    def _allocate(self, num: int) -> tuple[TensorDict, dict[str, ndarray]]:
        """A batch of ``num`` sets and numpy views of its observations."""
        batch = TensorDict({"obs": TensorDict({}, batch_size=[num])}, batch_size=[num])
        for name, array in self._arrays.items():
            dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
            batch[nested(name)] = torch.zeros((num, self.views, *array.shape[1:]), dtype=dtype)
        batch["action"] = torch.zeros(num, self.views - 1, self.store.spec.action_dim)
        batch["valid"] = torch.ones(num, self.views, dtype=torch.bool)
        batch["action_valid"] = torch.zeros(num, self.views - 1, dtype=torch.bool)
        return batch, {name: batch[nested(name)].numpy() for name in self._arrays}

    def _fill(self, anchors: ndarray, number: ndarray, arrays: dict[str, ndarray]) -> None:
        place = anchors // self.draws
        rows = self._starts[place, None] + draw_distinct(number, self._counts[place])
        for name, array in self._arrays.items():
            # mode="clip" lets numpy write straight into ``out``; the rows are in range already
            np.take(array, rows, axis=0, out=arrays[name], mode="clip")
        if self._mapped_limit is not None and file_bytes() > self._mapped_limit:
            self.store.release()


def draw_distinct(number: ndarray, counts: ndarray) -> ndarray:
    """Different integers by the inverse distribution function: every ordered choice of V out of n is as likely.

    The k-th is the ``floor(number * (n - k))``-th of those left; the smaller ones taken already are stepped over.

    Args:
        number: [B, V] in [0, 1).
        counts: [B], n >= V of each row.

    Returns:
        [B, V] int64, each row of V different numbers in [0, n).
    """
    drawn = np.empty(number.shape, dtype=np.int64)
    for k in range(number.shape[1]):
        value = (number[:, k] * (counts - k)).astype(np.int64)
        for taken in np.sort(drawn[:, :k], axis=1).T:
            value += value >= taken
        drawn[:, k] = value
    return drawn


def _rows_of(store: Store, episodes: ndarray, views: int) -> tuple[ndarray, ndarray]:
    """First row and number of rows of each episode."""
    if len(episodes) == 0 or episodes.min() < 0 or episodes.max() >= len(store):
        raise ValueError(f"expected at least one episode, each in 0..{len(store) - 1}, got {episodes[:8].tolist()}")
    counts = (store.ends - store.starts)[episodes]
    short = np.flatnonzero(counts < views)
    if len(short):
        raise ValueError(
            f"{store.source}: {len(short)} of {len(episodes)} objects have fewer than the {views} views of a sequence, "
            f"the first is {store.names[episodes[short[0]]]!r} with {counts[short[0]]}; observe at most "
            f"{counts.min() - 1} views, or leave these objects out with a filter"
        )
    return store.starts[episodes], counts
