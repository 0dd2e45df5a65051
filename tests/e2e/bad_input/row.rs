//! One row: what goes wrong, and exactly what whoever meets it reads. A test demands the row of a running service, and the
//! README shows it, so that neither can say something else.

use e2e::{failure::Failure, refusal};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name of its constant.
    pub(crate) name: &'static str,
    /// What goes wrong.
    pub(crate) what: &'static str,
    /// How it is told.
    pub(crate) told: Told,
    /// The whole text; `<...>` stands for what differs from case to case.
    pub(crate) text: &'static str,
    /// What is not lost, and what becomes of others; empty where the answer is all that happens.
    pub(crate) holds: &'static str,
    /// The path of the test.
    pub(crate) test: &'static str,
}

/// How something wrong is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// To a caller, as a gRPC status with this reason.
    Status(Code, &'static str),
    /// To the operator, by the end of the start with this exit code.
    Exit(i32),
}

impl Row {
    /// Demands that a call was refused with just this row.
    pub(crate) fn refuses<T>(&self, called: Result<T, Status>) -> Result<Status, Failure> {
        let failed = |what: String| Failure::new(what).in_step(self.name);
        let Told::Status(code, reason) = self.told else {
            return Err(failed("is not told by a status".to_owned()));
        };
        let status = match called {
            Ok(_) => return Err(failed("was NOT refused".to_owned())),
            Err(status) => status,
        };
        refusal::demand(Err::<(), _>(status.clone()), code, reason)
            .map_err(|failure| failure.in_step(self.name))?;
        if !fits(self.text, status.message()) {
            return Err(failed(format!(
                "says {:?}, must say {:?}",
                status.message(),
                self.text
            )));
        }
        let details = status.get_error_details();
        let request = details.request_info().map(|info| info.request_id.as_str());
        let header = status.metadata().get("x-request-id");
        if request.is_none() || header.and_then(|id| id.to_str().ok()) != request {
            return Err(failed(format!("{request:?} is not the id in the header")));
        }
        Ok(status)
    }

    /// The same, for a row that blames `field`.
    pub(crate) fn blames<T>(&self, called: Result<T, Status>, field: &str) -> Result<(), Failure> {
        let blamed = refusal::fields(&self.refuses(called)?);
        if blamed == [field] {
            return Ok(());
        }
        Err(Failure::new(format!("blames {blamed:?}, must be {field}")).in_step(self.name))
    }

    /// Demands that a start ended with this row as its last words.
    pub(crate) fn ends(&self, code: Option<i32>, said: &str) -> Result<(), Failure> {
        let Told::Exit(expected) = self.told else {
            return Err(Failure::new("is not told by an exit code").in_step(self.name));
        };
        let last = said.rfind("signer: ").and_then(|start| said.get(start..));
        let last = last.unwrap_or_default().trim_end();
        if code == Some(expected) && fits(self.text, last) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "ended with {code:?} and {last:?}, must be {expected} and {:?}",
            self.text
        ))
        .in_step(self.name))
    }

    /// The row as the README shows it.
    pub(crate) fn shown(&self) -> String {
        let told = match self.told {
            Told::Status(code, reason) => format!("`{}` `{reason}`", code_name(code)),
            Told::Exit(code) => format!("exit code {code}"),
        };
        let text = quoted(self.text);
        let (what, holds, test) = (self.what, self.holds, self.test);
        format!("| {what} | {told} | {text} | {holds} | `{test}` |")
    }
}

/// A text as a code span (CommonMark s6.1), on one line.
pub(crate) fn quoted(text: &str) -> String {
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    if line.contains('`') {
        format!("`` {line} ``")
    } else {
        format!("`{line}`")
    }
}

/// Whether `text` is `pattern`, with something in the place of each `<...>`.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else {
        return pattern == text;
    };
    let after = rest.split_once('>').map_or("", |(_, after)| after);
    let Some(tail) = text.strip_prefix(before) else {
        return false;
    };
    // The shortest that does: what follows decides.
    let mut ends = tail.char_indices().skip(1).map(|(end, _)| end);
    ends.any(|end| tail.get(end..).is_some_and(|tail| fits(after, tail)))
        || (after.is_empty() && !tail.is_empty())
}

/// The name of a code as in google.rpc.Code.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Declares rows as constants, each knowing its name, and all of them in one list.
macro_rules! rows {
    ($($name:ident { $($field:ident: $value:expr),+ $(,)? })+) => {
        $(pub(crate) const $name: $crate::bad_input::row::Row =
            $crate::bad_input::row::Row { name: stringify!($name), $($field: $value),+ };)+

        /// All of them, in the order of the README.
        pub(crate) const ALL: &[$crate::bad_input::row::Row] = &[$($name),+];
    };
}
pub(crate) use rows;

#[test]
fn a_pattern_is_a_whole_text() {
    for (pattern, text, fit) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("a <n> c", "a 12 c", true),
        ("a <n> c", "a  c", false),
        ("a <n>", "a 12", true),
        ("a <n>", "a ", false),
        ("<a>: <b>", "x.y: must be", true),
        ("slot <n>) <m>", "slot 1) 2) x", true),
        ("a <n> c", "b 12 c", false),
    ] {
        assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
    }
    assert_eq!(code_name(Code::FailedPrecondition), "FAILED_PRECONDITION");
    assert_eq!(quoted("say `x`\n  now"), "`` say `x` now ``");
}
