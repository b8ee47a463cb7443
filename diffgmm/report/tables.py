"""A table of text, for a terminal and for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

GAP = "  "

# Lines shown at most; the numbers behind a table have all of them.
MOST_ROWS = 60


@dataclass(frozen=True)
class TextTable:
    """Rows of text under a header. The first column goes to the left, the others to the right.

    left : numbers of further columns that go to the left.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: tuple[int, ...] = ()

    @property
    def _shown(self) -> list[Sequence[str]]:
        return list(self.rows[:MOST_ROWS])

    @property
    def _caption(self) -> str:
        hidden = len(self.rows) - MOST_ROWS
        return f"{hidden} more rows are in `.table`." if hidden > 0 else ""

    def text(self) -> str:
        """Return lines for a terminal."""
        lines = [self.header, *self._shown]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        out = [self.title]
        for line in lines:
            cells = (
                cell.ljust(width) if i == 0 or i in self.left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths))
            )
            out.append(GAP.join(cells).rstrip())
        return "\n".join([*out, self._caption]).rstrip()

    def html(self) -> str:
        """Return a table element, its text escaped."""

        def line(cells: Sequence[str], tag: str) -> str:
            sides = ("left" if i == 0 or i in self.left else "right" for i in range(len(cells)))
            inner = "".join(
                f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides)
            )
            return f"<tr>{inner}</tr>"

        body = "".join(line(row, "td") for row in self._shown)
        caption = f"<p>{escape(self._caption)}</p>" if self._caption else ""
        return (
            f"<table><caption>{escape(self.title)}</caption><thead>{line(self.header, 'th')}</thead>"
            f"<tbody>{body}</tbody></table>{caption}"
        )
