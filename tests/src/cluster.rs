//! Owns a PostgreSQL server for tests: a private cluster in a folder that only its owner may enter, reached by its socket
//! there; or a standby of another. It ends, and its folder goes, when the process that started it ends, however that does.
//!
//! PostgreSQL refuses to run as root: then it runs as Debian's user `postgres`.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// A part of the socket's name; no network is listened on.
pub const PORT: u16 = 5432;

/// Who may do everything in the cluster.
pub const ROLE: &str = "signer";

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    databases: AtomicU32,
    watch: Mutex<Watch>,
}

/// The two ends of the script that watches over the server: it ends the server when this input is closed, which the end
/// of the process does too.
#[derive(Debug)]
struct Watch {
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

const WATCH: &str = r#"
set -eu
umask 077
trap '' INT
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
programs=$1
role=$2
primary=$3
shift 3
create() {
    if [ -n "$primary" ]; then
        "$programs/pg_basebackup" --pgdata="$folder/data" --write-recovery-conf --checkpoint=fast --no-sync \
            --dbname="host=$primary user=$role application_name=standby"
    else
        "$programs/initdb" --pgdata="$folder/data" --username="$role" --auth=trust --encoding=UTF8 --no-locale --no-sync \
            --no-instructions
    fi
}
create >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
printf '%s\n' "$@" | sed "s/=\\(.*\\)/ = '\\1'/" >>"$folder/data/postgresql.conf"
# A server that crashed leaves children behind for a moment, beside which no other starts.
serve() {
    tries=0
    while :; do
        "$programs/postgres" -D "$folder/data" -k "$folder" >>"$folder/log" 2>&1 </dev/null &
        server=$!
        while kill -0 "$server" 2>/dev/null; do
            if "$programs/pg_isready" --quiet --host="$folder"; then return 0; fi
            sleep 0.05
        done
        tries=$((tries + 1))
        if [ "$tries" -ge 100 ]; then cat "$folder/log" >&2; exit 1; fi
    done
}
serve
mkdir "$folder/standby"
echo "$folder"
# Whoever reads what the tests say does not wait for the folder to go.
exec 2>/dev/null
while read -r word; do
    case "$word" in
    kill)
        # With the processes that serve connections, which would go on for a moment.
        kill -KILL "$server" $(cat "/proc/$server/task/$server/children") || true
        wait "$server" || true
        ;;
    start) serve ;;
    esac
    echo done
done
kill -QUIT "$server" 2>/dev/null || true
wait "$server" || true
"#;

/// What makes it small and leaves room for the replicas of many tests. Durable it is as in earnest.
const SETTINGS: [&str; 3] = [
    "listen_addresses=",
    "max_connections=600",
    "shared_buffers=32MB",
];

impl Cluster {
    /// Makes and starts one.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start; its log is on standard error then.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Cluster::start`], with these lines of postgresql.conf as well, each `name=value`.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(settings: &[&str]) -> io::Result<Self> {
        Self::make("", &[&SETTINGS, settings].concat(), &[])
    }

    /// As [`Cluster::start`], in this environment.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(environment: &[(&str, OsString)]) -> io::Result<Self> {
        Self::make("", &SETTINGS, environment)
    }

    /// A standby of `primary`, with its settings and all that is in it; it streams by the name `standby`.
    ///
    /// # Errors
    /// As there.
    pub fn standby_of(primary: &Self) -> io::Result<Self> {
        Self::make(&primary.folder.display().to_string(), &[], &[])
    }

    fn make(
        primary: &str,
        settings: &[&str],
        environment: &[(&str, OsString)],
    ) -> io::Result<Self> {
        let mut command = as_user();
        // Only for what runs as that user: the other would leave things behind that it may not use.
        command.arg("env");
        for (name, value) in environment {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            command.arg(word);
        }
        command.args(["sh", "-c", WATCH, "sh"]);
        command
            .arg(programs()?)
            .args([ROLE, primary])
            .args(settings);
        command.current_dir("/");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(tell), Some(hear)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server's pipes are gone"));
        };
        let mut watch = Watch {
            tell,
            hear: BufReader::new(hear),
        };
        let folder = watch.heard()?;
        Ok(Self {
            folder: PathBuf::from(folder),
            databases: AtomicU32::new(0),
            watch: Mutex::new(watch),
        })
    }

    /// The folder of its socket; `standby` in it is an empty folder for what a standby receives.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// The name of a database that nobody else has.
    pub fn name(&self) -> String {
        format!("record_{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }

    /// Another of the server's programs, run as the user that it runs as, and told where it is.
    ///
    /// # Errors
    /// PostgreSQL is not installed.
    pub fn program(&self, name: &str) -> io::Result<Command> {
        let mut command = as_user();
        command
            .arg(programs()?.join(name))
            .current_dir(&self.folder);
        command
            .arg("--host")
            .arg(&self.folder)
            .args(["--username", ROLE]);
        Ok(command)
    }

    /// Runs statements as an administrator would, each by itself; gives what they say, a line for each row.
    ///
    /// # Errors
    /// The server is not there, or does not take one.
    pub fn ask(&self, database: &str, statements: &[&str]) -> io::Result<String> {
        let mut psql = self.program("psql")?;
        psql.args([
            "--dbname",
            database,
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
        ]);
        psql.arg("--set=ON_ERROR_STOP=1");
        for statement in statements {
            psql.args(["--command", statement]);
        }
        let said = psql.output()?;
        if !said.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&said.stderr)));
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim_end().to_owned())
    }

    /// The same in the administrator's own database.
    ///
    /// # Errors
    /// As there.
    pub fn run(&self, statements: &[&str]) -> io::Result<String> {
        self.ask("postgres", statements)
    }

    /// SIGKILL to the server, with all its processes.
    ///
    /// # Errors
    /// Nobody watches over it any more.
    pub fn kill(&self) -> io::Result<()> {
        self.tell("kill")
    }

    /// Starts it again, and waits until it has recovered.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&self) -> io::Result<()> {
        self.tell("start")
    }

    fn tell(&self, word: &str) -> io::Result<()> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(watch.tell, "{word}")?;
        watch.heard().map(drop)
    }
}

impl Watch {
    fn heard(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.hear.read_line(&mut line)? == 0 {
            return Err(io::Error::other(
                "PostgreSQL did not start; run softhsm-setup/install, and see standard error",
            ));
        }
        Ok(line.trim_end().to_owned())
    }
}

/// What runs another program as a user that PostgreSQL takes.
fn as_user() -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ]);
        command
    } else {
        Command::new("env")
    }
}

/// The folder of the newest server's programs, as Debian installs them, which is in no PATH.
fn programs() -> io::Result<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql")?;
    let versions = installed.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    versions
        .filter(|folder| folder.join("initdb").exists())
        .max()
        .ok_or_else(|| io::Error::other("no PostgreSQL server is installed"))
}
