//! Tables that fit: columns as wide as their contents, and ids shortened in their middle when the terminal is too narrow.

use std::fmt::Write as _;

/// What a column that may be shortened keeps at least, if the terminal leaves any choice.
const ENOUGH: usize = 9;

/// Rows under headings. Its contents are ids, names of states, numbers and times, so ASCII; whatever else comes is shown
/// as escapes, and every character takes one column.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column's heading, and what may become of its cells.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Shortened when nothing else helps.
    Whole,
    /// Shortened first.
    Long,
    /// As `Whole`, its cells to the right.
    Number,
}

impl Column {
    /// One that is shortened only when nothing else helps.
    #[must_use]
    pub fn whole(heading: &'static str) -> Self {
        Self {
            heading,
            kind: Kind::Whole,
        }
    }

    /// One of long ids, which are shortened first.
    #[must_use]
    pub fn long(heading: &'static str) -> Self {
        Self {
            heading,
            kind: Kind::Long,
        }
    }

    /// One of numbers.
    #[must_use]
    pub fn number(heading: &'static str) -> Self {
        Self {
            heading,
            kind: Kind::Number,
        }
    }
}

impl Table {
    /// Without rows yet.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: a cell for each column.
    #[must_use]
    pub fn row<C: Into<String>>(mut self, cells: impl IntoIterator<Item = C>) -> Self {
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| escaped(&cell.into()))
            .collect();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
        self
    }

    /// Its lines, none longer than `width` where two blanks and a character for each column have room.
    pub(super) fn render(&self, width: usize) -> String {
        let widths = self.widths(width);
        let headings = self.columns.iter().map(|column| column.heading);
        let mut out = self.line(headings, &widths);
        for row in &self.rows {
            out += &self.line(row.iter().map(String::as_str), &widths);
        }
        out
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, column), &width) in cells.zip(&self.columns).zip(widths) {
            let cell = shortened(cell, width);
            // Writing to a String cannot fail.
            let _ = match column.kind {
                Kind::Number => write!(line, "{cell:>width$}  "),
                Kind::Whole | Kind::Long => write!(line, "{cell:width$}  "),
            };
        }
        format!("{}\n", line.trim_end())
    }

    /// The width of each column: first long ids give way, then everything.
    fn widths(&self, width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.heading.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let gaps = 2 * self.columns.len().saturating_sub(1);
        let room = width.saturating_sub(gaps);
        let long = |column: &Column| column.kind == Kind::Long;
        self.narrow(&mut widths, room, ENOUGH, long);
        self.narrow(&mut widths, room, 1, |_| true);
        widths
    }

    /// Takes from the widest of `these` columns, down to `least`, until all fit into `room`.
    fn narrow(
        &self,
        widths: &mut [usize],
        room: usize,
        least: usize,
        these: impl Fn(&Column) -> bool,
    ) {
        let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
        while excess > 0 {
            let candidates = widths.iter_mut().zip(&self.columns);
            let candidates = candidates.filter(|(width, column)| **width > least && these(column));
            let Some((widest, _)) = candidates.max_by_key(|(width, _)| **width) else {
                return;
            };
            *widest -= 1;
            excess -= 1;
        }
    }
}

fn escaped(cell: &str) -> String {
    cell.chars().fold(String::new(), |mut out, c| {
        if c == ' ' || c.is_ascii_graphic() {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
        out
    })
}

/// `text` with an ellipsis in its middle if it has more than `width` characters.
fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept / 2;
    let head = text.chars().take(kept - tail);
    let tail = text.chars().skip(length - tail);
    head.chain(['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Table {
        Table::new([
            Column::whole("DEVICE"),
            Column::whole("STATUS"),
            Column::long("SUBSCRIBER"),
            Column::number("USES"),
        ])
        .row([
            "0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b",
            "ACTIVE",
            "7d8e9f00-1122-4334-8556-677889900aab",
            "7",
        ])
        .row(["0198c1a0", "REVOKED", "x", "12345"])
    }

    fn widest(shown: &str) -> usize {
        let lines = shown.lines().map(|line| line.chars().count());
        lines.max().unwrap_or_default()
    }

    #[test]
    fn columns_are_as_wide_as_their_contents() {
        assert_eq!(
            devices().render(120),
            "DEVICE                                STATUS   SUBSCRIBER                             USES\n\
             0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b  ACTIVE   7d8e9f00-1122-4334-8556-677889900aab      7\n\
             0198c1a0                              REVOKED  x                                     12345\n"
        );
    }

    #[test]
    fn long_ids_are_shortened_in_their_middle_and_only_they() {
        let shown = devices().render(80);
        let subscriber = "7d8e9f00-1122…677889900aab";
        assert!(
            shown.contains(&format!("5a6b  ACTIVE   {subscriber}      7\n")),
            "{shown}"
        );
        assert!(shown.contains("  REVOKED  x "), "{shown}");
        assert_eq!(widest(&shown), 80);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 20..100 {
            let shown = devices().render(width);
            assert!(widest(&shown) <= width, "{width}:\n{shown}");
            assert_eq!(shown.lines().count(), 3);
            if width >= 63 {
                assert!(shown.contains("0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b  ACTIVE"));
            }
        }
    }

    #[test]
    fn whatever_a_cell_holds_it_stays_one_line_of_known_width() {
        let table = Table::new([Column::whole("A"), Column::long("B")]);
        let table = table.row(["\u{1b}[2J\n", "\u{202e}点\u{200b}e\u{301}"]);
        let shown = table.render(200);
        assert_eq!(
            shown,
            "A            B\n\\u{1b}[2J\\n  \\u{202e}\\u{70b9}\\u{200b}e\\u{301}\n"
        );
        assert!(widest(&table.render(20)) <= 20);
    }

    #[test]
    fn a_shortened_text_keeps_its_ends() {
        assert_eq!(shortened("abcdefghij", 10), "abcdefghij");
        assert_eq!(shortened("abcdefghij", 9), "abcd…ghij");
        assert_eq!(shortened("abcdefghij", 4), "ab…j");
        assert_eq!(shortened("abcdefghij", 1), "…");
        assert_eq!(shortened("äöü", 2), "ä…");
    }
}
