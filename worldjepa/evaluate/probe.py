"""World-model probe: how much of the future state can be read from what a frozen encoder says of the present.

The protocol is ACT-JEPA's (arXiv 2501.14622) with its faults mended: every model gets the same present frames and
nothing of the future, probes are fitted on training episodes and scored once on held-out ones, and the honest baselines
stand beside: copying the present state, a linear map of the raw observations, the same encoder with random weights.

Letters: n windows, F features, H steps, S state dimensions.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from tensordict import TensorDict
from torch import Tensor

from worldjepa.data.store import Store
from worldjepa.data.windows import WindowSampler
from worldjepa.types import nested

Features = Callable[[TensorDict], Tensor]
"""Raw observations [n, Tc, ...] -> features [n, F]."""


@dataclass(frozen=True)
class ProbeWindows:
    """Windows that lie within their episodes: what is seen, and the true states of every step of the horizon."""

    obs: TensorDict
    """Raw observations [n, Tc, ...]."""
    action: Tensor
    """Raw actions [n, Tc - 1 + H, A], or blocks of them [n, Tc - 1 + H, k * A]."""
    future: TensorDict
    """Raw observations of steps 0..H after the present, [n, H + 1, ...]; images only where they were asked for."""
    state: Float[ndarray, "n h1 s"]
    """Standardised states of steps 0..H: the state keys side by side, in the order asked for."""
    mean: ndarray
    """[S]: the states' mean in raw units."""
    std: ndarray
    """[S]: what one standardised unit is in raw units."""
    episode: ndarray
    """[n]: number of the episode."""
    step: ndarray
    """[n]: step of the present in its episode."""
    stride: int = 1
    """k, recorded steps from one step to the next."""

    def rows(self, chosen: Sequence[int] | ndarray) -> "ProbeWindows":
        """Some of the windows."""
        index = np.asarray(chosen, dtype=np.int64)
        picked = {name: getattr(self, name)[index] for name in ("obs", "action", "future", "state", "episode", "step")}
        return replace(self, **picked)

    def standardised_as(self, other: "ProbeWindows") -> "ProbeWindows":
        """The same with states in the units of other windows."""
        raw = self.state * self.std + self.mean
        return replace(self, state=(raw - other.mean) / other.std, mean=other.mean, std=other.std)


@dataclass(frozen=True)
class ProbeRow:
    """One model's errors on held-out episodes, in standard deviations of the training states, with 95 % intervals."""

    model: str
    rmse: float
    """Root of the mean squared error over windows, steps and dimensions."""
    rmse_low: float
    rmse_high: float
    ate: float
    """Mean Euclidean distance between predicted and true state over windows and steps."""
    ate_low: float
    ate_high: float
    per_step: list[float]
    """RMSE at steps 1..H."""


def probe_windows(
    store: Store,
    episodes: Sequence[int] | ndarray,
    *,
    state_keys: Sequence[str],
    keys: Sequence[str],
    history: int,
    horizon: int,
    stride: int = 1,
    images: bool = False,
    max_windows: int = 8000,
    reference: Sequence[int] | ndarray | None = None,
    seed: int = 0,
) -> ProbeWindows:
    """Windows of ``episodes`` whose every frame is recorded.

    Args:
        store: the data.
        episodes: their numbers.
        state_keys: the states to be predicted.
        keys: observations that the models see.
        history, horizon: Tc >= 1 and H >= 1.
        stride: recorded steps from one of those steps to the next.
        images: also keep the images of ``keys`` at steps 1..H, as models that imagine frames need; windows that begin
            before their episode are then left out.
        max_windows: at most so many, drawn at random.
        reference: episodes whose statistics standardise the states (default: ``episodes``); pass the training episodes.
        seed: of the draw.

    Raises:
        ValueError: no window fits into the episodes.
    """
    every = tuple(dict.fromkeys([*keys, *state_keys]))
    sampler = WindowSampler(
        store,
        episodes=episodes,
        batch_size=1,
        history=history,
        horizon=horizon,
        stride=stride,
        image_frames=history + horizon if images else history,
        keys=every,
        pad_front=not images,
        pad_back=False,
    )
    order = np.random.default_rng(seed).permutation(len(sampler))[:max_windows]
    batch = sampler.at(np.sort(order))
    whole = batch["valid"][:, history - 1 :].all(1)
    if not whole.any():
        raise ValueError(f"no episode is longer than the horizon of {horizon * stride} steps; shorten the horizon")
    batch = batch[whole]
    now = history - 1
    statistics = store.statistics(episodes if reference is None else reference)
    mean = np.concatenate([statistics[key].mean.ravel() for key in state_keys])
    std = np.concatenate([statistics[key].std.ravel() for key in state_keys])
    std = np.where(std > 1e-6, std, 1.0)
    raw = torch.cat([batch["obs"][nested(key)][:, now:].flatten(2).double() for key in state_keys], dim=-1).numpy()
    obs = TensorDict({nested(k): batch["obs"][nested(k)][:, :history] for k in keys}, batch_size=[len(batch), history])
    kept = [k for k in every if images or store.spec.obs[k].kind == "state"]
    future = TensorDict({nested(k): batch["obs"][nested(k)][:, now:] for k in kept}, [len(batch), horizon + 1])
    episode, step = sampler.place(np.sort(order)[whole.numpy()])
    return ProbeWindows(obs, batch["action"], future, (raw - mean) / std, mean, std, episode, step, stride)


def state_probe(
    models: Mapping[str, Features],
    train: ProbeWindows,
    test: ProbeWindows,
    *,
    kind: Literal["linear", "mlp"] = "linear",
    seed: int = 0,
) -> list[ProbeRow]:
    """Fit one probe a model from its features to the states of steps 1..H and score it on held-out windows.

    Args:
        models: feature functions by name.
        train, test: windows of disjoint episodes.
        kind: ridge regression (regularisation by leave-one-out), or a perceptron with one hidden layer of 256.
        seed: of the perceptron and of the bootstrap.

    Returns:
        A row for each model and one for "copy", which repeats the present state.

    Raises:
        ValueError: train and test share episodes.
    """
    rows = _rows_of(models, train, test, slice(1, None), kind, seed)
    truth = test.state[:, 1:]
    rows.append(_score("copy", np.repeat(test.state[:, :1], truth.shape[1], axis=1), truth, test.episode, seed))
    return rows


def present_probe(
    models: Mapping[str, Features],
    train: ProbeWindows,
    test: ProbeWindows,
    *,
    kind: Literal["linear", "mlp"] = "linear",
    seed: int = 0,
) -> list[ProbeRow]:
    """What can be read of the present state itself: `state_probe` of step 0, the floor being the mean state.

    Raises:
        ValueError: train and test share episodes.
    """
    rows = _rows_of(models, train, test, slice(0, 1), kind, seed)
    mean = np.broadcast_to(train.state[:, :1].mean(0), test.state[:, :1].shape)
    return [*rows, _score("mean", mean, test.state[:, :1], test.episode, seed)]


def _rows_of(
    models: Mapping[str, Features], train: ProbeWindows, test: ProbeWindows, steps: slice, kind: str, seed: int
) -> list[ProbeRow]:
    """A row for each model that predicts the states of ``steps``."""
    if np.intersect1d(train.episode, test.episode).size:
        raise ValueError("training and test windows of a probe must come from different episodes")
    truth, rows = test.state[:, steps], []
    for name, features in models.items():
        x, y = _batched(features, train.obs), train.state[:, steps].reshape(len(train.state), -1)
        predicted = _fit(kind, x, y, seed)(_batched(features, test.obs)).reshape(truth.shape)
        rows.append(_score(name, predicted, truth, test.episode, seed))
    return rows


def raw_features(obs: TensorDict) -> Float[Tensor, "n f"]:
    """The raw state observations themselves, flattened: the floor that an encoder must beat."""
    values = [obs[path] for path in obs.keys(include_nested=True, leaves_only=True)]
    states = [value.flatten(1).float() for value in values if value.dtype != torch.uint8]
    if not states:
        raise ValueError("the raw-state floor needs low-dimensional observations; these windows hold only images")
    return torch.cat(states, dim=1)


def probe_report(rows: Sequence[ProbeRow], horizon: int) -> dict:
    """What probe.json holds."""
    table = [{k: v for k, v in asdict(row).items() if k != "per_step"} for row in rows]
    return {
        "horizon": horizon,
        "unit": "standard deviations of the training states",
        "rows": table,
        "per_step": {row.model: row.per_step for row in rows},
    }


@torch.no_grad()
def _batched(features: Features, obs: TensorDict, size: int = 512) -> ndarray:
    return torch.cat([features(obs[i : i + size]) for i in range(0, len(obs), size)]).double().numpy()


def _fit(kind: str, x: ndarray, y: ndarray, seed: int) -> Callable[[ndarray], ndarray]:
    scaler = StandardScaler().fit(x)
    if kind == "linear":
        model: Any = RidgeCV(alphas=np.logspace(-2, 4, 7))
    elif kind == "mlp":  # in single precision: twice as fast, and its own noise is far larger
        size: Any = min(512, len(x) // 2)
        model = MLPRegressor(
            hidden_layer_sizes=(256,), batch_size=size, early_stopping=True, max_iter=40, random_state=seed
        )
        x, y = x.astype(np.float32), y.astype(np.float32)
    else:
        raise ValueError(f'kind must be "linear" or "mlp", got {kind!r}')
    with warnings.catch_warnings():  # the perceptron's iterations are a budget, the same for every encoder
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(x), y)
    return lambda new: np.asarray(model.predict(scaler.transform(new)))


def _score(name: str, predicted: ndarray, truth: ndarray, episode: ndarray, seed: int) -> ProbeRow:
    squared = np.square(predicted - truth)
    distance = np.sqrt(squared.sum(-1)).mean(-1)
    mse = squared.mean((1, 2))
    rmse_low, rmse_high = _episode_bootstrap(lambda w: float(np.sqrt(np.average(mse, weights=w))), episode, seed)
    ate_low, ate_high = _episode_bootstrap(lambda w: float(np.average(distance, weights=w)), episode, seed)
    per_step = np.sqrt(squared.mean((0, 2))).tolist()
    rmse, ate = float(np.sqrt(mse.mean())), float(distance.mean())
    return ProbeRow(name, rmse, rmse_low, rmse_high, ate, ate_low, ate_high, per_step)


def _episode_bootstrap(
    statistic: Callable[[ndarray], float], episode: ndarray, seed: int, resamples: int = 1000
) -> tuple[float, float]:
    """95 % percentile interval over episodes drawn with replacement: windows of one episode are not independent."""
    _, index = np.unique(episode, return_inverse=True)
    count = index.max() + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    values = [statistic(draw[index]) for draw in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
