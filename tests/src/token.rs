//! SoftHSM's tokens as files: found, taken away, read, and tampered with, as somebody with the machine's root could.
//!
//! A file is a row of attributes: type and kind as 64-bit numbers, then a value by its kind, numbers big-endian.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{deployment::Deployment, failure::Failure};

/// The length of CK_TOKEN_INFO.label, padded with blanks (PKCS#11 v2.40 s3.2).
const LABEL: usize = 32;
/// SoftHSM's own attribute for CK_TOKEN_INFO.flags, and the kind of its value.
const TOKEN_FLAGS: [u64; 2] = [0x8000_534b, 2];
/// CKF_USER_PIN_COUNT_LOW: a wrong PIN was sent since the last right one.
const PIN_COUNT_LOW: u64 = 0x0001_0000;
/// CKA_EXTRACTABLE, and the kind of a boolean.
const EXTRACTABLE: [u64; 2] = [0x162, 1];
/// What SoftHSM writes for CK_TRUE.
const TRUE: u8 = 0xff;

/// The folder of the token of `institution`.
///
/// # Errors
/// There is none.
pub fn folder(deployment: &Deployment, institution: &str) -> Result<PathBuf, Failure> {
    let label = format!("{institution:LABEL$}");
    for entry in fs::read_dir(deployment.directory().tokens())? {
        let token = entry?.path();
        let named = fs::read(token.join("token.object"))?;
        if named.windows(LABEL).any(|found| found == label.as_bytes()) {
            return Ok(token);
        }
    }
    Err(Failure::new(format!(
        "no token has the label {institution}"
    )))
}

/// Something that was moved aside. It is moved back when this is dropped.
#[derive(Debug)]
pub struct Aside {
    place: PathBuf,
    aside: PathBuf,
}

impl Aside {
    /// Moves a file or folder aside.
    ///
    /// # Errors
    /// It is not there.
    pub fn moved(place: PathBuf) -> Result<Self, Failure> {
        // Not beside it: nobody is to come upon it there.
        let parent = place.parent().and_then(Path::parent);
        let aside = parent.unwrap_or(&place).join("moved-aside");
        fs::rename(&place, &aside)?;
        Ok(Self { place, aside })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What then is missing fails the test.
        let _ = fs::rename(&self.aside, &self.place);
    }
}

/// Whether a wrong PIN was sent to the token of `institution` since the last right one.
///
/// # Errors
/// There is no such token.
pub fn pin_count_low(deployment: &Deployment, institution: &str) -> Result<bool, Failure> {
    let object = fs::read(folder(deployment, institution)?.join("token.object"))?;
    let flags = value(&object, TOKEN_FLAGS).and_then(|at| object.get(at..at.checked_add(8)?));
    let flags = flags.and_then(|octets| octets.try_into().ok());
    let flags = flags.map(u64::from_be_bytes);
    let flags = flags.ok_or_else(|| Failure::new("a token without flags"))?;
    Ok(flags & PIN_COUNT_LOW != 0)
}

/// Makes every private key in the token of `institution` extractable, or not any more; how many there are.
///
/// # Errors
/// There is no such token.
pub fn set_extractable(
    deployment: &Deployment,
    institution: &str,
    extractable: bool,
) -> Result<usize, Failure> {
    let mut made = 0;
    for entry in fs::read_dir(folder(deployment, institution)?)? {
        let path = entry?.path();
        let mut object = fs::read(&path)?;
        let found = value(&object, EXTRACTABLE).and_then(|at| object.get_mut(at));
        if let Some(found) = found {
            *found = if extractable { TRUE } else { 0 };
            fs::write(&path, object)?;
            made += 1;
        }
    }
    Ok(made)
}

/// How many private keys the token of `institution` has.
///
/// # Errors
/// There is no such token.
pub fn private_keys(deployment: &Deployment, institution: &str) -> Result<usize, Failure> {
    let mut found = 0;
    for entry in fs::read_dir(folder(deployment, institution)?)? {
        let object = fs::read(entry?.path())?;
        found += usize::from(value(&object, EXTRACTABLE).is_some());
    }
    Ok(found)
}

/// The labels of an institution's tokens, as the configuration names them.
///
/// # Errors
/// The configuration cannot be read.
pub fn labels(deployment: &Deployment, institution: &str) -> Result<Vec<String>, Failure> {
    let config: toml::Table = fs::read_to_string(deployment.directory().config())?.parse()?;
    let institutions = config.get("institution").and_then(toml::Value::as_array);
    let mut institutions = institutions.into_iter().flatten();
    let own =
        institutions.find(|one| one.get("id").and_then(toml::Value::as_str) == Some(institution));
    let own = own.ok_or_else(|| Failure::new(format!("no institution {institution}")))?;
    let further = own.get("further_token").and_then(toml::Value::as_array);
    let tables = std::iter::once(own).chain(further.into_iter().flatten());
    let labels = tables.filter_map(|table| table.get("token")?.as_str());
    Ok(labels.map(str::to_owned).collect())
}

/// How many public objects in the token with this label hold these octets, such as a CKA_ID. Those of private ones are
/// encrypted.
///
/// # Errors
/// There is no such token.
pub fn public_objects_with(
    deployment: &Deployment,
    institution: &str,
    octets: &[u8],
) -> Result<usize, Failure> {
    let mut found = 0;
    for entry in fs::read_dir(folder(deployment, institution)?)? {
        let object = fs::read(entry?.path())?;
        found += usize::from(object.windows(octets.len()).any(|part| part == octets));
    }
    Ok(found)
}

/// Where the value of an attribute begins.
fn value(object: &[u8], attribute: [u64; 2]) -> Option<usize> {
    let head = attribute.map(u64::to_be_bytes).concat();
    let at = object.windows(head.len()).position(|found| found == head)?;
    at.checked_add(head.len())
}
