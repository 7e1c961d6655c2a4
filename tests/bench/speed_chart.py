#!/usr/bin/env python3
"""The figures of speed.py as a chart. By itself it puts several runs into one:

    python tests/bench/speed_chart.py a.json b.json --svg docs/speed.svg

One panel a shape and size, one bar a contestant: milliseconds of an iteration and the ratio to ours. Where an iteration
was profiled, our bar shows what it consists of: the shares of the profiled run, of the time that was measured without.
"""
import argparse
import json
from html import escape
from pathlib import Path

from speed_parts import PARTS
from speed_report import COMPILED, EAGER, MALLOC, NEIGHBOUR, OURS, PRODUCTS, ratio
from speed_shapes import SHAPES

LABELS = {OURS: OURS, EAGER: "auto-round, eager", MALLOC: "eager, malloc tuned", COMPILED: "auto-round, compiled",
          NEIGHBOUR: "one core busy", PRODUCTS: "products alone"}
WIDTH, LEFT, RIGHT, ROW, BAR = 720, 150, 130, 22, 15  # of the picture, of labels, of figures; of a line and of its bar
# Of middling lightness, so that they stand out from white and from black.
COLORS = dict(zip(PARTS, ("#2f6fdb", "#5b93f0", "#5b93f0", "#8a63d2", "#d9822b", "#c2a000", "#3f9d4f", "#c4487f",
                          "#2a9d9d", "#7d6b5d", "#8b8f97", "#b9bec7")))
OTHERS = {OURS: "#2f6fdb", PRODUCTS: "#b9bec7"}  # a bar that is not divided; peers are grey
STYLE = """text{font:12px system-ui,sans-serif;fill:#1f2328}
.title{font-weight:600;font-size:13px}
.note{fill:#59636e;font-size:11px}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}}"""


def chart(results: list[dict]) -> str:
    pieces, y = [], 8
    for result in results:
        if result["median"]:
            drawn, y = panel(result, y)
            pieces += drawn
    shown = [name for name in PARTS if any(name in result.get("parts", {}) for result in results)]
    drawn, y = legend(shown, y)
    pieces += drawn
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            f'role="img" aria-label="Time of a tuning iteration">')
    return "\n".join([head, f"<style>{STYLE}</style>", *pieces, "</svg>"]) + "\n"


def panel(result: dict, y: int) -> tuple[list[str], int]:
    batch, length = result["size"].split("x")
    heading = f"{SHAPES[result['shape']].title}, {batch} × {length} tokens, {result['scheme']}"
    threads = f", {result['threads']} threads" if result["threads"] else ""
    peer = f"; auto-round {result['version']}" if result["version"] else ""
    conditions = f"{result['machine']}{threads}{peer}; milliseconds an iteration"
    pieces = [text(0, y + 12, heading, "title"), text(0, y + 28, conditions, "note")]
    y += 36
    longest = max(median["seconds"] for median in result["median"].values())
    for name, median in result["median"].items():
        length = (WIDTH - LEFT - RIGHT) * median["seconds"] / longest
        pieces.append(text(LEFT - 8, y + 12, LABELS[name], anchor="end"))
        if name == OURS and "parts" in result:
            pieces += segments(y, length, median["seconds"], result["parts"])
        else:
            pieces.append(bar(LEFT, y, length, OTHERS.get(name, "#8b8f97")))
        milliseconds = 1e3 * median["seconds"]
        figure = f"{milliseconds:.{0 if milliseconds >= 1000 else 1}f} ms"
        if name != OURS and OURS in result["median"]:
            figure += f", {ratio(result, name):.2f} ×"
        pieces.append(text(LEFT + length + 6, y + 12, figure))
        y += ROW
    return pieces, y + 14


def segments(y: int, length: float, seconds: float, parts: dict[str, float]) -> list[str]:
    pieces, x, whole = [], LEFT, sum(parts.values())
    for name, part in parts.items():
        share = part / whole
        note = f"{name}: {1e3 * seconds * share:.3g} ms, {100 * share:.1f} %"
        pieces.append(bar(x, y, length * share, COLORS[name], note))
        x += length * share
    return pieces


def legend(names: list[str], y: int) -> tuple[list[str], int]:
    """In lines as wide as the picture."""
    pieces, x = [], 0
    for name in names:
        width = 30 + 6.4 * len(name)
        if x + width > WIDTH:
            x, y = 0, y + 18
        pieces.append(f'<rect x="{x:.1f}" y="{y + 2}" width="11" height="11" rx="2" fill="{COLORS[name]}"/>')
        pieces.append(text(x + 16, y + 12, name, "note"))
        x += width
    return pieces, y + 22


def bar(x: float, y: float, length: float, color: str, note: str = "") -> str:
    title = f"<title>{escape(note)}</title>" if note else ""
    return f'<rect x="{x:.1f}" y="{y}" width="{max(length, 0.2):.1f}" height="{BAR}" fill="{color}">{title}</rect>'


def text(x: float, y: float, words: str, style: str = "", anchor: str = "") -> str:
    attributes = (f' class="{style}"' if style else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y}"{attributes}>{escape(words)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, nargs="+", help="what speed.py --json wrote")
    parser.add_argument("--svg", type=Path, required=True)
    arguments = parser.parse_args()
    results = [result for path in arguments.json for result in json.loads(path.read_text(encoding="utf-8"))]
    arguments.svg.write_text(chart(results), encoding="utf-8")


if __name__ == "__main__":
    main()
