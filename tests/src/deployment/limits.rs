//! Rate limits of a scenario: such as nobody meets, but for those that it is about.

use toml::{Table, Value};

use crate::failure::Failure;

const SCOPES: [&str; 3] = ["institution", "caller", "device"];
const WIDEST: &str = "{ burst = 1000000, requests = 1000000, seconds = 1 }";

/// The table of a policy: these windows of these scopes, and all else as wide as a policy allows. `in_flight` may be named
/// as a scope is.
///
/// # Errors
/// That is not TOML.
pub fn rate_limits(named: &[(&str, &str)]) -> Result<Table, Failure> {
    let of = |scope: &str| named.iter().find(|(name, _)| *name == scope);
    let mut text = format!(
        "in_flight = {}\n",
        of("in_flight").map_or("4096", |(_, n)| n)
    );
    for scope in SCOPES {
        let windows = of(scope).map_or(WIDEST, |(_, windows)| windows);
        text.push_str(&format!("{scope} = [{windows}]\n"));
    }
    Ok(text.parse()?)
}

/// The scheme of this `scheme.toml` with these limits for the institution `id`, or for all.
///
/// # Errors
/// That is not TOML.
pub fn limited(scheme: &str, id: Option<&str>, named: &[(&str, &str)]) -> Result<String, Failure> {
    let mut table: Table = scheme.parse()?;
    let institutions = table.get_mut("institution").and_then(Value::as_array_mut);
    for institution in institutions.into_iter().flatten() {
        let own = institution.get("id").and_then(Value::as_str);
        let named = if id.is_none() || own == id {
            named
        } else {
            &[]
        };
        let policy = institution.get_mut("policy").and_then(Value::as_table_mut);
        if let Some(policy) = policy {
            policy.insert("rate_limits".to_owned(), Value::Table(rate_limits(named)?));
        }
    }
    Ok(toml::to_string(&table)?)
}
