//! A further token of an institution: made beside the others, named in `signer.toml`, and nothing else changes.

use std::fs;

use softhsm_setup::directory::Directory;
use softhsm_setup::error::SetupError;
use softhsm_setup::{AddedToken, add_token};
use toml::{Table, Value};

use crate::{contents, edge, files_below, go_on, id, own};

fn add(made: &Directory, institution: &str, label: Option<&str>) -> Result<AddedToken, SetupError> {
    let label = label.map(id);
    add_token(
        made.path(),
        &id(institution),
        label.as_ref(),
        &edge(),
        &mut go_on,
    )
}

/// The further tokens of each institution, with their PIN files.
fn further(made: &Directory) -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(made.config()).unwrap();
    let table = text.parse::<Table>().unwrap();
    let text = |token: &Value, key: &str| token[key].as_str().unwrap().to_owned();
    let of = |institution: &Value| {
        let tokens = institution.get("further_token").and_then(Value::as_array);
        let tokens = tokens.into_iter().flatten();
        tokens
            .map(|token| (text(token, "token"), text(token, "pin_file")))
            .collect()
    };
    table["institution"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

#[test]
fn tokens_are_added_to_whichever_institution() {
    let (_folder, made) = own();
    let before = contents(made.path());
    for (institution, label) in [
        ("alfa", "alfa-2"),
        ("mobilis", "mobilis-2"),
        ("alfa", "alfa-3"),
    ] {
        let added = add(&made, institution, None).unwrap();
        assert_eq!(added.label, id(label));
        let pin = fs::read_to_string(&added.pin_file).unwrap();
        assert_ne!(pin, fs::read_to_string(made.pin(&id(institution))).unwrap());
        let (_, mode) = contents(made.path())[&added.pin_file];
        assert_eq!(mode & 0o777, 0o600);
    }
    let named = |labels: &[&str]| {
        let labels = labels
            .iter()
            .map(|label| ((*label).to_owned(), format!("pins/{label}")));
        labels.collect::<Vec<_>>()
    };
    let expected = [named(&["alfa-2", "alfa-3"]), vec![], named(&["mobilis-2"])];
    assert_eq!(further(&made), expected);
    // Lines were added to signer.toml, and none was changed.
    let old = String::from_utf8(before[&made.config()].0.clone()).unwrap();
    let new = fs::read_to_string(made.config()).unwrap();
    let mut lines = new.lines();
    assert!(old.lines().all(|line| lines.any(|found| found == line)));
    let mut after = contents(made.path());
    after.remove(&made.config());
    for (path, content) in before.iter().filter(|(path, _)| **path != made.config()) {
        assert_eq!(
            after.remove(path).as_ref(),
            Some(content),
            "{}",
            path.display()
        );
    }
    let tokens = fs::read_dir(made.tokens()).unwrap().count();
    assert_eq!(tokens, 3 + 3);
}

#[test]
fn what_cannot_be_a_further_token_is_taken_back() {
    let (_folder, made) = own();
    for _ in 0..3 {
        add(&made, "beta", None).unwrap();
    }
    let before = files_below(made.path());
    for (institution, label, said) in [
        ("beta", None, "beta has 4 tokens"),
        ("alfa", Some("mobilis"), "a token with that label"),
        ("alfa", Some("beta-3"), "a token with that label"),
        ("gamma", None, "institution gamma"),
    ] {
        let refused = add(&made, institution, label).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert_eq!(files_below(made.path()), before);
    }
    assert_eq!(
        add(&made, "alfa", Some("vault")).unwrap().label,
        id("vault")
    );
}
