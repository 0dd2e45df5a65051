//! The data objects of a QR code and of the templates in it: id, length in characters, value.

use super::QrError;

/// All data objects of a template, none twice, nothing left over.
pub(super) fn data_objects(mut rest: &str) -> Result<Vec<(u8, &str)>, QrError> {
    let whole = rest.chars().count();
    let mut objects: Vec<(u8, &str)> = Vec::new();
    while !rest.is_empty() {
        let at = whole - rest.chars().count();
        let (id, value, after) = data_object(rest).ok_or(QrError::Malformed { at })?;
        if objects.iter().any(|(other, _)| *other == id) {
            return Err(QrError::Duplicate(id));
        }
        objects.push((id, value));
        rest = after;
    }
    Ok(objects)
}

/// The first data object of `text`: its id, its value and what follows.
fn data_object(text: &str) -> Option<(u8, &str, &str)> {
    let (id, text) = two_digits(text)?;
    let (length, text) = two_digits(text)?;
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let (value, after) = text.split_at_checked(ends.nth(usize::from(length))?)?;
    (length > 0).then_some((id, value, after))
}

fn two_digits(text: &str) -> Option<(u8, &str)> {
    let (digits, after) = text.split_at_checked(2)?;
    let all_digits = digits.bytes().all(|c| c.is_ascii_digit());
    all_digits.then_some((digits.parse().ok()?, after))
}

pub(super) fn value<'a>(objects: &[(u8, &'a str)], id: u8) -> Option<&'a str> {
    objects
        .iter()
        .find_map(|(other, value)| (*other == id).then_some(*value))
}

pub(super) fn required<'a>(objects: &[(u8, &'a str)], id: u8) -> Result<&'a str, QrError> {
    value(objects, id).ok_or(QrError::Missing(id))
}
