"""Saving and loading a learner as a folder: config.json and model.safetensors, statistics inside, nothing pickled."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from worldjepa.learner import Learner
from worldjepa.recipes.table import config_from_json, config_to_json, make_learner
from worldjepa.types import DataSpec

FORMAT = 1


def save_pretrained(learner: Learner, folder: str | Path) -> Path:
    """Write ``folder``/config.json and ``folder``/model.safetensors.

    Returns:
        The folder, made if need be.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    origin = learner.origin
    config = {
        "format": FORMAT,
        "recipe": origin.recipe,
        "config": config_to_json(origin.config),
        "spec": origin.spec.to_json(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {name: value.detach().cpu().contiguous().clone() for name, value in learner.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt", "recipe": origin.recipe})
    return folder


def from_pretrained(
    source: str | Path,
    *,
    recipe: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    **parts: Any,
) -> Learner:
    """A learner in eval mode, from a folder or from a model repository of the Hugging Face hub.

    Args:
        source: a folder with config.json and model.safetensors; a checkpoint folder or a run folder works too (its
            ``pretrained_model``, its last checkpoint). A name "user/model" that is no folder is fetched from the hub.
        recipe: the recipe the caller expects, or None for any.
        revision, local_files_only: of the hub.
        parts: what a configuration cannot hold, see `make_learner`; its weights are those of the checkpoint.

    Raises:
        ValueError: no checkpoint there, one of another recipe, weights that do not fit, statistics missing.
    """
    folder = _find(source, revision, local_files_only)
    try:
        saved = json.loads((folder / "config.json").read_text())
        form, name, values = saved["format"], saved["recipe"], saved["config"]
        spec = DataSpec.from_json(saved["spec"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} is not a worldjepa model configuration: {error!r}") from error
    if form != FORMAT:
        raise ValueError(f"{folder} has format {form!r}, this version of worldjepa reads format {FORMAT}")
    if recipe is not None and name != recipe:
        raise ValueError(f"{folder} holds a model of recipe {name!r}, expected {recipe!r}")
    learner = make_learner(name, config_from_json(name, values), spec, statistics=None, **parts)
    try:
        state = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise ValueError(f"{folder / 'model.safetensors'} is damaged or no safetensors file: {error}") from error
    expected = learner.state_dict()
    missing = sorted(set(expected) - set(state))
    lost = [k for k in missing if k.startswith("normalizer.")]
    if lost:
        raise ValueError(f"{folder} holds no normalisation statistics ({lost}): it was not saved by save_pretrained")
    wrong = sorted(k for k in set(expected) & set(state) if expected[k].shape != state[k].shape)
    extra = sorted(set(state) - set(expected))
    if missing or wrong or extra:
        raise ValueError(
            f"the weights in {folder} do not fit recipe {name!r}: {len(missing)} missing {missing[:3]}, "
            f"{len(wrong)} of another shape {wrong[:3]}, {len(extra)} unknown {extra[:3]}"
        )
    learner.load_state_dict(state)
    for key, value in learner.normalizer.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"the normalisation statistics {key!r} in {folder} are not finite")
    return learner.eval()


def push_to_hub(learner: Learner, repo_id: str, *, private: bool = True, message: str = "Upload model") -> str:
    """Upload a learner as a model repository; needs a token set up for huggingface_hub.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(learner, folder)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))


def _find(source: str | Path, revision: str | None, local_files_only: bool) -> Path:
    path = Path(source)
    if path.is_dir():
        for folder in (path, path / "pretrained_model", path / "checkpoints" / "last" / "pretrained_model"):
            if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
                return folder
        raise ValueError(f"{path} holds no config.json and model.safetensors, nor checkpoints/last/pretrained_model")
    if path.exists() or str(source).count("/") != 1 or str(source).startswith((".", "/")):
        raise ValueError(f"{source} is neither a model folder nor a hub name of the form user/model")
    from huggingface_hub import snapshot_download

    options = {"revision": revision, "local_files_only": local_files_only}
    try:
        return Path(snapshot_download(str(source), allow_patterns=["config.json", "model.safetensors"], **options))
    except OSError as error:  # of the hub: not there, not cached, no network
        raise ValueError(f"{source} is no folder here, and was not found on the hub: {error}") from error
