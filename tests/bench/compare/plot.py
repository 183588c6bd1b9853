"""Draws the comparison's figures as bars in an SVG, by hand: no plotting library is needed."""
import statistics
from html import escape

COLOURS = {"tensord": "#0b6e99", "bare sockets": "#8a8f98", "ZeroMQ, raw binary": "#d9822b", "ZeroMQ": "#d9822b",
           "gRPC stream": "#7d5ba6", "gRPC unary": "#b79ad6", "naive Python": "#5b8c5a", "redis-server SET": "#b8322c"}
WIDTH = 760
BAR, GAP = 18, 5
LABEL = 190  # where the bars begin
VALUE = 90  # room for the figure behind the longest bar


class Canvas:
    def __init__(self):
        self.parts, self.y = [], 10

    def text(self, x, y, text, size=12, anchor="start", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
                          f'font-weight="{weight}">{escape(text)}</text>')

    def heading(self, text):
        self.y += 26
        self.text(16, self.y, text, 14, weight="bold")
        self.y += 12

    def bar(self, label, value, most, text):
        length = (WIDTH - LABEL - VALUE) * value / most
        self.text(LABEL - 8, self.y + BAR - 5, label, anchor="end")
        self.parts.append(f'<rect x="{LABEL}" y="{self.y}" width="{length:.1f}" height="{BAR}" '
                          f'fill="{COLOURS.get(label, "#444")}"/>')
        self.text(LABEL + length + 6, self.y + BAR - 5, text)
        self.y += BAR + GAP

    def finish(self):
        height = self.y + 16
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" fill="#222">\n'
                f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def panel(canvas, figures, kind, size, heading, show):
    bars = [(peer, statistics.median(values)) for (of, peer, at), values in figures.items() if of == kind and at == size]
    if not bars:
        return
    canvas.heading(heading)
    most = max(value for _, value in bars)
    for peer, value in bars:
        canvas.bar(peer, value, most, show(value))


def svg(figures):
    """figures: (kind, peer, bytes) -> values, as Comparison collects them."""
    canvas = Canvas()
    for size in sorted({at for (kind, _, at) in figures if kind == "goodput"}):
        panel(canvas, figures, "goodput", size, f"Goodput, float32 tensors of {size >> 20} MiB, one connection "
              "(longer is better)", lambda value: f"{value:.2f} GB/s")
    for kind, name in (("p50_us", "median"), ("p99_us", "99th percentile")):
        panel(canvas, figures, kind, 64, f"Round trip of a 64-byte tensor, {name} (shorter is better)",
              lambda value: f"{value:.1f} µs")
    panel(canvas, figures, "rate", 64, "64-byte messages a second, pipeline of 64, one connection (longer is better)",
          lambda value: f"{value / 1e6:.2f} M/s")
    return canvas.finish()
