"""Vehicles of Turntable: each function draws the parts of one instance, its front towards +x."""

import math

from worldjepa_envs.turntable_parts import ACCENT, MAIN, SECOND, Draw, Part, ball, box, egg, mirrored, ring, rod, tube


def airplane(u: Draw) -> list[Part]:
    """Fuselage, swept wings with one or two engines each, tail plane and fin."""
    radius, span, sweep, chord = u(0.11, 0.17), u(0.75, 1.05), u(0.0, 0.45), u(0.12, 0.2)
    wing_x, wing_z = u(0.0, 0.2), u(-0.6, 0.6) * radius
    tail, fin = u(0.28, 0.4), u(0.16, 0.26)
    half = span / 2
    parts = [
        egg((0, 0, 0), (1.0, radius, radius)),
        egg((0.68, 0, 0.5 * radius), (0.18, 0.6 * radius, 0.6 * radius), ACCENT),
        box((-0.86, 0, fin), (0.11, 0.02, fin), SECOND, (0, -0.35, 0)),
        *mirrored(box((wing_x - half * sweep, half, wing_z), (chord, half, 0.025), SECOND, (0, 0, math.atan(sweep)))),
        *mirrored(box((-0.88, tail / 2, 0.02), (0.09, tail / 2, 0.02), ACCENT)),
    ]
    for k in range(u.count(0, 2)):
        y = (0.35 + 0.3 * k) * span
        x, z = wing_x - y * sweep, wing_z - 0.08
        parts += mirrored(tube((x - 0.12, y, z), (x + 0.2, y, z), 0.06, ACCENT))
    return parts


def bicycle(u: Draw) -> list[Part]:
    """Two wheels, a frame, a saddle and a handlebar."""
    radius, base, thick = u(0.38, 0.5), u(0.55, 0.68), u(0.03, 0.05)
    seat, head, crank = (-0.3 * base, 0.0, u(0.5, 0.7)), (0.72 * base, 0.0, u(0.5, 0.65)), (-0.05, 0.0, -0.05)
    rear, front = (-base, 0.0, 0.0), (base, 0.0, 0.0)
    bar = u(0.2, 0.34)
    grip = (head[0] + u(-0.1, 0.12), 0.0, head[2] + u(0.12, 0.25))
    return [
        *ring(rear, radius, thick, ACCENT),
        *ring(front, radius, thick, ACCENT),
        *[rod(a, b, 0.035) for a, b in ((rear, seat), (rear, crank), (crank, seat), (crank, head), (seat, head))],
        rod(front, head, 0.035, SECOND),
        rod(head, grip, 0.03, SECOND),
        rod((grip[0], -bar, grip[2]), (grip[0], bar, grip[2]), 0.035, SECOND),
        egg((seat[0] - 0.04, 0.0, seat[2] + 0.1), (u(0.16, 0.24), u(0.08, 0.12), 0.06), SECOND),
        tube((crank[0], 0.05, crank[2]), (crank[0], 0.09, crank[2]), u(0.1, 0.15), ACCENT),
    ]


def car(u: Draw) -> list[Part]:
    """A body on four wheels, a cabin towards the rear, lamps in front and perhaps a spoiler."""
    width, height, radius = u(0.38, 0.5), u(0.13, 0.22), u(0.17, 0.24)
    cabin, cabin_x, cabin_z = u(0.35, 0.6), u(-0.35, -0.1), u(0.14, 0.24)
    top = height + cabin_z
    parts = [
        box((0, 0, 0), (1.0, width, height)),
        box((cabin_x, 0, top), (cabin, 0.85 * width, cabin_z), SECOND),
        box((cabin_x, 0, top + cabin_z), (0.9 * cabin, 0.8 * width, 0.03)),
    ]
    for x in (-u(0.55, 0.68), u(0.55, 0.68)):
        parts += mirrored(tube((x, width - 0.08, -height), (x, width + 0.06, -height), radius, ACCENT))
    parts += mirrored(ball((0.98, 0.65 * width, 0.3 * height), u(0.08, 0.12), ACCENT))
    if u.count(0, 1):
        parts.append(box((-0.95, 0, height + 0.18), (0.1, width, 0.03), SECOND))
        parts += mirrored(box((-0.95, 0.7 * width, height + 0.08), (0.04, 0.03, 0.1), SECOND))
    return parts


def excavator(u: Draw) -> list[Part]:
    """Tracks, an engine, a cab on one side, and a boom, an arm and a bucket in front."""
    track, width, cab = u(0.5, 0.65), u(0.3, 0.4), u(0.2, 0.28)
    elbow = (u(0.65, 0.85), 0.0, u(0.85, 1.15))
    wrist = (elbow[0] + u(0.2, 0.4), 0.0, elbow[2] - u(0.5, 0.75))
    scoop = u(0.12, 0.18)
    return [
        *mirrored(box((0, width, 0), (track, 0.11, 0.13), ACCENT)),
        *[tube((x, -width - 0.12, 0), (x, width + 0.12, 0), 0.13, ACCENT) for x in (-track, track)],
        box((-0.1, 0, 0.3), (0.48, 0.36, 0.15)),
        box((-0.45, 0, 0.5), (0.14, 0.34, u(0.06, 0.14)), SECOND),
        box((0.08, 0.2, 0.45 + cab), (0.2, 0.15, cab), SECOND),
        rod((0.25, -0.08, 0.4), elbow, u(0.07, 0.1)),
        rod(elbow, wrist, u(0.06, 0.08)),
        box((wrist[0] - 0.06, 0, wrist[2] - 0.08), (scoop, u(0.16, 0.24), scoop), ACCENT, (0, u(-0.4, 0.4), 0)),
    ]


def helicopter(u: Draw) -> list[Part]:
    """A cabin, a tail boom with fin, a rotor of two to four blades, and skids."""
    body, width, height = u(0.4, 0.52), u(0.24, 0.32), u(0.26, 0.36)
    boom, blade, phase, num = u(0.75, 1.0), u(0.75, 0.95), u(0.0, math.pi), u.count(2, 4)
    top, skid = height + u(0.1, 0.2), -height - u(0.12, 0.2)
    parts = [
        egg((0.1, 0, 0), (body, width, height)),
        egg((0.1 + 0.55 * body, 0, 0.06), (0.5 * body, 0.8 * width, 0.62 * height), ACCENT),
        rod((-0.2, 0, 0.08), (-0.2 - boom, 0, 0.14), u(0.05, 0.08)),
        box((-0.2 - boom, 0, 0.26), (0.09, 0.025, u(0.16, 0.24)), SECOND),
        box((-0.2 - boom, 0.07, 0.2), (0.03, 0.015, 0.2), ACCENT, (0, phase, 0)),
        tube((0.1, 0, 0), (0.1, 0, top), 0.05, ACCENT),
        *mirrored(rod((-0.35, 0.28, skid), (0.55, 0.28, skid), 0.03, SECOND)),
    ]
    for k in range(num):
        angle = phase + 2 * math.pi * k / num
        x, y = 0.1 + blade / 2 * math.cos(angle), blade / 2 * math.sin(angle)
        parts.append(box((x, y, top), (blade / 2, 0.05, 0.015), SECOND, (0, 0, angle)))
    for x in (-0.1, 0.3):
        parts += mirrored(rod((x, 0.12, -0.6 * height), (x, 0.28, skid), 0.025, SECOND))
    return parts


def sailboat(u: Draw) -> list[Part]:
    """A hull, a mast with a stepped triangular sail behind it and a smaller one before it, and a flag."""
    width, depth, mast = u(0.22, 0.34), u(0.18, 0.28), u(1.2, 1.6)
    boom, strips, step = u(0.6, 0.85), u.count(4, 6), u(0.05, 0.2)
    parts = [
        egg((0, 0, 0), (1.0, width, depth)),
        box((0, 0, 0.14), (0.75, 0.75 * width, 0.05), SECOND),
        box((-0.5, 0, 0.25), (0.16, 0.5 * width, 0.1), ACCENT),
        rod((step, 0, 0), (step, 0, mast), 0.03, SECOND),
        box((step + 0.13, 0, mast - 0.06), (0.12, 0.015, 0.06), SECOND),
    ]
    height = (mast - 0.35) / strips
    for k in range(strips):
        half = boom * (1 - (k + 0.5) / strips) / 2
        z = 0.32 + height * (k + 0.5)
        parts.append(box((step - 0.03 - half, 0, z), (half, 0.02, height / 2), ACCENT if k % 2 else MAIN))
        fore = 0.5 * half
        if k < strips - 1:
            parts.append(box((step + 0.05 + fore, 0, z - 0.05), (fore, 0.015, height / 2), SECOND))
    return parts
