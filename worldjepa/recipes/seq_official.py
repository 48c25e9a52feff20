"""Weights of released seq-JEPA checkpoints (hafezgh/seq-jepa) under the names of our parts."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

PROBES = re.compile(r"(online_\w+|\w+_(?:classifier|regressor))\.")
"""Heads that were trained beside the model and are no part of it."""
PLAIN = (
    (r"agg_token", "predictor.token"),
    (r"action_proj\.(0|1)\.(.+)", r"predictor.action.\1.\2"),
    (r"predictor\.([013])\.(.+)", r"predictor.head.\1.\2"),
    (r"transformer_encoder\.norm\.(.+)", r"predictor.norm.\1"),
)
LAYER = r"transformer_encoder\.transformer_encoder\.layers\.(\d+)\."
LAYERS = (
    (LAYER + r"self_attn\.out_proj\.(.+)", r"predictor.blocks.\1.attention.out.\2"),
    (LAYER + r"linear1\.(.+)", r"predictor.blocks.\1.ffn.0.\2"),
    (LAYER + r"linear2\.(.+)", r"predictor.blocks.\1.ffn.3.\2"),
    (LAYER + r"norm1\.(.+)", r"predictor.blocks.\1.norms.0.\2"),
    (LAYER + r"norm2\.(.+)", r"predictor.blocks.\1.norms.1.\2"),
)
IN_PROJECTION = re.compile(LAYER + r"self_attn\.in_proj_(weight|bias)")


def official_state(state: Mapping[str, Tensor], trunk: str, depths: Sequence[int] = (2, 2, 2, 2)) -> dict[str, Tensor]:
    """The state of a `JEPA` that `seq_jepa.build` made, from a released model's.

    Args:
        state: of ``SeqJEPA_Transforms`` or ``SeqJEPA_PLS`` that embeds its actions (``learn_act_emb=1``) or is told
            none (``act_cond=0``); there is no model here that is told actions as they are (``learn_act_emb=0``). Names
            may begin with "module.", as of several processes.
        trunk: name of the trunk in the encoder, that of the image key.
        depths: blocks of the ResNet's stages.

    Raises:
        ValueError: names that no released model has.
    """
    found: dict[str, Tensor] = {}
    unknown = []
    first_blocks = [sum(depths[:i]) for i in range(len(depths))]
    for name, value in state.items():
        name = name.removeprefix("module.")
        if PROBES.match(name):
            continue
        if split := IN_PROJECTION.fullmatch(name):
            attention = f"predictor.blocks.{split[1]}.attention"
            found[f"{attention}.q.{split[2]}"], found[f"{attention}.kv.{split[2]}"] = _split(value)
            continue
        ours = _encoder_name(name, trunk, first_blocks) or _renamed(name, (*PLAIN, *LAYERS))
        if ours is None:
            unknown.append(name)
        else:
            found[ours] = value.flatten() if ours == "predictor.token" else value
    if unknown:
        raise ValueError(
            f"{len(unknown)} entries are none of a released seq-JEPA's, such as {unknown[:4]}: expected the state of "
            'its model, which checkpoints hold under "model"'
        )
    return found


def _split(value: Tensor) -> tuple[Tensor, Tensor]:
    """The query's part of a joint projection, and those of key and value."""
    width = len(value) // 3
    return value[:width].clone(), value[width:].clone()


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str | None:
    for pattern, ours in rules:
        if match := re.fullmatch(pattern, name):
            return match.expand(ours)
    return None


def _encoder_name(name: str, trunk: str, first_blocks: list[int]) -> str | None:
    """Names of torchvision's ResNet-18, in the encoder or in the target."""
    match = re.fullmatch(r"(target_)?encoder\.(.+)", name)
    if match is None:
        return None
    prefix = f"{'target.' if match[1] else ''}encoder.trunks.{trunk}"
    if stem := re.fullmatch(r"(conv1|bn1)\.(.+)", match[2]):
        return f"{prefix}.stem.{0 if stem[1] == 'conv1' else 1}.{stem[2]}"
    block = re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(.+)", match[2])
    if block is None or not 1 <= int(block[1]) <= len(first_blocks):
        return None
    part = {"conv": "conv", "bn": "norm", "downsample.": "shortcut."}[block[3]]
    return f"{prefix}.stages.{first_blocks[int(block[1]) - 1] + int(block[2])}.{part}{block[4]}.{block[5]}"
