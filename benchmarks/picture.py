"""``make picture``: F1 against speed, as a picture of the README's table, in English and in Chinese.

The table is what ``make bench`` and ``make bench-fidelity`` measured. A contender without an F1 stands at the
foot, at its speed; the teacher agrees with itself, and stands at 1.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parents[1]
WIDTH, HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 44, 34, 52
_SLOWEST, _FASTEST = 10, 1_000_000
_LOWEST, _STEP = 0.75, 0.05
_SIZE = 13  # of letters
_GAP = 9  # between a point and its name

_STYLE = """\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans CJK SC', sans-serif; fill: #1f2328; }
.name { paint-order: stroke; stroke: #ffffff; stroke-width: 4; }
.small { fill: #59636e; } .grid { stroke: #d1d9e0; stroke-width: 1; } .own { font-weight: 600; }
.point { fill: #59636e; } .foot { fill: none; stroke: #59636e; stroke-width: 2; }
.student { fill: #0969da; } .range { stroke: #0969da; stroke-width: 4; stroke-linecap: round; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .name { stroke: #0d1117; } .small { fill: #9198a1; } .grid { stroke: #3d444d; }
  .point { fill: #9198a1; } .foot { stroke: #9198a1; } .student { fill: #4493f8; } .range { stroke: #4493f8; }
}
"""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A picture's words in one language."""

    page: str
    """Whose table is drawn."""
    picture: str
    title: str
    speed: str
    foot: str


PICTURES: Final = (
    Words(
        page="README.md",
        picture="docs/f1-speed.svg",
        title="F1 against the teacher",
        speed="texts per second of one CPU core (logarithmic)",
        foot="F1 not measured",
    ),
    Words(
        page="README.zh-CN.md",
        picture="docs/zh/f1-speed.svg",
        title="相对教师的 F1",
        speed="单个 CPU 核每秒处理条数（对数刻度）",
        foot="F1 未测",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A row of the table."""

    name: str
    f1: float | None
    """1 of the teacher; None: it was not measured."""
    speeds: tuple[float, ...]
    """Texts per second: one, or slowest and fastest."""
    own: bool
    """Whether it is Pingti's."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of the picture that holds something."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: "Box") -> bool:
        """Whether all of it is in the other."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


def contenders(page: str) -> list[Contender]:
    """The rows of the first table of a README.

    Args:
        page: its text.
    """
    table = re.search(r"^\|.*\|\n\|[-: |]+\|\n((?:\|.*\|\n)+)", page, re.MULTILINE)
    if table is None:
        raise ValueError("there is no table")
    return [
        _contender([cell.strip() for cell in line.strip().strip("|").split("|")])
        for line in table[1].splitlines()
    ]


def _contender(cells: Sequence[str]) -> Contender:
    name, f1, speed = (cell.strip("* ") for cell in cells)
    if re.fullmatch(r"0?\.\d+", f1):
        score: float | None = float(f1)
    else:  # "(the teacher)"
        score = 1.0 if f1.startswith(("(", "（")) else None
    rates = tuple(float(rate.replace(",", "")) for rate in re.findall(r"\d[\d,]*", speed))
    return Contender(name=name, f1=score, speeds=rates, own=cells[0].startswith("*"))


def drawn(rows: Sequence[Contender], words: Words) -> str:
    """The picture as SVG, light or dark as its reader's system is."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(words.title)}: "
        f"{escape('; '.join(f'{row.name} {row.f1 or words.foot}' for row in rows))}</title>",
        f"<style>{_STYLE}</style>",
        *_axes(words),
        *(mark for row in rows for mark in _marks(row)),
        *(_name(row, box) for row, box in names(rows)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _name(row: Contender, box: Box) -> str:
    """A name in its place; at the end that its point is at, whatever the reader's letters measure."""
    point = _point_box(row)
    anchor, x = "middle", (box.left + box.right) / 2
    if box.left >= point.right:
        anchor, x = "start", box.left
    elif box.right <= point.left:
        anchor, x = "end", box.right
    kind = "name own" if row.own else "name"
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{box.bottom - 4:.1f}" text-anchor="{anchor}">'
        f"{escape(row.name)}</text>"
    )


def names(rows: Sequence[Contender]) -> list[tuple[Contender, Box]]:
    """Where each name stands: beside its point, over no other name and no point.

    Args:
        rows: what is drawn; Pingti's own come first.
    """
    taken = [_point_box(row) for row in rows]
    placed = []
    for row in sorted(rows, key=lambda row: not row.own):
        boxes = list(_beside(row))
        box = next(
            (box for box in boxes if box.within(_FRAME) and not any(map(box.overlaps, taken))), boxes[0]
        )
        taken.append(box)
        placed.append((row, box))
    return placed


_FRAME = Box(left=_LEFT, top=4, right=WIDTH - 4, bottom=HEIGHT - _BOTTOM)


def _beside(row: Contender) -> Iterator[Box]:
    """Places for a name: right of its point, left, above, below."""
    point, width = _point_box(row), letters_width(row.name)
    middle = (point.top + point.bottom) / 2
    high = (middle - _SIZE / 2 - 2, middle + _SIZE / 2 + 2)
    center = min(max((point.left + point.right - width) / 2, _FRAME.left), _FRAME.right - width)
    yield Box(left=point.right + 4, right=point.right + 4 + width, top=high[0], bottom=high[1])
    yield Box(left=point.left - 4 - width, right=point.left - 4, top=high[0], bottom=high[1])
    for lift in (1, 2):
        low = point.top - _GAP / 3 - (lift - 1) * (_SIZE + 4)
        yield Box(left=center, right=center + width, top=low - _SIZE - 4, bottom=low)
    top = point.bottom + _GAP / 3
    yield Box(left=center, right=center + width, top=top, bottom=top + _SIZE + 4)


def letters_width(text: str) -> float:
    """About how wide a text is; a character of East Asia is as wide as high."""
    return sum(_SIZE if unicodedata.east_asian_width(letter) in "WF" else 0.6 * _SIZE for letter in text)


def _point_box(row: Contender) -> Box:
    y = _y(row.f1)
    return Box(left=_x(min(row.speeds)) - 7, right=_x(max(row.speeds)) + 7, top=y - 7, bottom=y + 7)


def _marks(row: Contender) -> Iterator[str]:
    y = _y(row.f1)
    if len(row.speeds) > 1:
        ends = sorted(map(_x, row.speeds))
        yield f'<line class="range" x1="{ends[0]:.1f}" y1="{y:.1f}" x2="{ends[-1]:.1f}" y2="{y:.1f}"/>'
    kind = "student" if row.own else "foot" if row.f1 is None else "point"
    for speed in row.speeds:
        yield f'<circle class="{kind}" cx="{_x(speed):.1f}" cy="{y:.1f}" r="{6 if row.own else 5}"/>'


def _axes(words: Words) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    yield f'<text x="{_LEFT - 50}" y="18">{escape(words.title)}</text>'
    yield _small(right, HEIGHT - 10, words.speed, "end")
    yield _small(_LEFT - 50, HEIGHT - 10, f"○ {words.foot}", "start")
    for step in range(round((1 - _LOWEST) / _STEP) + 1):
        value = _LOWEST + step * _STEP
        y = _y(value)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield _small(_LEFT - 8, y + 4, f"{value:.2f}", "end")
    for power in range(round(math.log10(_SLOWEST)), round(math.log10(_FASTEST)) + 1):
        x = _x(10.0**power)
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _small(x, bottom + 18, f"{10**power:,}", "middle")


def _small(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _x(speed: float) -> float:
    share = math.log(speed / _SLOWEST) / math.log(_FASTEST / _SLOWEST)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(f1: float | None) -> float:
    share = 0.0 if f1 is None else (f1 - _LOWEST) / (1 - _LOWEST)
    return HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP)


def main() -> None:
    for words in PICTURES:
        page = (ROOT / words.page).read_text(encoding="utf-8")
        (ROOT / words.picture).write_text(drawn(contenders(page), words), encoding="utf-8")


if __name__ == "__main__":
    main()
