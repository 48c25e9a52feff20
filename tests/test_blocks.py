"""Position codes: identities. Attention and blocks: torch's own layers with the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from worldjepa.blocks import Attention, DecoderBlock, EncoderBlock, FeedForward, sincos, sincos_2d


def same_as(attention: Attention, dim: int, num_heads: int) -> nn.MultiheadAttention:
    """torch's attention with the weights of ours."""
    theirs = nn.MultiheadAttention(dim, num_heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([attention.q.weight, attention.kv.weight]))
        theirs.in_proj_bias.copy_(torch.cat([attention.q.bias, attention.kv.bias]))
        theirs.out_proj.weight.copy_(attention.out.weight)
        theirs.out_proj.bias.copy_(attention.out.bias)
    return theirs


def test_the_code_of_zero_is_sines_zero_and_cosines_one() -> None:
    assert torch.equal(sincos(torch.tensor(0), 6), torch.tensor([0.0, 0, 0, 1, 1, 1]))


def test_codes_have_unit_sines_and_cosines_at_any_position() -> None:
    code = sincos(torch.tensor([-7.0, 0.5, 1000.0]), 8)
    torch.testing.assert_close(code[:, :4].square() + code[:, 4:].square(), torch.ones(3, 4))


def test_products_of_codes_depend_only_on_the_distance() -> None:
    a, b = sincos(torch.arange(5) - 2, 16), sincos(torch.arange(5) + 11, 16)
    torch.testing.assert_close(a @ a.T, b @ b.T)


def test_the_code_is_the_formula_of_the_transformer_paper() -> None:
    position, dim = 3, 10
    angles = [position / 10000 ** (2 * i / dim) for i in range(dim // 2)]
    expected = torch.tensor([torch.tensor(a).sin() for a in angles] + [torch.tensor(a).cos() for a in angles])
    torch.testing.assert_close(sincos(torch.tensor(position), dim), expected)


def test_a_grid_is_coded_row_major_by_row_then_column() -> None:
    grid = sincos_2d(2, 3, 8)
    for row in range(2):
        for column in range(3):
            expected = torch.cat([sincos(torch.tensor(row), 4), sincos(torch.tensor(column), 4)])
            assert torch.equal(grid[row * 3 + column], expected)


@pytest.mark.parametrize("call", [lambda: sincos(torch.arange(2), 7), lambda: sincos_2d(2, 2, 6)])
def test_widths_that_do_not_split_are_refused(call) -> None:
    with pytest.raises(ValueError, match="width"):
        call()


def test_attention_is_torchs_attention() -> None:
    ours = Attention(12, 3)
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    expected, _ = same_as(ours, 12, 3)(x, memory, memory)
    torch.testing.assert_close(ours(x, memory), expected)


def test_attention_with_masks_is_torchs_attention() -> None:
    ours = Attention(12, 3)
    theirs = same_as(ours, 12, 3)
    x = torch.randn(2, 4, 12)
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    expected, _ = theirs(x, x, x, attn_mask=~causal)  # torch says True where attending is forbidden
    torch.testing.assert_close(ours(x, x, causal[None, None]), expected)
    valid = torch.tensor([[True, True, False, False], [True, True, True, True]])
    expected, _ = theirs(x, x, x, key_padding_mask=~valid)
    torch.testing.assert_close(ours(x, x, valid[:, None, None]), expected)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="10 does not divide by 4"):
        Attention(10, 4)


def copy_ffn(ffn: FeedForward, theirs: nn.Module) -> None:
    theirs.linear1.load_state_dict(ffn[0].state_dict())
    theirs.linear2.load_state_dict(ffn[3].state_dict())


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_encoder_block_is_torchs(norm) -> None:
    ours = EncoderBlock(12, 3, 20, norm=norm)
    randomise_norms(ours)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, F.gelu, batch_first=True, norm_first=norm == "pre")
    theirs.self_attn = same_as(ours.attention, 12, 3)
    copy_ffn(ours.ffn, theirs)
    theirs.norm1, theirs.norm2 = ours.norms
    x = torch.randn(2, 4, 12)
    torch.testing.assert_close(ours(x), theirs(x))
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    torch.testing.assert_close(ours(x, causal[None, None]), theirs(x, src_mask=~causal))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_first_tokens_alone_are_those_of_all(norm) -> None:
    block = EncoderBlock(12, 3, 20, norm=norm, activation=nn.ReLU).eval()
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(block(x, first=2), block(x)[:, :2])
    assert isinstance(block.ffn[1], nn.ReLU)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_decoder_block_is_torchs(norm) -> None:
    ours = DecoderBlock(12, 3, 20, norm=norm)
    randomise_norms(ours)
    theirs = nn.TransformerDecoderLayer(12, 3, 20, 0.0, F.gelu, batch_first=True, norm_first=norm == "pre")
    theirs.self_attn, theirs.multihead_attn = same_as(ours.attention, 12, 3), same_as(ours.cross, 12, 3)
    copy_ffn(ours.ffn, theirs)
    theirs.norm1, theirs.norm2, theirs.norm3 = ours.norms
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(x, memory), theirs(x, memory))
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    torch.testing.assert_close(ours(x, memory, causal[None, None]), theirs(x, memory, tgt_mask=~causal))


@pytest.mark.parametrize("block", [EncoderBlock, DecoderBlock])
def test_an_unknown_norm_is_refused(block) -> None:
    with pytest.raises(ValueError, match="norm must be"):
        block(4, 2, 8, norm="batch")


def test_dropout_acts_in_training_only() -> None:
    block = EncoderBlock(12, 3, 20, dropout=0.5)
    x = torch.randn(2, 4, 12)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def randomise_norms(block: nn.Module) -> None:
    """Scales and shifts that a swapped norm could not have."""
    for norm in block.norms:
        nn.init.normal_(norm.weight, 1.0, 0.2)
        nn.init.normal_(norm.bias, 0.0, 0.2)
