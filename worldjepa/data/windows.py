"""Cuts a store into windows around each action and gathers them, in a seeded order, into reused batches.

A window: ``history - 1`` frames before the anchor, the anchor, ``horizon`` frames after it. That is
T = history - 1 + horizon transitions and T + 1 observations; ``action[:, t]`` takes ``obs[:, t]`` to ``obs[:, t + 1]``.
Where a window reaches over the edge of its episode, the frame or action at the edge is repeated and ``valid`` /
``action_valid`` are False.

With a stride of k ("frameskip"), the frames of a window lie k recorded steps apart and each of its T transitions is a
block of k recorded actions: ``action[:, t]``, k * A numbers in the order of time, takes ``obs[:, t]`` to
``obs[:, t + 1]``. It is the window of stride 1 that spans the same steps, with every k-th frame kept.

``success[:, t]``, where the data has it, says whether the task is solved in ``obs[:, t + 1]``.
"""

import warnings
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import torch
from numpy import ndarray
from tensordict import TensorDict

from worldjepa.data.store import Store, file_bytes
from worldjepa.types import nested


def split_episodes(
    store: Store, *, valid: float = 0.1, seed: int = 0, train_filter: str = "train", valid_filter: str = "valid"
) -> dict[str, ndarray]:
    """Split a store by episode into "train" and "valid".

    The recording's own split (robomimic's ``mask/train`` and ``mask/valid``) is taken where both are there.

    Args:
        store: the data.
        valid: share of the episodes to hold out, in (0, 1), at least one episode; 0 holds none out.
        seed: of the random choice.
        train_filter, valid_filter: names of the recording's own split.

    Returns:
        Episode numbers, sorted, int64.

    Raises:
        ValueError: ``valid`` out of range or nothing left to train on, an empty mask, masks that share episodes.
    """
    if train_filter in store.filters and valid_filter in store.filters:
        split = {"train": store.episodes(train_filter), "valid": store.episodes(valid_filter)}
        if shared := np.intersect1d(split["train"], split["valid"]).tolist():
            raise ValueError(
                f"{store.source}: the filters {train_filter!r} and {valid_filter!r} share episodes {shared[:5]}"
            )
        return split
    if not 0 <= valid < 1:
        raise ValueError(f"expected a share valid in [0, 1), got {valid}")
    count = max(1, round(valid * len(store))) if valid > 0 else 0
    if count >= len(store):
        raise ValueError(f"{len(store)} episodes cannot be split with valid={valid}: nothing would be left to train on")
    order = np.random.default_rng(seed).permutation(len(store))
    return {"train": np.sort(order[count:]), "valid": np.sort(order[:count])}


class WindowSampler:
    """Batches of windows from a store; an anchor for each recorded action.

    Batch ``step`` is a pure function of (seed, step): the anchors of one epoch after another, each epoch in an order
    drawn from (seed, epoch), are dealt out batch by batch. Process ``rank`` of ``world`` gets the rows ``rank::world``.

    Args:
        store: the data.
        episodes: numbers of the episodes to use.
        batch_size: windows in a batch, over all processes.
        history: observed frames >= 1, the anchor included, ``stride`` steps apart.
        horizon: frames after the anchor, >= 1, ``stride`` steps apart.
        stride: k >= 1 recorded steps from frame to frame. For k > 1, "action" is [B, T, k * A]; "action_valid" is True
            where all k actions are recorded; "reward" is the sum and "terminated" the disjunction over the block, and
            "success" that of its last action.
        image_frames: of images only the first so many frames of the window are loaded (0: no images); None: history.
        keys: observation keys to load; None: all.
        seed: of the order.
        unlabelled: episodes among ``episodes`` whose actions must not be learned: their ``action_valid`` is False.
        max_resident: bytes of files that may be mapped into this process before `Store.release` is called (on Linux);
            where the data are larger than this, more is faster.
        pad_front, pad_back: whether windows may reach over the first or last recorded step; if not, there are fewer,
            and a warning says how many episodes are too short for any.
        advice: what to do where all episodes are too short for a window, for the message.

    Raises:
        ValueError: sizes out of range, unknown keys or episodes, no window fits.
    """

    def __init__(
        self,
        store: Store,
        *,
        episodes: Sequence[int] | ndarray,
        batch_size: int,
        horizon: int,
        history: int = 1,
        stride: int = 1,
        image_frames: int | None = None,
        keys: Sequence[str] | None = None,
        seed: int = 0,
        unlabelled: Sequence[int] | ndarray = (),
        max_resident: int = 1 << 30,
        pad_front: bool = True,
        pad_back: bool = True,
        advice: str = "shorten history or horizon, or allow padding",
    ):
        if history < 1 or horizon < 1 or batch_size < 1 or stride < 1:
            raise ValueError(
                f"history, horizon, batch_size and stride must be at least 1, got {history}, {horizon}, {batch_size}, "
                f"{stride}"
            )
        self.store, self.batch_size, self.seed = store, batch_size, seed
        self.history, self.horizon, self.stride = history, horizon, stride
        self.image_frames = history if image_frames is None else image_frames
        if not 0 <= self.image_frames <= history + horizon:
            raise ValueError(f"image_frames must be in 0..{history + horizon} (the window), got {image_frames}")
        self._arrays = self._choose_arrays(choose_keys(store, keys))
        chosen, hidden = _episode_numbers(store, episodes), _episode_numbers(store, unlabelled)
        self._index_episodes(chosen, hidden, pad_front, pad_back, advice)
        self._offsets = stride * np.arange(-history + 1, horizon + 1)
        self._action_offsets = np.arange(self._offsets[0], self._offsets[-1])
        mapped = sum(array.nbytes for array, _ in self._arrays.values())
        self._mapped_limit = file_bytes() + max_resident if mapped > max_resident else None
        self._order: tuple[int, ndarray] = (-1, np.zeros(0, np.int64))
        self._buffers: dict[int, tuple[TensorDict, dict[str, ndarray]]] = {}

    def __len__(self) -> int:
        """Number of anchors: windows in an epoch."""
        return int(self._anchor_ends[-1])

    def batch(self, step: int, rank: int = 0, world: int = 1) -> TensorDict:
        """Batch ``step`` (from 0), the rows of process ``rank``: see `worldjepa.types` for its keys.

        The tensors are reused: they hold until the next call. Copy what must be kept.

        Raises:
            ValueError: the batch cannot be dealt out evenly to ``world`` processes.
        """
        if self.batch_size % world or not 0 <= rank < world:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of world {world}, and rank {rank} below it"
            )
        anchors = self.anchors(step)[rank::world]
        if len(anchors) not in self._buffers:
            self._buffers[len(anchors)] = self._allocate(len(anchors))
        batch, views = self._buffers[len(anchors)]
        self._fill(anchors, views)
        return batch

    def at(self, anchors: Sequence[int] | ndarray) -> TensorDict:
        """The windows of the given anchors (0 <= anchor < len), in tensors of their own.

        Raises:
            ValueError: an anchor out of range.
        """
        chosen = np.asarray(anchors, dtype=np.int64)
        if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= len(self):
            raise ValueError(f"expected at least one anchor, each in 0..{len(self) - 1}, got {chosen[:8].tolist()}")
        batch, views = self._allocate(len(chosen))
        self._fill(chosen, views)
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
        """Episode number in the store and step of each anchor, two int64 arrays."""
        place, time = self._locate(np.asarray(anchors, dtype=np.int64))
        return self._episodes[place], time

    def locate(self, anchors: Sequence[int] | ndarray) -> list[tuple[str, int]]:
        """Episode name and step of each anchor, for messages and evaluation."""
        place, time = self._locate(np.asarray(anchors, dtype=np.int64))
        return [(self.store.names[self._episodes[p]], int(t)) for p, t in zip(place, time)]

    def anchor_of(self, episode: int, step: int) -> int:
        """The anchor of action ``step`` of the episode with this number in the store.

        Raises:
            ValueError: the sampler has no such window.
        """
        found = np.flatnonzero(self._episodes == episode)
        if len(found) == 0:
            raise ValueError(f"episode {episode} is not among the sampler's {len(self._episodes)} episodes")
        offset = step - self._first_time
        if not 0 <= offset < self._anchor_counts[found[0]]:
            raise ValueError(f"episode {episode} has no window at step {step}")
        return int(self._anchor_ends[found[0]] - self._anchor_counts[found[0]] + offset)

    def _choose_arrays(self, keys: list[str]) -> dict[str, tuple[ndarray, int]]:
        """The arrays to gather from, and how many rows of each a window has."""
        frames, chosen = self.history + self.horizon, {}
        for key in keys:
            length = self.image_frames if self.store.spec.obs[key].kind == "image" else frames
            if length:
                chosen[f"obs/{key}"] = (self.store.arrays[f"obs/{key}"], length)
        for name in ("action", "reward", "terminated", "success"):
            if name in self.store.arrays:
                chosen[name] = (self.store.arrays[name], frames - 1)
        return chosen

    def _index_episodes(
        self, episodes: ndarray, unlabelled: ndarray, pad_front: bool, pad_back: bool, advice: str
    ) -> None:
        store = self.store
        self._first_time = 0 if pad_front else self.stride * (self.history - 1)
        needed = self._first_time + (1 if pad_back else self.stride * self.horizon)
        counts = store.num_actions[episodes] - needed + 1
        keep = counts > 0
        if not keep.any():
            raise ValueError(
                f"none of the {len(episodes)} episodes is long enough for a window (longest "
                f"{store.num_actions[episodes].max(initial=0)} actions, stride {self.stride}); {advice}"
            )
        if not keep.all():
            warnings.warn(
                f"{store.source}: {np.sum(~keep)} of {len(episodes)} episodes are shorter than the window of {needed} "
                f"steps and are not used; {advice}",
                stacklevel=3,
            )
        self._episodes, self._anchor_counts = episodes[keep], counts[keep]
        self._anchor_ends = np.cumsum(self._anchor_counts)
        self._starts, self._lasts = store.starts[self._episodes], store.ends[self._episodes] - 1
        self._last_actions = self._starts + store.num_actions[self._episodes] - 1
        self._labelled = ~np.isin(self._episodes, unlabelled)

    def _epoch_order(self, epoch: int) -> ndarray:
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self)))
        return self._order[1]

    def _locate(self, anchors: ndarray) -> tuple[ndarray, ndarray]:
        place = np.searchsorted(self._anchor_ends, anchors, side="right")
        return place, anchors - (self._anchor_ends[place] - self._anchor_counts[place]) + self._first_time

    def _allocate(self, num: int) -> tuple[TensorDict, dict[str, ndarray]]:
        """A batch of ``num`` windows and numpy views of its tensors."""
        frames, steps = self.history + self.horizon, self.history + self.horizon - 1
        batch = TensorDict({"obs": TensorDict({}, batch_size=[num])}, batch_size=[num])
        for name, (array, length) in self._arrays.items():
            dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
            shape = (self.stride * array.shape[1],) if name == "action" else array.shape[1:]
            batch[nested(name)] = torch.zeros((num, length, *shape), dtype=dtype)
        batch["valid"] = torch.zeros((num, frames), dtype=torch.bool)
        batch["action_valid"] = torch.zeros((num, steps), dtype=torch.bool)
        names = [*self._arrays, "valid", "action_valid"]
        return batch, {name: batch[nested(name)].numpy() for name in names}

    def _fill(self, anchors: ndarray, views: dict[str, ndarray]) -> None:
        place, time = self._locate(anchors)
        starts = self._starts[place, None]
        anchor_rows = starts + time[:, None]
        wanted = anchor_rows + self._offsets
        rows = np.clip(wanted, starts, self._lasts[place, None])
        np.equal(rows, wanted, out=views["valid"])
        wanted = wanted[:, :-1] if self.stride == 1 else anchor_rows + self._action_offsets
        action_rows = np.clip(wanted, starts, self._last_actions[place, None])
        self._reduce_blocks(np.logical_and, action_rows == wanted, views["action_valid"])
        views["action_valid"] &= self._labelled[place, None]
        for name, (array, length) in self._arrays.items():
            # mode="clip" lets numpy write straight into ``out``; the rows are in range already
            if name.startswith("obs/"):
                np.take(array, rows[:, :length], axis=0, out=views[name], mode="clip")
            elif name == "action":
                steps = views[name].reshape(*action_rows.shape, array.shape[1])
                np.take(array, action_rows, axis=0, out=steps, mode="clip")
            elif name == "success":  # of the frame that the block leads to
                np.take(array, action_rows[:, self.stride - 1 :: self.stride], axis=0, out=views[name], mode="clip")
            else:
                ufunc = np.add if name == "reward" else np.logical_or
                self._reduce_blocks(ufunc, np.take(array, action_rows, axis=0), views[name])
        if self._mapped_limit is not None and file_bytes() > self._mapped_limit:
            self.store.release()

    def _reduce_blocks(self, ufunc: np.ufunc, steps: ndarray, out: ndarray) -> None:
        """Reduce each block of ``stride`` recorded steps [B, T * k] to one number of ``out`` [B, T]."""
        if self.stride == 1:
            out[:] = steps
        else:
            ufunc.reduce(steps.reshape(*out.shape, self.stride), axis=2, out=out)


def choose_keys(store: Store, keys: Sequence[str] | None) -> list[str]:
    """``keys``, or all observation keys of the data for None.

    Raises:
        ValueError: an unknown key.
    """
    known = list(store.spec.obs)
    chosen = known if keys is None else list(keys)
    for key in chosen:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{store.source} has no observation key {key!r}; it has {sorted(known)}{hint}")
    return chosen


def _episode_numbers(store: Store, episodes: Sequence[int] | ndarray) -> ndarray:
    numbers = np.asarray(episodes, dtype=np.int64)
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(store)):
        raise ValueError(f"expected episode numbers in 0..{len(store) - 1}, got {numbers.min()}..{numbers.max()}")
    return numbers
