//! Text for people that no terminal obeys, aligned; times and spans in words.

use std::{fmt::Write as _, time::Duration};

/// A line: a word or two, then what it is.
#[derive(Clone, Debug)]
pub(super) struct Row {
    label: &'static str,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// One line however long, so that what is in it can be copied.
    Line(String),
    /// Broken between words.
    Words(Vec<String>),
}

impl Row {
    pub(super) fn line(label: &'static str, text: String) -> Self {
        Self {
            label,
            content: Content::Line(text),
        }
    }

    pub(super) fn words(label: &'static str, words: &[String]) -> Self {
        Self {
            label,
            content: Content::Words(words.to_vec()),
        }
    }
}

/// Labels in one column, contents in the next; lists of words broken to fit `columns`.
pub(super) fn lines(rows: &[Row], columns: usize) -> String {
    let width = rows.iter().map(|row| row.label.len()).max();
    let room = columns.saturating_sub(width.unwrap_or_default() + 2);
    let mut all = Vec::new();
    for row in rows {
        match &row.content {
            Content::Line(text) => all.push((row.label, text.clone())),
            Content::Words(words) => {
                let labels = std::iter::once(row.label).chain(std::iter::repeat(""));
                all.extend(labels.zip(broken(words, room)));
            }
        }
    }
    aligned(&all)
}

/// The words with commas between them, in lines of at most `room` characters; a longer word has its own line.
fn broken(words: &[String], room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (word, left) in words.iter().zip((0..words.len()).rev()) {
        let word = format!("{}{}", printable(word), if left == 0 { "" } else { "," });
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) if line.chars().count() + 1 + length <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Labels in one column, texts in the next. What a terminal would obey is shown as escapes.
#[must_use]
pub fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or_default();
    rows.iter().fold(String::new(), |mut out, (label, text)| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:width$}  {}", printable(label), printable(text));
        out
    })
}

/// `text` with the characters escaped that a terminal would obey: controls, and those that part lines or turn the
/// direction of text (Unicode's Bidi_Control).
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if c.is_control() || turns_or_parts(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
            out
        })
}

const fn turns_or_parts(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Unix seconds as a date and time of day, UTC (RFC 3339).
#[must_use]
pub fn utc(seconds: i64) -> String {
    u64::try_from(seconds)
        .ok()
        .and_then(|seconds| der::DateTime::from_unix_duration(Duration::from_secs(seconds)).ok())
        .map_or_else(
            || format!("{seconds} s since 1970"),
            |time| time.to_string(),
        )
}

/// Unix seconds as a date, UTC.
#[must_use]
pub fn date(seconds: i64) -> String {
    let time = utc(seconds);
    match time.split_once('T') {
        Some((date, _)) => date.to_owned(),
        None => time,
    }
}

/// A span of time in its largest unit, rounded down; nothing for one that has not begun.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds {
        86_400.. => format!("{} d", seconds / 86_400),
        3_600.. => format!("{} h", seconds / 3_600),
        60.. => format!("{} min", seconds / 60),
        0.. => format!("{seconds} s"),
        _ => String::new(),
    }
}

/// Octets as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_790_000_000), "2026-09-21T14:13:20Z");
        assert_eq!(utc(-5), "-5 s since 1970");
        assert_eq!(date(1_790_000_000), "2026-09-21");
        assert_eq!(date(-5), "-5 s since 1970");
    }

    #[test]
    fn a_span_is_told_in_its_largest_unit() {
        let spans = [-1, 0, 59, 60, 3_599, 3_600, 86_399, 86_400, 34_560_000].map(span);
        let told = [
            "", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "400 d",
        ];
        assert_eq!(spans, told);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let hostile = "a\u{1b}[31m\u{9b}b\u{202e}c\u{2066}d\u{2028}e";
        let shown = printable(hostile);
        assert_eq!(shown, "a\\u{1b}[31m\\u{9b}b\\u{202e}c\\u{2066}d\\u{2028}e");
        assert_eq!(printable("Café 点"), "Café 点");
        assert_eq!(aligned(&[("\u{7}x", String::new())]), "\\u{7}x  \n");
    }

    #[test]
    fn words_are_broken_between_lines_and_nowhere_else() {
        let words = ["CKM_ECDSA", "CKM_SHA256", "CKM_A"].map(str::to_owned);
        let rows = [
            Row::words("mechanisms", &words),
            Row::line("token", "alfa, which is a very long name".to_owned()),
            Row::words("none", &[]),
        ];
        let shown = lines(&rows, 31);
        assert_eq!(
            shown,
            "mechanisms  CKM_ECDSA,\n            CKM_SHA256, CKM_A\n\
             token       alfa, which is a very long name\nnone        \n"
        );
        assert!(lines(&rows[..1], 3).contains("CKM_ECDSA,\n"));
    }
}
