"""The same plans with torch-world 0.2.0, for planning.py; prints one JSON object.

Run by the interpreter of a virtual environment of its own:

    pip install torch==2.13.0 && pip install 'torch-world[action]==0.2.0' matplotlib
    python peer_torch_world.py '{"sizes": {...}, "settings": {...}, "num_envs": 1, "repeats": 5}'
"""

import json
import sys
import time

import torch
from torch import nn
from torch_world.models.jepa import LeWM
from torch_world.planning import CEM


def plan(sizes: dict, settings: dict, num_envs: int, repeats: int) -> dict:
    """Milliseconds (of the processor) of a plan from latents to the latents of a goal."""
    torch.manual_seed(0)
    model = LeWM(
        nn.Identity(),
        sizes["action_dim"],
        embed_dim=sizes["dim"],
        history=sizes["context"],
        depth=sizes["num_layers"],
        num_heads=sizes["num_heads"],
        head_dim=sizes["head_dim"],
        mlp_dim=sizes["ffn_dim"],
    ).eval()
    model.pred_proj = nn.Identity()  # the other predictors have none
    names = ("horizon", "num_samples", "num_elites", "iterations")
    planner = CEM(action_dim=sizes["action_dim"], bounds=(-1.0, 1.0), **{name: settings[name] for name in names})
    z, goal = torch.randn(num_envs, 1, sizes["dim"]), torch.randn(num_envs, sizes["dim"])
    times = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        planner(model, z, goal)
        times.append(1e3 * (time.process_time() - begin))
    parts = (model.predictor, model.action_encoder)
    return {"ms": times[1:], "parameters": sum(p.numel() for part in parts for p in part.parameters())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(plan(**json.loads(sys.argv[1]))))
