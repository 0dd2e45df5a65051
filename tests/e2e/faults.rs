//! What is wrong at the start is said with the way out, and nothing is tried twice; a disk that takes nothing more loses
//! nothing.

use std::{fs, process::Command, time::Duration};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    stored,
    story::Callers,
    until::until,
};
use rusqlite::Connection;
use softhsm_setup::scheme::Scheme;

use crate::bad_input::rows::outages as rows;

const EX_USAGE: i32 = 64;
const LONG_ENOUGH: Duration = Duration::from_secs(60);

fn prepare() -> Result<Deployment, Failure> {
    Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})
}

/// Starts it, demands that it ends with this exit code before it serves, and gives what it said.
pub(super) async fn refused_start(
    deployment: &mut Deployment,
    code: i32,
) -> Result<String, Failure> {
    let before = deployment.log().len();
    let mut process = deployment.spawn(deployment.signer()?)?;
    let status = process.wait().await?;
    let said = deployment.log().split_off(before);
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(!said.contains("serving gRPC"), "{said}");
    Ok(said)
}

fn must_say(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}

#[tokio::test]
async fn a_pin_may_come_by_a_descriptor() -> Result<(), Failure> {
    let mut deployment = prepare()?;
    let alfa = deployment.directory().pin(&"alfa".parse().unwrap());
    deployment.configure("pin_file = \"pins/alfa\"", "pin_fd = 3")?;

    // Not opened by anybody: a mistake of the configuration, with its key.
    let said = refused_start(&mut deployment, EX_USAGE).await?;
    must_say(&said, &["pin_fd"]);

    // As a service manager does it: opened by the parent, the file gone before the service reads.
    let signer = deployment.signer()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<\"$0\"; rm \"$0\"; exec \"$@\""])
        .arg(&alfa)
        .arg(signer.get_program())
        .args(signer.get_args());
    command.envs(
        signer
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    deployment.start_with(command).await?;
    assert!(!alfa.exists());
    let callers = Callers::connect(&deployment).await?;
    Customer::enrolled_by(&callers.mobilis_enrolment).await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.certificates, 1);
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_used_stops_the_start() -> Result<(), Failure> {
    let mut deployment = prepare()?;
    let alfa = deployment.directory().pin(&"alfa".parse().unwrap());
    let good = fs::read(&alfa)?;

    // A wrong PIN, in two starts: each tries it once, and the token does not lock.
    fs::write(&alfa, "31415926\n")?;
    for _ in 0..2 {
        let said = refused_start(&mut deployment, 1).await?;
        must_say(
            &said,
            &[
                "alfa",
                "C_Login",
                "CKR_PIN_INCORRECT",
                "correct the PIN file",
            ],
        );
        assert_eq!(said.matches("CKR_PIN_INCORRECT").count(), 1, "{said}");
        assert!(!said.contains("31415926"), "{said}");
    }
    fs::write(&alfa, &good)?;

    deployment.configure("token = \"beta\"", "token = \"gamma\"")?;
    let said = refused_start(&mut deployment, 1).await?;
    must_say(
        &said,
        &[
            "no token has the label \"gamma\"",
            "\"alfa\"",
            "institution beta",
            "try:",
        ],
    );
    deployment.configure("token = \"gamma\"", "token = \"beta\"")?;

    // A module that is not there, and a file that is no module.
    let config = fs::read_to_string(deployment.directory().config())?;
    let module = config
        .lines()
        .find(|line| line.starts_with("module = "))
        .unwrap();
    let absent = "module = \"/nonexistent/libpkcs11.so\"";
    deployment.configure(module, absent)?;
    let said = refused_start(&mut deployment, 1).await?;
    must_say(
        &said,
        &["/nonexistent/libpkcs11.so", "check `module` under [hsm]"],
    );
    let text = format!("module = \"{}\"", deployment.directory().config().display());
    deployment.configure(absent, &text)?;
    must_say(
        &refused_start(&mut deployment, 1).await?,
        &["check `module` under [hsm]"],
    );
    deployment.configure(&text, module)?;

    // A secret that is not there is a mistake in the configuration.
    let hidden = alfa.with_extension("hidden");
    fs::rename(&alfa, &hidden)?;
    let said = refused_start(&mut deployment, EX_USAGE).await?;
    must_say(&said, &["pin_file", "pins/alfa"]);
    fs::rename(&hidden, &alfa)?;

    deployment.start().await?;
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn a_store_that_cannot_be_used_stops_the_start() -> Result<(), Failure> {
    let mut deployment = prepare()?;
    let (database, kept) = (
        deployment.database(),
        deployment.database().with_extension("kept"),
    );
    fs::rename(&database, &kept)?;
    let said = refused_start(&mut deployment, 1).await?;
    must_say(&said, &["signer.db does not exist", "migrate"]);

    fs::write(&database, "")?;
    must_say(
        &refused_start(&mut deployment, 1).await?,
        &["version 0", "migrate"],
    );

    fs::write(
        &database,
        "this is no database, it is a letter to whom it may concern".repeat(99),
    )?;
    must_say(
        &refused_start(&mut deployment, 1).await?,
        &["the store", "not a database"],
    );

    // A newer program has been here.
    for path in ["signer.db-wal", "signer.db-shm"] {
        let beside = deployment.directory().path().join(path);
        assert!(!beside.exists(), "{}", beside.display());
    }
    fs::copy(&kept, &database)?;
    Connection::open(&database)?.pragma_update(None, "user_version", 1_000)?;
    let said = refused_start(&mut deployment, 1).await?;
    must_say(&said, &["version 1000"]);
    let said = deployment.run(&["migrate"]).unwrap_err().to_string();
    must_say(&said, &["version 1000"]);

    fs::rename(&kept, &database)?;
    deployment.start().await?;
    recheck(&mut deployment).await?;
    Ok(())
}

/// The same command as a process that can write no file longer than this, and gets errors for it, not a signal.
fn limited(command: &Command, kib: u32) -> Command {
    let mut limited = Command::new("sh");
    // POSIX counts in blocks of 512 octets.
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"",
            "sh",
        ])
        .arg((kib * 2).to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

#[tokio::test]
async fn a_disk_that_takes_no_more_loses_nothing() -> Result<(), Failure> {
    let mut deployment = prepare()?;
    deployment.load_next("policy", "alfa", 2, |policy| {
        policy.replace("orders_per_day = 50", "orders_per_day = 100000")
    })?;
    let size = fs::metadata(deployment.database())?.len();
    let signer = limited(&deployment.signer()?, u32::try_from(size / 1024)? + 1024);
    deployment.start_with(signer).await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;

    let mut answered = Vec::new();
    let unwritten = until("the disk to be full", LONG_ENOUGH, async || {
        let order = customer::order("0.01", "CNY")?;
        let ask = customer.asks(&order)?;
        match callers.alfa_payments.cosign_order(ask.clone()).await {
            Ok(answer) => {
                answered.push((order, ask, answer));
                Ok(None)
            }
            refused => {
                rows::DISK_FULL.refuses(refused)?;
                Ok(Some(ask))
            }
        }
    })
    .await?;
    assert!(answered.len() > 3, "{}", answered.len());
    let unwritten_phone = Phone::new()?;
    let enrolment = customer::enrolment(&unwritten_phone, &pseudonym())?;
    let enrolled = callers
        .mobilis_enrolment
        .enroll_device(enrolment.clone())
        .await;
    rows::DISK_FULL.refuses(enrolled)?;
    // The last octets may take something as small as the health's own write, but not for long.
    until("the health to say so", LONG_ENOUGH, async || {
        Ok((!deployment.is_healthy().await).then_some(()))
    })
    .await?;
    // What is done is still answered.
    for (order, ask, answer) in &answered {
        assert_eq!(
            callers.alfa_payments.cosign_order(ask.clone()).await?,
            *answer
        );
        let found = customer.standing(&callers.alfa_payments, order).await?;
        assert_eq!(
            found.authorization_jws.as_ref(),
            Some(&answer.authorization_jws)
        );
    }
    deployment.stop().await?;

    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;
    for (_, ask, answer) in &answered {
        assert_eq!(
            callers.alfa_payments.cosign_order(ask.clone()).await?,
            *answer
        );
    }
    callers.alfa_payments.cosign_order(unwritten).await?;
    let mut phone = unwritten_phone;
    phone.take_certificate(&callers.mobilis_enrolment.enroll_device(enrolment).await?)?;
    assert_eq!(stored::count(&deployment, "authorization", "PENDING")?, 0);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(
        (checked.authorizations, checked.unsigned),
        (answered.len() + 1, 0)
    );
    Ok(())
}
