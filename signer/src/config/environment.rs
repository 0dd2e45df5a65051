//! Owns `[hsm.environment]`: the environment variables that the PKCS#11 module reads.

use std::collections::BTreeMap;

use super::reader::Reader;

/// The variables, each with its value; none when the module needs none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Names and values.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The table `environment` of `[hsm]`; it may be absent.
pub(super) fn environment(hsm: &mut Reader<'_>) -> Option<Environment> {
    if !hsm.has("environment") {
        return Some(Environment::default());
    }
    let mut table = hsm.table("environment")?;
    let names = table.keys().into_iter();
    let read: Vec<_> = names.map(|name| variable(&mut table, name)).collect();
    read.into_iter().collect::<Option<_>>().map(Environment)
}

fn variable(table: &mut Reader<'_>, name: String) -> Option<(String, String)> {
    let value = table.text(&name)?;
    let (what, way_out) = if !is_name(&name) {
        (
            "is no name of a variable",
            "use letters, digits and '_', and begin with no digit",
        )
    } else if name.starts_with("LD_") {
        // They say which code a program is made of (ld.so(8)).
        (
            "rules the dynamic linker of the worker processes, whose PIN it could read",
            "make do without it",
        )
    } else if value.contains('\0') {
        ("contains a NUL", "remove it")
    } else {
        return Some((name, value));
    };
    table.wrong(&name, what, way_out);
    None
}

/// POSIX.1-2017, XBD 8.1 and 3.235.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::super::reader::Mistakes;
    use super::*;

    fn load(text: &str) -> Result<Environment, Vec<String>> {
        let mistakes = Mistakes::default();
        let mut hsm = Reader::new(text.parse().unwrap(), Path::new(""), &mistakes);
        let read = environment(&mut hsm);
        hsm.leave_the_rest();
        drop(hsm);
        let keys: Vec<String> = mistakes.into_vec().into_iter().map(|m| m.key).collect();
        read.filter(|_| keys.is_empty()).ok_or(keys)
    }

    #[test]
    fn what_the_module_reads_is_taken_as_it_stands() {
        let text = "threads = 'x'\n[environment]\nSOFTHSM2_CONF = 'a b=c'\n_x1 = '1'\n";
        let environment = load(text).unwrap();
        let variables: Vec<_> = environment.variables().collect();
        assert_eq!(variables, [("SOFTHSM2_CONF", "a b=c"), ("_x1", "1")]);
        assert_eq!(load(""), Ok(Environment::default()));
    }

    #[test]
    fn what_cannot_be_a_variable_is_refused_all_at_once() {
        let text = "[environment]\n\"A=B\" = 'x'\n\"\" = 'x'\n1A = 'x'\nLD_PRELOAD = 'x'\nEMPTY = ''\n\
                    NUL = \"a\\u0000\"\nNUMBER = 1\nGOOD = 'x'\n";
        let mut found = load(text).unwrap_err();
        found.sort();
        let names = ["", "1A", "A=B", "EMPTY", "LD_PRELOAD", "NUL", "NUMBER"];
        assert_eq!(found, names.map(|name| format!("environment.{name}")));
        assert_eq!(load("environment = 1\n").unwrap_err(), ["environment"]);
    }
}
