"""Things of Turntable: each function draws the parts of one instance, its front towards +x or -y."""

import math

from worldjepa_envs.turntable_parts import ACCENT, MAIN, SECOND, Draw, Part, arc, ball, box, egg, ring, rod, tube


def chair(u: Draw) -> list[Part]:
    """A seat on four legs, a back of slats, perhaps arm rests."""
    wide, deep, leg, back = u(0.4, 0.52), u(0.38, 0.5), u(0.45, 0.7), u(0.5, 0.8)
    thick, lean, num = u(0.04, 0.06), u(0.0, 0.18), u.count(1, 4)
    parts = [box((0, 0, 0), (deep, wide, 0.06)), box((0.03, 0, 0.08), (0.85 * deep, 0.85 * wide, 0.04), SECOND)]
    for x in (-deep + thick, deep - thick):
        parts += [rod((x, y, 0), (x, y, -leg), thick, ACCENT) for y in (-wide + thick, wide - thick)]
    for y in (-wide + thick, wide - thick):
        parts.append(rod((-deep + thick, y, 0), (-deep - lean, y, 2 * back), thick, ACCENT))
    for k in range(num):
        high = 0.35 + (k + 0.5) * 1.6 / num
        parts.append(box((-deep - lean * high / 2, 0, high * back), (0.04, 0.95 * wide, 0.62 * back / num)))
    if u.count(0, 1):
        for y in (-wide, wide):
            parts += [
                rod((-deep, y, 0.4), (0.7 * deep, y, 0.4), 0.05, SECOND),
                rod((0.7 * deep, y, 0), (0.7 * deep, y, 0.4), 0.04),
            ]
    return parts


def guitar(u: Draw) -> list[Part]:
    """A body of two bouts with a sound hole and a bridge, a neck, and a head with pegs."""
    lower, upper, neck, thick = u(0.34, 0.44), u(0.26, 0.33), u(0.75, 1.0), u(0.08, 0.13)
    waist = lower + 0.75 * upper
    head = waist + upper + neck
    front = -thick
    parts = [
        tube((0, -thick, 0), (0, thick, 0), lower),
        tube((0, -thick, waist), (0, thick, waist), upper),
        tube((0, front - 0.015, 0.7 * waist), (0, front, 0.7 * waist), 0.14, ACCENT),
        box((0, front - 0.03, -0.4 * lower), (0.16, 0.03, 0.04), ACCENT),
        box((0, front, waist + (upper + neck) / 2), (0.055, 0.04, (upper + neck) / 2 + 0.05), SECOND),
        box((0, front + 0.02, head + 0.1), (u(0.09, 0.13), 0.03, 0.15), SECOND, (0.2, 0, 0)),
    ]
    for k in range(u.count(2, 3)):
        parts += [ball((x, front + 0.02, head + 0.02 + 0.1 * k), 0.04, ACCENT) for x in (-0.15, 0.15)]
    if u.count(0, 1):
        parts.append(egg((0.55 * lower, front - 0.01, 0.25 * waist), (0.12, 0.012, 0.2), SECOND, (0, 0.5, 0)))
    return parts


def hammer(u: Draw) -> list[Part]:
    """A handle with a grip; a head with a face on one side and a claw or a wedge on the other."""
    length, thick, head, heavy = u(1.3, 1.8), u(0.06, 0.09), u(0.3, 0.42), u(0.11, 0.17)
    parts = [
        rod((0, 0, 0), (0, 0, length), thick),
        rod((0, 0, 0), (0, 0, 0.4 * length), 1.35 * thick, SECOND),
        tube((-0.1, 0, length), (head, 0, length), heavy, ACCENT),
        tube((head, 0, length), (head + 0.1, 0, length), 1.25 * heavy, ACCENT),
    ]
    if u.count(0, 1):
        for y in (-0.6 * heavy, 0.6 * heavy):
            knee = (-0.32, y, length + 0.02)
            parts += [
                rod((-0.1, y, length), knee, 0.055, ACCENT),
                rod(knee, (-0.5, 1.3 * y, length - 0.16), 0.04, ACCENT),
            ]
    else:
        parts.append(box((-0.25, 0, length), (0.2, heavy, 0.09), ACCENT, (0, 0.1, 0)))
        parts.append(box((-0.45, 0, length), (0.1, heavy, 0.04), ACCENT))
    return parts


def house(u: Draw) -> list[Part]:
    """Walls, a gable roof with a chimney on one side, a door and windows in front, perhaps a garage beside it."""
    wide, deep, high, pitch = u(0.5, 0.75), u(0.4, 0.5), u(0.3, 0.5), u(0.5, 0.9)
    slope = 1.15 * deep / math.cos(pitch) / 2
    ridge = high + deep * math.tan(pitch)
    parts = [box((0, 0, 0), (wide, deep, high))]
    for side in (-1, 1):
        y, z = side * slope * math.cos(pitch), ridge - slope * math.sin(pitch)
        parts.append(box((0, y, z), (1.1 * wide, slope, 0.05), SECOND, (-side * pitch, 0, 0)))
    parts += [
        box((0, 0, high + f * (ridge - high)), (0.97 * wide, (0.95 - f) * deep, 0.12 * (ridge - high)))
        for f in (0.1, 0.3, 0.5, 0.7)
    ]
    parts.append(box((u(0.4, 0.6) * wide, 0.35 * deep, ridge), (0.09, 0.09, u(0.2, 0.3)), ACCENT))
    door = u(-0.6, 0.0) * wide
    parts.append(box((door, -deep, -0.35 * high), (0.12, 0.03, 0.62 * high), ACCENT))
    parts += [box((door + 0.32 + 0.3 * k, -deep, 0.15 * high), (0.1, 0.03, 0.12), ACCENT) for k in range(u.count(1, 2))]
    if u.count(0, 1):
        parts.append(box((-wide - 0.22, 0.1, -0.4 * high), (0.24, 0.75 * deep, 0.6 * high), SECOND))
    return parts


def key(u: Draw) -> list[Part]:
    """A ring with a plate in front, a shaft with a collar, and two to four teeth of unlike length on one side."""
    radius, thick, length = u(0.28, 0.4), u(0.06, 0.09), u(1.1, 1.5)
    start, end = radius, radius + length
    parts = [
        *ring((0, 0, 0), radius, thick),
        tube((0, -0.7 * thick, 0), (0, 0, 0), 0.9 * radius, SECOND),
        rod((start, 0, 0), (end, 0, 0), u(0.055, 0.075), SECOND),
        tube((start + 0.1, 0, 0), (start + 0.2, 0, 0), 0.13, ACCENT),
    ]
    for k in range(u.count(2, 4)):
        tooth = u(0.13, 0.22)
        parts.append(box((end - 0.04 - 0.16 * k, 0, -tooth), (0.05, 0.045, tooth), ACCENT))
    return [*parts, box((-radius - 0.02, 0, 0), (0.1, 0.1, 0.1), SECOND)]


def lamp(u: Draw) -> list[Part]:
    """A desk lamp: a base with a switch, two arms, and a flared shade with a bulb."""
    base, low, high = u(0.3, 0.42), u(0.6, 0.85), u(0.5, 0.75)
    elbow = (-u(0.1, 0.4), 0.0, low)
    tip = (elbow[0] + high * math.cos(0.5), 0.0, low + high * math.sin(0.5))
    tilt, flare, depth = u(0.3, 1.0), u(0.28, 0.38), u(0.3, 0.42)
    parts = [
        tube((0, 0, 0), (0, 0, 0.09), base, SECOND),
        ball((0.6 * base, 0, 0.1), 0.06, ACCENT),
        rod((0, 0, 0.05), elbow, 0.045, ACCENT),
        rod(elbow, tip, 0.045, ACCENT),
        ball(elbow, 0.085, SECOND),
    ]
    x, z, steps = math.sin(tilt), -math.cos(tilt), 4
    for k in range(steps):
        near, far = depth * k / steps, depth * (k + 1) / steps
        radius = 0.12 + (flare - 0.12) * (k + 0.5) / steps
        parts.append(tube((tip[0] + near * x, 0, tip[2] + near * z), (tip[0] + far * x, 0, tip[2] + far * z), radius))
    return [*parts, ball((tip[0] + depth * x, 0, tip[2] + depth * z), 0.6 * flare, ACCENT)]


def mug(u: Draw) -> list[Part]:
    """A cup with a dark or light inside, a handle, and bands nearer to the foot than to the rim."""
    radius, half, handle, thick = u(0.38, 0.5), u(0.4, 0.62), u(0.2, 0.32), u(0.05, 0.08)
    parts = [
        tube((0, 0, -half), (0, 0, half), radius),
        tube((0, 0, half), (0, 0, half + 0.02), 0.85 * radius, ACCENT),
        *arc((radius, 0, u(-0.05, 0.1)), handle, thick, MAIN, ends=(-1.7, 1.7), num=7),
    ]
    for k in range(u.count(1, 2)):
        z = (-0.7 + 0.4 * k) * half
        parts.append(tube((0, 0, z), (0, 0, z + u(0.1, 0.22) * half), 1.02 * radius, SECOND))
    return [*parts, tube((0, 0, -half - 0.04), (0, 0, -half), 0.8 * radius, SECOND)]


def table(u: Draw) -> list[Part]:
    """A top with an inlay, on legs; the inlay and a drawer with knobs are at one end."""
    wide, deep, leg, thick = u(0.8, 1.0), u(0.42, 0.6), u(0.6, 0.85), u(0.04, 0.075)
    drawer, low = u(0.16, 0.26), u(0.1, 0.3)
    parts = [box((0, 0, 0), (wide, deep, 0.05)), box((0.4 * wide, 0, 0.055), (0.5 * wide, 0.8 * deep, 0.012), SECOND)]
    for x in (-wide + thick, wide - thick):
        parts += [box((x, y, -leg / 2), (thick, thick, leg / 2), ACCENT) for y in (-deep + thick, deep - thick)]
    parts.append(box((0.6 * wide, 0, -0.05 - low), (drawer, 0.85 * deep, low), SECOND))
    for k in range(u.count(1, 2)):
        parts.append(ball((0.6 * wide, -0.87 * deep, -0.05 - low * (0.6 + 0.8 * k)), 0.05, ACCENT))
    if u.count(0, 1):
        parts.append(rod((-wide, 0, -0.7 * leg), (wide, 0, -0.7 * leg), 0.5 * thick, ACCENT))
    return parts


def teapot(u: Draw) -> list[Part]:
    """A belly with a lid and its knob, a spout on one side and a handle on the other."""
    radius, tall, spout = u(0.48, 0.58), u(0.36, 0.5), u(0.25, 0.45)
    knee, lip = (radius + 0.15, 0.0, 0.0), (radius + 0.15 + 0.6 * spout, 0.0, 0.6 * tall + 0.3 * spout)
    return [
        egg((0, 0, 0), (radius, radius, tall)),
        tube((0, 0, -tall), (0, 0, -tall + 0.12), 0.6 * radius, ACCENT),
        egg((0, 0, 0.82 * tall), (0.55 * radius, 0.55 * radius, 0.14), SECOND),
        ball((0, 0, tall + u(0.06, 0.12)), u(0.07, 0.1), ACCENT),
        rod((0.8 * radius, 0, -0.3 * tall), knee, u(0.1, 0.13)),
        rod(knee, lip, u(0.06, 0.09)),
        *arc((-0.85 * radius, 0, 0.05), u(0.26, 0.36), u(0.05, 0.07), SECOND, ends=(1.3, 5.0), num=8),
    ]
