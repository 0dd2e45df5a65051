//! What differs between two texts, line by line.

use std::time::Duration;

use similar::TextDiff;

use super::printable;

/// Lines around a change.
const CONTEXT: usize = 3;
/// How long the shortest difference is looked for before a longer one is taken.
const EFFORT: Duration = Duration::from_secs(2);

/// A text and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Such as `version 1`, or a file.
    pub name: &'a str,
    /// All of it.
    pub content: &'a str,
}

/// The lines that differ, in the unified format of diff (POSIX XCU diff -U), what a terminal would obey escaped: a
/// difference of line ends or direction marks is seen.
#[must_use]
pub fn unified(old: Text<'_>, new: Text<'_>) -> String {
    // Parted at line feeds alone, so that a lone carriage return is part of a line, as for every other program.
    let (before, after): (Vec<&str>, Vec<&str>) = (
        old.content.split_inclusive('\n').collect(),
        new.content.split_inclusive('\n').collect(),
    );
    let diff = TextDiff::configure()
        .timeout(EFFORT)
        .diff_slices(&before, &after);
    let mut out = format!("--- {}\n+++ {}\n", printable(old.name), printable(new.name));
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        out += &format!("{}\n", hunk.header());
        for change in hunk.iter_changes() {
            let line = change.value();
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, ""),
                None => (line, "\n\\ No newline at end of file"),
            };
            out += &format!("{}{}{end}\n", change.tag(), printable(line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(name: &'a str, content: &'a str) -> Text<'a> {
        Text { name, content }
    }

    #[test]
    fn the_difference_is_unified_with_three_lines_around() {
        let lines: Vec<String> = (1..=9).map(|n| format!("line {n}\n")).collect();
        let old = lines.concat();
        let new = old.replace("line 5\n", "line five\nand more\n");
        assert_eq!(
            unified(text("version 1", &old), text("next.toml", &new)),
            "--- version 1\n+++ next.toml\n@@ -2,7 +2,8 @@\n line 2\n line 3\n line 4\n-line 5\n\
             +line five\n+and more\n line 6\n line 7\n line 8\n"
        );
    }

    #[test]
    fn line_ends_and_hidden_characters_are_seen() {
        assert_eq!(
            unified(text("a", "x\ny\n"), text("b", "x\r\ny\u{202e}")),
            "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-x\n-y\n+x\\r\n+y\\u{202e}\n\\ No newline at end of file\n"
        );
        assert_eq!(
            unified(text("a", "x\ry\n"), text("b", "x\ry")),
            "--- a\n+++ b\n@@ -1 +1 @@\n-x\\ry\n+x\\ry\n\\ No newline at end of file\n"
        );
    }
}
