//! The rows, by who meets them.

pub(crate) mod clock;
pub(crate) mod limits;
pub(crate) mod orders;
pub(crate) mod outages;
pub(crate) mod requests;
pub(crate) mod starts;

use super::row::Row;

/// The README's tables: a heading, and its rows.
pub(crate) const TABLES: &[(&str, &[Row])] = &[
    ("A request", requests::ALL),
    ("An order", orders::ALL),
    ("Policy and limits", limits::ALL),
    ("The token or the record is not there", outages::ALL),
    ("The clock is stepped", clock::ALL),
    ("The service is started with something wrong", starts::ALL),
];
