"""Encoders: views to latents [B, T, N, D]."""

from worldjepa.encoders.cnn import ImageEncoder, ResNet
from worldjepa.encoders.conv import ConvTrunk
from worldjepa.encoders.frame import FrameEncoder
from worldjepa.encoders.fuse import FusedEncoder
from worldjepa.encoders.goal import GoalEncoder
from worldjepa.encoders.impala import ImpalaTrunk
from worldjepa.encoders.mlp import StateEncoder
from worldjepa.encoders.vit import ViT

__all__ = [
    "ConvTrunk",
    "FrameEncoder",
    "FusedEncoder",
    "GoalEncoder",
    "ImageEncoder",
    "ImpalaTrunk",
    "ResNet",
    "StateEncoder",
    "ViT",
]
