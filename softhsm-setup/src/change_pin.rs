//! Owns the change of a token's PIN: the new one is put down before the token has it, and takes the old one's place in its
//! file when the token has it, so that it is never lost.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use semops_objects::institution::InstitutionId;
use zeroize::Zeroizing;

use crate::directory::at;
use crate::error::SetupError;
use crate::random;
use crate::standing::Standing;
use crate::token::TokenProcess;

/// A token that has a new PIN.
pub struct ChangedPin {
    /// Its label.
    pub token: String,
    /// The file in which the new one stands.
    pub pin_file: PathBuf,
}

/// Gives a token of `institution`, its first one if none is named, a new PIN, and writes it to the file that `signer.toml`
/// names. A change that was cut short is finished. `program` is this crate's executable.
///
/// # Errors
/// [`SetupError`]. As long as FILE.next stands beside the PIN file, the token may have that PIN: do it again.
pub fn change_pin(
    directory: &Path,
    institution: &InstitutionId,
    token: Option<&InstitutionId>,
    program: &Path,
) -> Result<ChangedPin, SetupError> {
    let standing = Standing::read(directory)?;
    let own = standing.token(institution, token)?;
    let (token, file) = (own.label.to_owned(), own.pin_file);
    let next = beside(&file);
    if !next.exists() {
        write(&next, &random::pin()?)?;
        change(&standing, &token, program, &file, &next)?;
    } else if open(&standing, &token, program, &read(&next)?)?.is_none() {
        // Whether the token has it, only the token knows.
        change(&standing, &token, program, &file, &next)?;
    }
    let pin_file = put(next, file)?;
    Ok(ChangedPin { token, pin_file })
}

/// Gives the token the PIN in the file `next` in the place of that in `file`.
fn change(
    standing: &Standing,
    token: &str,
    program: &Path,
    file: &Path,
    next: &Path,
) -> Result<(), SetupError> {
    let (old, new) = (read(file)?, read(next)?);
    let configuration = standing.directory.softhsm_configuration();
    let mut process = TokenProcess::start(program, &configuration, token)?;
    process.open(&standing.module(), &old)?;
    process.change_pin(&old, &new)?;
    process.finish()
}

/// The token, if it takes this PIN.
fn open(
    standing: &Standing,
    token: &str,
    program: &Path,
    pin: &str,
) -> Result<Option<()>, SetupError> {
    let configuration = standing.directory.softhsm_configuration();
    let mut process = TokenProcess::start(program, &configuration, token)?;
    let opened = process.open(&standing.module(), pin);
    process.finish()?;
    Ok(opened.ok())
}

fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".next");
    name.into()
}

fn read(file: &Path) -> Result<Zeroizing<String>, SetupError> {
    let text = Zeroizing::new(fs::read_to_string(file).map_err(at(file))?);
    Ok(Zeroizing::new(
        text.strip_suffix('\n').unwrap_or(&text).to_owned(),
    ))
}

fn write(file: &Path, pin: &str) -> Result<(), SetupError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut file| {
        file.write_all(pin.as_bytes())?;
        file.sync_all()
    });
    written.map_err(at(file))
}

/// Puts the new PIN in the place of the old one.
fn put(next: PathBuf, file: PathBuf) -> Result<PathBuf, SetupError> {
    fs::rename(next, &file).map_err(at(&file))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))?;
    Ok(file)
}
