"""Saving and loading: round trips to the last bit, and errors that say what is wrong with a folder."""

import json
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import IMAGES, SPEC, TINY, present, toy_batch, toy_learner, toy_statistics, train

from worldjepa.learner import Learner
from worldjepa.recipes import act_jepa, bc, from_pretrained, make_learner, push_to_hub, save_pretrained

CONDITIONED = replace(TINY, action_conditioned=True)


def same_state(a: Learner, b: Learner) -> bool:
    theirs = b.state_dict()
    return a.state_dict().keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in a.state_dict().items())


@pytest.fixture
def saved(tmp_path):
    """A folder with a tiny learner."""
    return save_pretrained(toy_learner(), tmp_path / "model")


@pytest.mark.parametrize(
    "config", [TINY, CONDITIONED, replace(IMAGES, target_keys=("image",))], ids=["states", "told", "images"]
)
def test_a_trained_learner_comes_back_to_the_last_bit(config, tmp_path) -> None:
    learner = toy_learner(config)
    batch = toy_batch(images=bool(config.image_keys))
    train(learner, [batch] * 2)
    torch.manual_seed(99)
    loaded = from_pretrained(save_pretrained(learner, tmp_path / "model"), recipe="act_jepa")
    learner.eval()
    assert not any(module.training for module in loaded.modules())
    assert same_state(learner, loaded)
    assert loaded.origin == learner.origin
    seen = present(batch)
    assert torch.equal(loaded.actions(seen), learner.actions(seen))
    assert torch.equal(loaded(batch)["loss"], learner(batch)["loss"])
    if config.action_conditioned:
        action = batch["action"][:, : config.history - 1 + config.horizon]
        assert torch.equal(loaded.rollout(seen, action), learner.rollout(seen, action))


def test_training_can_go_on_from_a_loaded_learner(tmp_path) -> None:
    """Target and encoder are still tied: further training is that of the original."""
    learner = toy_learner()
    train(learner, [toy_batch()])
    loaded = from_pretrained(save_pretrained(learner, tmp_path / "model")).train()
    assert train(loaded, [toy_batch(seed=s) for s in range(3)]) == train(learner, [toy_batch(seed=s) for s in range(3)])
    assert same_state(learner, loaded)


@pytest.mark.parametrize("name", ["act", "bc"])
def test_the_other_recipes_come_back_too(name, tmp_path) -> None:
    torch.manual_seed(0)
    config = act_jepa.act(TINY) if name == "act" else bc.Config(hidden=(16,), dim=8)
    learner = make_learner(name, config, SPEC, toy_statistics()).eval()
    loaded = from_pretrained(save_pretrained(learner, tmp_path))
    assert loaded.origin == learner.origin
    seen = present(toy_batch(), learner.origin.config.history)
    assert torch.equal(loaded.actions(seen), learner.actions(seen))


def test_the_folder_holds_two_files_without_pickle(saved) -> None:
    assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors"}
    values = json.loads((saved / "config.json").read_text())
    assert (values["recipe"], values["config"]["chunk"], values["spec"]["action_dim"]) == ("act_jepa", 4, 2)
    assert {"normalizer.shift_action", "normalizer.scale_action"} < set(load_file(saved / "model.safetensors"))


def test_run_and_checkpoint_folders_are_understood(saved, tmp_path) -> None:
    step = tmp_path / "run" / "checkpoints" / "000010"
    step.mkdir(parents=True)
    saved.rename(step / "pretrained_model")
    (step.parent / "last").symlink_to("000010")
    for folder in (tmp_path / "run", step, step / "pretrained_model", str(tmp_path / "run")):
        assert same_state(from_pretrained(folder), toy_learner())


def test_saving_twice_overwrites(saved) -> None:
    other = toy_learner(seed=1)
    save_pretrained(other, saved)
    assert same_state(from_pretrained(saved), other)


def test_another_recipe_is_refused(saved) -> None:
    with pytest.raises(ValueError, match="recipe 'act_jepa', expected 'bc'"):
        from_pretrained(saved, recipe="bc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("recipe"), "not a worldjepa model configuration"),
        (lambda values: values.pop("config"), "not a worldjepa model configuration"),
        (lambda values: values["spec"].pop("obs"), "not a worldjepa model configuration"),
        (lambda values: values.update(format=2), "format 2"),
        (lambda values: values.update(recipe="dreamer"), "no recipe 'dreamer'"),
        (lambda values: values["config"].update(depth=3), r"no fields \['depth'\]"),
        (lambda values: values["config"].update(dim=32), "of another shape"),
        (lambda values: values["config"].update(encoder_layers=2), "missing"),
        (lambda values: values["config"].update(encoder_layers=0), "unknown"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(saved, change, message) -> None:
    values = json.loads((saved / "config.json").read_text())
    change(values)
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        from_pretrained(saved)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_configuration_is_refused(saved, text) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(ValueError, match="not a worldjepa model configuration"):
        from_pretrained(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("normalizer.shift_block"), "holds no normalisation statistics"),
        (lambda state: state["normalizer.scale_action"].fill_(torch.nan), "'scale_action' in .* are not finite"),
        (lambda state: state.pop("model.encoder.norm.weight"), "1 missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 unknown"),
        (lambda state: state.update({"model.encoder.norm.weight": torch.zeros(3)}), "1 of another shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, change, message) -> None:
    state = load_file(saved / "model.safetensors")
    change(state)
    save_file(state, saved / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        from_pretrained(saved)


@pytest.mark.parametrize("keep", [0, 5, 1000])
def test_a_truncated_file_is_refused(saved, keep) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        from_pretrained(saved)


def test_what_is_no_model_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no config"):
        from_pretrained(tmp_path)
    (tmp_path / "file").write_text("")
    for source in (tmp_path / "file", "./user/model", "model", "a/b/c", tmp_path / "nothing"):
        with pytest.raises(ValueError, match="neither a model folder nor a hub name"):
            from_pretrained(source)


def test_a_hub_name_that_is_not_here_says_so_offline(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="user/model is no folder here, and was not found on the hub"):
        from_pretrained("user/model", local_files_only=True)


def test_a_hub_name_is_fetched(saved, monkeypatch) -> None:
    asked = {}

    def snapshot_download(name, **options):
        asked.update(name=name, **options)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert same_state(from_pretrained("user/model", revision="v1"), toy_learner())
    assert (asked["name"], asked["revision"]) == ("user/model", "v1")
    assert set(asked["allow_patterns"]) == {"config.json", "model.safetensors"}


def test_pushing_uploads_the_folder_that_saving_writes(tmp_path, monkeypatch) -> None:
    calls = []

    class Api:
        def create_repo(self, repo_id, **options):
            calls.append(("create", repo_id, options))

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            calls.append(("upload", repo_id, commit_message))
            assert same_state(from_pretrained(folder_path), toy_learner())
            return "https://hub/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push_to_hub(toy_learner(), "user/model", message="First") == "https://hub/commit/1"
    assert calls == [("create", "user/model", {"private": True, "exist_ok": True}), ("upload", "user/model", "First")]
