//! Owns the table `[retention]`: for how many days what is kept. What it does not name is kept for ever.

use super::reader::Reader;
use crate::domain::retention::{Kept, Retention};

/// A hundred years and some.
const MOST_DAYS: u32 = 36_600;

/// The table may be left out, and each of its keys.
pub(super) fn retention(file: &mut Reader<'_>) -> Option<Retention> {
    if !file.has("retention") {
        return Some(Retention::default());
    }
    let mut table = file.table("retention")?;
    let mut days = |kept: Kept| {
        if !table.has(kept.name()) {
            return Some(None);
        }
        let range = kept.least_days()..=MOST_DAYS;
        table.number(kept.name(), range).map(Some)
    };
    let (orders, crls) = (days(Kept::Orders), days(Kept::Crls));
    let (subscribers, events) = (days(Kept::Subscribers), days(Kept::Events));
    Some(Retention {
        orders: orders?,
        crls: crls?,
        subscribers: subscribers?,
        events: events?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::{super::reader::Mistakes, *};

    fn read(text: &str) -> (Option<Retention>, Vec<String>) {
        let mistakes = Mistakes::default();
        let read = retention(&mut Reader::new(
            text.parse().unwrap(),
            Path::new("."),
            &mistakes,
        ));
        let said = |m: super::super::Mistake| format!("{} {}", m.key, m.what);
        (read, mistakes.into_vec().into_iter().map(said).collect())
    }

    #[test]
    fn what_is_not_named_is_kept_for_ever() {
        assert_eq!(read("").0, Some(Retention::default()));
        let (some, mistakes) = read("[retention]\norders = 400\nevents = 2");
        let expected = Retention {
            orders: Some(400),
            events: Some(2),
            ..Retention::default()
        };
        assert_eq!((some, mistakes), (Some(expected), vec![]));
    }

    #[test]
    fn what_would_go_too_early_is_refused_with_all_mistakes_at_once() {
        let text = "[retention]\norders = 1\ncrls = 0\nsubscribers = -1\nevents = 1\ndocuments = 9";
        let (read, mistakes) = read(text);
        assert_eq!(read, None);
        assert_eq!(
            mistakes,
            [
                "retention.orders is out of range",
                "retention.crls is out of range",
                "retention.subscribers is out of range",
                "retention.events is out of range",
                "retention.documents is not known",
            ]
        );
    }
}
