"""Animals, a plant and a person of Turntable: each function draws the parts of one instance, facing +x."""

import math

from worldjepa_envs.turntable_parts import ACCENT, MAIN, SECOND, Draw, Part, ball, box, egg, mirrored, rod, tube


def bird(u: Draw) -> list[Part]:
    """A body, a head with beak and eyes, spread wings, a tail and legs."""
    body, fat, head, neck = u(0.42, 0.55), u(0.2, 0.3), u(0.14, 0.2), u(0.12, 0.32)
    span, chord, lift = u(0.6, 0.95), u(0.16, 0.26), u(0.1, 0.6)
    x, z = body + 0.35 * neck, 0.12 + neck
    beak = u(0.16, 0.34)
    return [
        egg((0, 0, 0), (body, fat, fat), MAIN, (0, -0.3, 0)),
        rod((0.6 * body, 0, 0.1), (x, 0, z), 0.5 * head),
        ball((x, 0, z), head),
        egg((x + head + 0.4 * beak, 0, z), (beak, 0.05, 0.045), ACCENT),
        *mirrored(ball((x + 0.6 * head, 0.7 * head, z + 0.4 * head), 0.045, ACCENT)),
        *mirrored(
            egg((0, 0.15 + span / 2 * math.cos(lift), 0.1 + span / 2 * math.sin(lift)), (chord, 0.55 * span, 0.035),
                SECOND, (lift, 0, 0))
        ),
        box((-body - 0.18, 0, -0.12), (u(0.16, 0.26), u(0.1, 0.18), 0.02), SECOND, (0, -0.25, 0)),
        *mirrored(rod((0, 0.1, -0.8 * fat), (0.05, 0.1, -fat - u(0.15, 0.3)), 0.025, ACCENT)),
    ]  # fmt: skip


def cactus(u: Draw) -> list[Part]:
    """A pot, a trunk, two arms of unlike heights (perhaps a third), and a flower beside the top."""
    trunk, height = u(0.16, 0.24), u(0.9, 1.3)
    parts = [
        tube((0, 0, -0.45), (0, 0, -0.08), u(0.28, 0.38), SECOND),
        tube((0, 0, -0.12), (0, 0, 0.0), u(0.38, 0.46), ACCENT),
        rod((0, 0, 0), (0, 0, height), trunk),
        ball((0.6 * trunk, 0.2 * trunk, height + 0.8 * trunk), u(0.1, 0.15), ACCENT),
    ]
    bases, bearing = [u(0.2, 0.32), u(0.55, 0.7), u(0.35, 0.5)], u(-0.3, 0.3)
    for base, turn in zip(bases[: u.count(2, 3)], (0.0, u(2.4, 3.6), u(1.2, 1.9))):
        reach, up, thick = trunk + u(0.16, 0.28), u(0.22, 0.5), u(0.55, 0.75) * trunk
        x, y = reach * math.cos(bearing + turn), reach * math.sin(bearing + turn)
        foot, knee = (0.0, 0.0, base * height), (x, y, base * height)
        parts += [rod(foot, knee, thick), rod(knee, (x, y, base * height + up), thick)]
        parts.append(ball((x, y, base * height + up + thick), 0.4 * thick, SECOND))
    return parts


def dog(u: Draw) -> list[Part]:
    """A four-legged animal with a snout, ears and a raised tail; neck and legs of any length."""
    body, fat, leg = u(0.42, 0.6), u(0.17, 0.25), u(0.3, 0.6)
    neck, head = u(0.1, 0.45), u(0.16, 0.22)
    x, z = body + 0.1 + 0.5 * neck, 0.12 + neck
    tail, spot = u(0.3, 0.5), u(-0.3, 0.2)
    parts = [
        rod((-body, 0, 0), (body, 0, 0), fat),
        egg((spot, 0, 0.02), (0.45 * body, 1.1 * fat, 1.12 * fat), SECOND),
        rod((body, 0, 0.05), (x, 0, z), 0.6 * head),
        ball((x, 0, z), head),
        egg((x + head, 0, z - 0.05), (u(0.13, 0.24), 0.1, 0.09), SECOND),
        ball((x + head + 0.17, 0, z - 0.02), 0.055, ACCENT),
        *mirrored(ball((x + 0.75 * head, 0.5 * head, z + 0.45 * head), 0.04, ACCENT)),
        *mirrored(
            egg((x - 0.05, 0.85 * head, z + 0.6 * head), (0.07, 0.04, u(0.1, 0.2)), ACCENT, (u(-0.5, 0.3), 0, 0))
        ),
        rod((-body - 0.5 * fat, 0, 0.1), (-body - fat - 0.4 * tail, 0, 0.1 + tail), 0.05, SECOND),
    ]
    for at in (-0.85 * body, 0.85 * body):
        parts += mirrored(rod((at, 0.6 * fat, 0), (at, 0.7 * fat, -fat - leg), u(0.06, 0.09)))
    return parts


def fish(u: Draw) -> list[Part]:
    """A flat body with a forked tail, a dorsal and two side fins, stripes and eyes."""
    tall, thick, fork, fin = u(0.3, 0.55), u(0.14, 0.24), u(0.3, 0.5), u(0.16, 0.3)
    parts = [
        egg((0, 0, 0), (0.8, thick, tall)),
        box((-0.95, 0, 0.6 * fork), (0.12, 0.025, fork), SECOND, (0, -0.7, 0)),
        box((-0.95, 0, -0.6 * fork), (0.1, 0.025, 0.8 * fork), SECOND, (0, 0.7, 0)),
        box((u(-0.2, 0.1), 0, tall), (u(0.2, 0.35), 0.025, fin), SECOND, (0, -0.3, 0)),
        *mirrored(egg((0.15, thick + 0.1, -0.35 * tall), (0.14, fin, 0.025), SECOND, (-0.5, 0, 0.4))),
        *mirrored(ball((0.55, 0.62 * thick, 0.25 * tall), u(0.06, 0.09), ACCENT)),
        egg((0.8, 0, -0.06), (0.06, 0.07, 0.07), ACCENT),
    ]
    for k in range(u.count(0, 2)):
        x = 0.2 - 0.3 * k
        shrink = math.sqrt(1 - (x / 0.8) ** 2)
        parts.append(egg((x, 0, 0), (0.06, 1.08 * thick * shrink, 1.03 * tall * shrink), ACCENT))
    return parts


def person(u: Draw) -> list[Part]:
    """A figure with a hat; one arm up, one down and forward; the feet point to the front."""
    torso, wide, leg, head = u(0.3, 0.4), u(0.18, 0.26), u(0.45, 0.65), u(0.14, 0.2)
    arm, thick, stride = u(0.38, 0.5), u(0.055, 0.08), u(0.0, 0.2)
    shoulder = torso - 0.05
    top = torso + 0.08 + head
    lifted, lowered = u(0.5, 1.2), u(0.3, 1.0)
    parts = [
        egg((0, 0, 0), (0.6 * wide, wide, torso)),
        box((0, 0, -0.75 * torso), (0.65 * wide, 0.95 * wide, 0.12), SECOND),
        ball((0, 0, top), head, SECOND),
        ball((head, 0, top), 0.3 * head, ACCENT),
        tube((0, 0, top + 0.5 * head), (0, 0, top + 0.62 * head), 1.35 * head, ACCENT),
        tube((0, 0, top + 0.5 * head), (0, 0, top + u(1.2, 1.9) * head), 0.8 * head, ACCENT),
        rod((0, wide, shoulder), (0.1, wide + arm * math.cos(lifted), shoulder + arm * math.sin(lifted)), thick),
        rod((0, -wide, shoulder), (arm * math.sin(lowered), -wide - 0.1, shoulder - arm * math.cos(lowered)), thick),
    ]
    for side, ahead in ((1, stride), (-1, -stride)):
        y, foot = side * 0.55 * wide, -0.8 * torso - leg
        parts.append(rod((0, y, -0.75 * torso), (ahead, y, foot), 1.2 * thick, SECOND))
        parts.append(egg((ahead + 0.08, y, foot - 0.05), (0.16, 0.08, 0.07), ACCENT))
    return parts
