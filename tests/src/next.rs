//! The next two versions of the service: this very source, copied, with one migration more each and the statements that
//! go with it, and built. The first expands the schema and writes and reads what is new; the second contracts it, and no
//! program that does not write it serves on.
//!
//! Only the package `signer` has another version there, and its program another name: with the times of the copied files
//! kept, cargo takes everything else from what our own programs were built of.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::SystemTime,
};

use crate::{
    failure::Failure,
    programs::{self, Watched},
};

/// A store: where its schema's versions are listed and kept, and what the next ones do.
struct Store {
    list: &'static str,
    migrations: &'static str,
    next: &'static [&'static str],
}

const POSTGRES: Store = Store {
    list: "signer/src/store/postgres/schema.rs",
    migrations: "signer/migrations/postgres",
    next: &[
        // Whoever has made something of the index's name beforehand sees it fail after its first statement.
        "ALTER TABLE cosigned_order ADD COLUMN begun_by text;\n\
         CREATE INDEX cosigned_order_begun_by ON cosigned_order (begun_by);\n\
         UPDATE schema_version SET version = VERSION;\n",
        "UPDATE cosigned_order SET begun_by = 'before' WHERE begun_by IS NULL;\n\
         ALTER TABLE cosigned_order ALTER COLUMN begun_by SET NOT NULL;\n\
         UPDATE schema_version SET version = VERSION, serves_from = VERSION - 1;\n",
    ],
};

const SQLITE: Store = Store {
    list: "signer/src/store/sqlite/schema.rs",
    migrations: "signer/migrations/sqlite",
    next: &["ALTER TABLE cosigned_order ADD COLUMN begun_by TEXT;\n"],
};

/// What the next versions do otherwise: the file, what stands there once, and what stands there then. They write which
/// program began an order, and read that with the order.
const CHANGES: [(&str, &str, &str); 7] = [
    (
        "Cargo.lock",
        "name = \"signer\"\nversion = \"0.1.0\"\n",
        "name = \"signer\"\nversion = \"0.NUMBER.0\"\n",
    ),
    (
        "signer/Cargo.toml",
        "service\"\nversion.workspace = true\n",
        "service\"\nversion = \"0.NUMBER.0\"\nautobins = false\n",
    ),
    (
        "signer/Cargo.toml",
        "[lints]\n",
        "[[bin]]\nname = \"NAME\"\npath = \"src/main.rs\"\n\n[lints]\n",
    ),
    (
        "signer/src/store/postgres/record.rs",
        "reserved_at) SELECT operation, institution, device, jti, order_jws, currency, minor, $8::bigint \\\n",
        "reserved_at, begun_by) SELECT operation, institution, device, jti, order_jws, currency, minor, $8::bigint, 'NAME' \\\n",
    ),
    (
        "signer/src/store/postgres/rows.rs",
        "o.reason, c.order_jws, o.id",
        "o.reason, coalesce(c.order_jws, c.begun_by), o.id",
    ),
    (
        "signer/src/store/sqlite/begin.rs",
        "minor, reserved_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        "minor, reserved_at, begun_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'NAME')",
    ),
    (
        "signer/src/store/sqlite/complete.rs",
        "SELECT order_jws FROM",
        "SELECT coalesce(order_jws, begun_by) FROM",
    ),
];

/// A version of the service.
#[derive(Clone, Debug)]
pub struct Version {
    /// The program.
    pub signer: PathBuf,
    /// What it writes as its name; nothing, if it is this source's.
    pub name: &'static str,
    /// The version of its schema on PostgreSQL.
    pub postgres: usize,
    /// That of a file's.
    pub sqlite: usize,
}

/// This source's version and the next two, built by the first call in this process.
///
/// # Errors
/// The source is not what the changes were written for, or cargo fails; said with its own words.
pub fn versions() -> Result<&'static [Version; 3], Failure> {
    static BUILT: OnceLock<Result<[Version; 3], Failure>> = OnceLock::new();
    let build = || {
        Ok([
            this()?,
            next("signer-that-expands", 1)?,
            next("signer-that-contracts", 2)?,
        ])
    };
    BUILT.get_or_init(build).as_ref().map_err(Clone::clone)
}

fn this() -> Result<Version, Failure> {
    let source = Source::of(programs::workspace())?;
    Ok(Version {
        signer: programs::ours(Watched::No)?.signer.clone(),
        name: "",
        postgres: POSTGRES.version(&source)?,
        sqlite: SQLITE.version(&source)?,
    })
}

fn next(name: &'static str, steps: usize) -> Result<Version, Failure> {
    let ours = &programs::ours(Watched::No)?.signer;
    let target = ours.ancestors().nth(2).unwrap_or(ours);
    let mut source = Source::of(programs::workspace())?;
    let number = (1 + steps).to_string();
    for (file, from, to) in CHANGES {
        let to = to.replace("NAME", name).replace("NUMBER", &number);
        source.change(file, from, &to)?;
    }
    let version = Version {
        signer: ours.with_file_name(name),
        name,
        postgres: POSTGRES.migrate(&mut source, steps)?,
        sqlite: SQLITE.migrate(&mut source, steps)?,
    };
    let copy = target.join("next").join(name);
    source.write(&copy)?;
    cargo(&copy, target, name)?;
    Ok(version)
}

fn cargo(copy: &Path, target: &Path, name: &str) -> Result<(), Failure> {
    let mut command = programs::cargo();
    command
        .args(["build", "--locked", "--workspace", "--bin", name])
        .arg("--manifest-path")
        .arg(copy.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().map_err(Failure::during("cargo build"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{name} does not build\n{said}")))
}

impl Store {
    /// The number of migrations that the source lists.
    fn version(&self, source: &Source) -> Result<usize, Failure> {
        let text = source.text(self.list)?;
        let listed = text.split("const MIGRATIONS: [&str; ").nth(1);
        let number = listed.and_then(|rest| rest.split(']').next());
        let none = || Failure::new(format!("{} lists no MIGRATIONS", self.list));
        Ok(number.ok_or_else(none)?.parse()?)
    }

    /// Adds the first of the next migrations to the source, at most so many; gives the version that they make.
    fn migrate(&self, source: &mut Source, steps: usize) -> Result<usize, Failure> {
        let mut version = self.version(source)?;
        for sql in self.next.iter().take(steps) {
            let before = format!("const MIGRATIONS: [&str; {version}] = [\n");
            let listed = source.text(self.list)?;
            let list = listed.split(&before).nth(1).unwrap_or_default();
            let list = list.split("];").next().unwrap_or_default().to_owned();
            version += 1;
            let file = format!("{}/{version:04}_next.sql", self.migrations);
            let include = format!("    include_str!(\"../../../../{file}\"),\n");
            let after = format!("const MIGRATIONS: [&str; {version}] = [\n{list}{include}];");
            source.change(self.list, &format!("{before}{list}];"), &after)?;
            source.add(&file, &sql.replace("VERSION", &version.to_string()));
        }
        Ok(version)
    }
}

/// The files of a workspace by their paths in it, with the times of their last change.
struct Source(BTreeMap<PathBuf, (Vec<u8>, SystemTime)>);

impl Source {
    fn of(workspace: &Path) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        for file in files_in(workspace)? {
            let changed = file.metadata()?.modified()?;
            let place = file.strip_prefix(workspace)?.to_owned();
            files.insert(place, (fs::read(&file)?, changed));
        }
        Ok(Self(files))
    }

    fn text(&self, file: &str) -> Result<String, Failure> {
        let found = self.0.get(Path::new(file));
        let (bytes, _) = found.ok_or_else(|| Failure::new(format!("there is no {file}")))?;
        Ok(String::from_utf8(bytes.clone())?)
    }

    fn change(&mut self, file: &str, from: &str, to: &str) -> Result<(), Failure> {
        let text = self.text(file)?;
        if text.matches(from).count() != 1 {
            return Err(Failure::new(format!("{file} does not say `{from}` once"))
                .way_out("what the next versions change stands in tests/src/next.rs"));
        }
        self.add(file, &text.replacen(from, to, 1));
        Ok(())
    }

    fn add(&mut self, file: &str, text: &str) {
        let new = (text.as_bytes().to_vec(), SystemTime::now());
        self.0.insert(PathBuf::from(file), new);
    }

    /// Writes what is not there already, and removes what is there beside it: cargo goes by the files' times.
    fn write(&self, copy: &Path) -> Result<(), Failure> {
        fs::create_dir_all(copy)?;
        for file in files_in(copy)? {
            let place = file.strip_prefix(copy)?;
            if !self.0.contains_key(place) {
                fs::remove_file(&file)?;
            }
        }
        for (place, (bytes, changed)) in &self.0 {
            let file = copy.join(place);
            if file.exists() && fs::read(&file)? == *bytes {
                continue;
            }
            fs::create_dir_all(file.parent().unwrap_or(copy))?;
            fs::write(&file, bytes)?;
            File::options()
                .write(true)
                .open(&file)?
                .set_modified(*changed)?;
        }
        Ok(())
    }
}

/// All files below a folder, but what cargo builds and what git keeps.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        let ours =
            ![Some(OsStr::new("target")), Some(OsStr::new(".git"))].contains(&path.file_name());
        if kind.is_dir() && ours {
            files.extend(files_in(&path)?);
        } else if kind.is_file() && ours {
            files.push(path);
        }
    }
    Ok(files)
}
