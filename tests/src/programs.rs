//! The one place that knows where programs are: ours, built by cargo once per process, and those of the system.

use std::{
    collections::BTreeMap,
    env::consts::DLL_SUFFIX,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

use crate::failure::Failure;

/// Debian's Python: python3-jwcrypto belongs to it, and the first python3 on the PATH may be another.
pub const PYTHON: &str = "/usr/bin/python3";

const INSTALL: &str = "run softhsm-setup/install, which says what it installs and why";

/// Our programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The service.
    pub signer: PathBuf,
    /// The maker of schemes.
    pub softhsm_setup: PathBuf,
    /// The command line.
    pub semopsctl: PathBuf,
    /// The PKCS#11 module that disturbs calls: a library, loaded by the service in some scenarios.
    pub fault_module: PathBuf,
}

/// Whether a person watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Cargo's progress goes to standard error as it comes.
    Yes,
    /// It is kept, and shown if the build fails.
    No,
}

/// Our programs, of this very source: built by the first call in this process, in the profile of the running program.
///
/// # Errors
/// The build failed; said with cargo's own words.
pub fn ours(watched: Watched) -> Result<&'static Programs, Failure> {
    static BUILT: OnceLock<Result<Programs, Failure>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(watched))
        .as_ref()
        .map_err(Clone::clone)
}

/// The workspace: where the README is.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// One line of cargo's JSON: an artifact, or anything else.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

impl Message {
    /// What can be run or loaded, by its target's name.
    fn product(self) -> Option<(String, PathBuf)> {
        let is_library = |file: &PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.ends_with(DLL_SUFFIX))
        };
        let file = self
            .executable
            .or_else(|| self.filenames.into_iter().find(is_library))?;
        Some((self.target?.name, file))
    }
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

pub(crate) fn cargo() -> Command {
    // Set while cargo runs us; otherwise the cargo that built us.
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO"))))
}

fn build(watched: Watched) -> Result<Programs, Failure> {
    let mut command = cargo();
    command
        .args(["build", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        // All of the workspace's features at once, as `cargo test --workspace` has them: nothing is built twice.
        .args(["--workspace", "--bins", "--lib"])
        .stdin(Stdio::null());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if watched == Watched::Yes {
        command.stderr(Stdio::inherit());
    }
    let output = command.output().map_err(Failure::during("cargo build"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("cargo build failed\n{said}"))
            .way_out("the first error above says what; a missing C compiler comes with softhsm-setup/install"));
    }
    let built: BTreeMap<String, PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(Message::product)
        .collect();
    let path = |name: &str| {
        let missing = || Failure::new(format!("cargo built no program {name}"));
        built.get(name).cloned().ok_or_else(missing)
    };
    Ok(Programs {
        signer: path("signer")?,
        softhsm_setup: path("softhsm-setup")?,
        semopsctl: path("semopsctl")?,
        fault_module: path("fault_module")?,
    })
}

/// The system's openssl.
///
/// # Errors
/// It is not there.
pub fn openssl() -> Result<Command, Failure> {
    present("openssl", &["version"], "openssl")?;
    Ok(Command::new("openssl"))
}

/// Debian's Python with jwcrypto, a JOSE library that is not ours.
///
/// # Errors
/// It is not there.
pub fn python() -> Result<Command, Failure> {
    present(PYTHON, &["-c", "import jwcrypto"], "python3-jwcrypto")?;
    Ok(Command::new(PYTHON))
}

/// Sees that Debian's Python can speak gRPC and that protoc is there to make its messages.
///
/// # Errors
/// One of them is not there.
pub fn python_grpc() -> Result<(), Failure> {
    present(
        PYTHON,
        &["-c", "import grpc, google.protobuf"],
        "python3-grpcio",
    )?;
    present("protoc", &["--version"], "protobuf-compiler")
}

/// libfaketime, which gives a program another time than the system's.
///
/// # Errors
/// It is not there.
pub fn libfaketime() -> Result<PathBuf, Failure> {
    // Debian keeps it apart for each architecture (multiarch).
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let missing = || {
        Failure::new("there is no /usr/lib/*/faketime/libfaketimeMT.so.1: Debian's package libfaketime is missing")
            .way_out(INSTALL)
    };
    libraries
        .find(|library| library.exists())
        .ok_or_else(missing)
}

/// strace, which answers a program's calls in the system's place.
///
/// # Errors
/// It is not there.
pub fn strace() -> Result<Command, Failure> {
    present("strace", &["-V"], "strace")?;
    Ok(Command::new("strace"))
}

fn present(program: &str, arguments: &[&str], package: &str) -> Result<(), Failure> {
    let tried = Command::new(program).args(arguments).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{program} does not do `{}`: Debian's package {package} is missing",
        arguments.join(" ")
    ))
    .way_out(INSTALL))
}
