"""Pictures of latents: a small decoder trained on frozen latents, for looking at only.

What a picture shows is what the decoder could find in the latents; what it does not show may be in them all the same.
The decoder stops gradients at its input, so it can never shape the model that it is shown.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy import ndarray
from safetensors.torch import load_file, save_file
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.data.store import Store
from worldjepa.data.windows import WindowSampler
from worldjepa.evaluate.latents import rolls_out_frames
from worldjepa.learner import Learner
from worldjepa.types import ObsSpec, nested

SIDE = 64
"""Longest side of a picture."""
POOL_BYTES = 256_000_000
"""Of the images that a decoder is trained on."""
EMPHASIS = 10.0
"""How much more a pixel counts that differs from the mean picture: small moving things are what one looks for."""

FitProgress = Callable[[int, int, float], None]
"""Told of (steps done, all steps, loss)."""


class ImageDecoder(nn.Module):
    """From the latents of a frame to its images: a linear map to 4 x 4 cells, then convolutions that double the size.

    Its pictures are squares of up to 64 pixels, whatever the images were.

    Args:
        dim: width D of the latents. num_tokens: N.
        images: shape (rows, columns, channels) by observation key.
        width: channels at full size; 4 x 4 cells have four times as many.

    Raises:
        ValueError: no images, or smaller than 4 pixels.
    """

    def __init__(self, dim: int, num_tokens: int, images: Mapping[str, Sequence[int]], *, width: int = 16):
        super().__init__()
        self.dim, self.num_tokens, self.width = dim, num_tokens, width
        self.images = {key: tuple(shape) for key, shape in images.items()}
        shortest = min((min(shape[:2]) for shape in self.images.values()), default=0)
        if shortest < 4:
            raise ValueError(f"a picture needs images of at least 4 x 4 pixels, the model sees {self.images}")
        doublings = int(math.log2(min(shortest, SIDE) / 4))
        self.side = 4 * 2**doublings
        self.channels = sum(shape[2] for shape in self.images.values())
        each = dim if num_tokens == 1 else min(dim, max(4, 1024 // num_tokens))
        self.token = nn.Identity() if num_tokens == 1 else nn.Linear(dim, each)
        self.cells = nn.Linear(num_tokens * each, 4 * width * 16)
        layers, channels = [], 4 * width
        for _ in range(max(0, doublings - 1)):
            after = max(width, channels // 2)
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(channels, after, 3, padding=1), nn.SiLU()]
            channels = after
        scale = 2 if doublings else 1
        layers += [nn.Conv2d(channels, scale**2 * self.channels, 3, padding=1), nn.PixelShuffle(scale)]
        self.grow = nn.Sequential(*layers)
        self.mean: Tensor
        self.register_buffer("mean", torch.full((self.channels, self.side, self.side), 0.5))

    def forward(self, z: Float[Tensor, "m n d"]) -> Float[Tensor, "m c s s"]:
        """All images of each frame, channels side by side, about 0 to 1; no gradient reaches ``z``."""
        x = self.token(z.detach()).flatten(1)
        return self.mean + self.grow(F.silu(self.cells(x)).unflatten(1, (-1, 4, 4)))

    @torch.no_grad()
    def pictures(self, z: Float[Tensor, "*b n d"]) -> dict[str, UInt8[ndarray, "*b s s 3"]]:
        """Pictures by image key, as `shrink` makes them of the images themselves."""
        flat = self(z.reshape(-1, *z.shape[-2:]).to(self.mean)).clamp(0, 1)
        parts = flat.split([shape[2] for shape in self.images.values()], dim=1)
        return {
            key: _bytes(part).reshape(*z.shape[:-2], self.side, self.side, 3) for key, part in zip(self.images, parts)
        }


@dataclass(frozen=True)
class FittedDecoder:
    """A trained decoder, and what it was trained on."""

    decoder: ImageDecoder
    encoder: str
    """Hash of the encoder's weights, see `encoder_hash`."""
    steps: int
    loss: float
    """Weighted squared error of the last steps."""


def fit_decoder(
    learner: Learner,
    store: Store,
    episodes: Sequence[int] | ndarray,
    *,
    steps: int = 2000,
    seconds: float | None = None,
    batch_size: int = 32,
    lr: float = 2e-3,
    seed: int = 0,
    progress: FitProgress | None = None,
) -> FittedDecoder:
    """Train a decoder on the latents of frames of ``episodes``; the model stays as it is.

    Args:
        learner: of a world model that sees images.
        store, episodes: the training data.
        steps: of AdamW, the rate falling to 0.
        seconds: end earlier, after so much time.
        batch_size, lr, seed: of the training.
        progress: told of every step.

    Raises:
        ValueError: the model sees no images, or does not predict latents of frames; no step or no time to train.
    """
    if steps < 1 or (seconds is not None and seconds <= 0):
        raise ValueError(f"a decoder is trained for at least one step and some time, got {steps} and {seconds}")
    ends = None if seconds is None else time.monotonic() + seconds
    images, keys = decodable(learner), _keys(learner)
    encoder = learner.model.encoder
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = ImageDecoder(encoder.dim, int(encoder.num_tokens), {k: v.shape for k, v in images.items()})
    z, target = _pool(learner, store, episodes, keys, decoder, seed)
    decoder.mean.copy_(target.float().mean(0) / 255)
    weight = 1 + EMPHASIS * (target.float() / 255 - decoder.mean).abs().mean(1, keepdim=True)
    decoder.to(z.device)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr)
    generator, losses, started = torch.Generator().manual_seed(seed), [], time.monotonic()
    for step in range(steps):
        share = step / steps
        if ends is not None:
            share = max(share, (time.monotonic() - started) / max(ends - started, 1e-9))
        if share >= 1:
            break
        optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * share))
        rows = torch.randint(len(z), (batch_size,), generator=generator)
        loss = _loss(decoder(z[rows.to(z.device)]), target[rows], weight[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, steps, losses[-1])
    last = float(np.mean(losses[-50:])) if losses else math.nan
    return FittedDecoder(decoder.eval(), encoder_hash(learner), len(losses), last)


def decodable(learner: Learner) -> dict[str, ObsSpec]:
    """The images that pictures of a model's latents can show, by key.

    Raises:
        ValueError: it predicts no latents of frames, or sees no images.
    """
    if not rolls_out_frames(learner):
        raise ValueError(
            f"pictures need a model that imagines latents of frames under actions (recipe ac_jepa); "
            f"{learner.origin.recipe} predicts other targets"
        )
    obs = learner.origin.spec.obs
    found = {key: obs[key] for key in _keys(learner) if obs[key].kind == "image"}
    if not found:
        raise ValueError(f"this model sees no images ({', '.join(_keys(learner))}), so there are no pictures to make")
    return found


def shrink(images: UInt8[Tensor, "*b h w c"], side: int) -> UInt8[ndarray, "*b s s 3"]:
    """Images as pictures of ``side`` pixels, pixels averaged; one channel becomes grey."""
    flat = images.reshape(-1, *images.shape[-3:]).permute(0, 3, 1, 2).float() / 255
    return _bytes(_resized(flat, side)).reshape(*images.shape[:-3], side, side, 3)


def save_decoder(fitted: FittedDecoder, folder: str | Path) -> Path:
    """Write ``folder``/decoder.json and decoder.safetensors; returns the folder, made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    decoder = fitted.decoder
    state = {name: value.detach().cpu().contiguous().clone() for name, value in decoder.state_dict().items()}
    save_file(state, folder / "decoder.safetensors")
    content = {"dim": decoder.dim, "num_tokens": decoder.num_tokens, "images": decoder.images, "width": decoder.width}
    about = {"encoder": fitted.encoder, "steps": fitted.steps, "loss": fitted.loss}
    (folder / "decoder.json").write_text(json.dumps({**content, **about}, indent=1) + "\n")
    return folder


def load_decoder(folder: str | Path, learner: Learner) -> FittedDecoder | None:
    """What `save_decoder` wrote; None where there is none, or it belongs to other weights of the encoder.

    Raises:
        ValueError: the files are damaged.
    """
    folder = Path(folder)
    if not (folder / "decoder.json").is_file() or not (folder / "decoder.safetensors").is_file():
        return None
    try:
        saved = json.loads((folder / "decoder.json").read_text())
        decoder = ImageDecoder(saved["dim"], saved["num_tokens"], saved["images"], width=saved["width"])
        if saved["encoder"] != encoder_hash(learner):
            return None
        decoder.load_state_dict(load_file(folder / "decoder.safetensors"))
        return FittedDecoder(decoder.eval(), saved["encoder"], saved["steps"], saved["loss"])
    except (json.JSONDecodeError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(
            f"{folder} holds no decoder that can be read ({error}); remove it to make a new one"
        ) from error


def encoder_hash(learner: Learner) -> str:
    """SHA-256 of the weights that latents depend on: encoder and normaliser."""
    digest = hashlib.sha256()
    for part in (learner.normalizer, learner.model.encoder):
        assert isinstance(part, nn.Module)
        for name, value in sorted(part.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _loss(picture: Tensor, target: UInt8[Tensor, "m c s s"], weight: Tensor) -> Float[Tensor, ""]:
    wanted, weight = target.to(picture.device).float() / 255, weight.to(picture.device)
    return (weight * (picture - wanted).square()).mean()


@torch.no_grad()
def _pool(
    learner: Learner,
    store: Store,
    episodes: Sequence[int] | ndarray,
    keys: tuple[str, ...],
    decoder: ImageDecoder,
    seed: int,
    most: int = 4096,
) -> tuple[Float[Tensor, "m n d"], UInt8[Tensor, "m c s s"]]:
    """Latents of frames drawn at random, and their images as the decoder shall give them."""
    sampler = WindowSampler(store, episodes=episodes, batch_size=1, horizon=1, keys=keys)
    size = sum(math.prod(shape) for shape in decoder.images.values())
    count = min(len(sampler), most, max(64, POOL_BYTES // size))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(sampler))[:count])
    latents, targets = [], []
    training, device = learner.training, next(learner.parameters()).device
    learner.eval()
    for part in np.array_split(chosen, -(-count // 128)):
        seen = sampler.at(part)["obs"]
        obs = TensorDict({nested(key): seen[nested(key)][:, :1] for key in keys}, batch_size=[len(part), 1])
        latents.append(learner.encode(obs.to(device))[:, 0])
        shown = [obs[nested(key)][:, 0].permute(0, 3, 1, 2).float() / 255 for key in decoder.images]
        targets.append((255 * torch.cat([_resized(x, decoder.side) for x in shown], 1)).round().to(torch.uint8))
    learner.train(training)
    return torch.cat(latents), torch.cat(targets)


def _keys(learner: Learner) -> tuple[str, ...]:
    """Observations that the model sees."""
    return tuple(getattr(learner.model.views, "keys", ()))


def _resized(images: Float[Tensor, "m c h w"], side: int) -> Float[Tensor, "m c s s"]:
    return F.interpolate(images, size=(side, side), mode="area")


def _bytes(images: Float[Tensor, "m c s s"]) -> UInt8[ndarray, "m s s 3"]:
    rows = (255 * images).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()
    return (rows[..., :3] if rows.shape[-1] >= 3 else rows[..., :1].expand(*rows.shape[:-1], 3)).numpy()
