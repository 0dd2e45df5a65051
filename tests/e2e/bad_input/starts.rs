//! What keeps the service from starting is said with the way out, and the start is good once that is followed.

use std::fs;

use e2e::{
    deployment::{Deployment, process::Process},
    failure::Failure,
    recheck::recheck,
    token::{self, Aside},
};
use softhsm_setup::scheme::Scheme;

use super::{row::Row, rows::starts as rows};

fn prepare() -> Result<Deployment, Failure> {
    Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})
}

/// Starts it, and demands that it ends with this row before it serves; what it said.
async fn refused(deployment: &Deployment, row: &Row) -> Result<String, Failure> {
    let before = deployment.log().len();
    let mut process: Process = deployment.spawn(deployment.signer()?)?;
    let status = process.wait().await?;
    let said = deployment.log().split_off(before);
    row.ends(status.code(), &said)?;
    assert!(!said.contains("serving gRPC"), "{said}");
    Ok(said)
}

/// The mistake put right, it serves; and whatever was tried, nothing is in the record.
async fn good_start(mut deployment: Deployment) -> Result<(), Failure> {
    deployment.start().await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_wrong_pin() -> Result<(), Failure> {
    let deployment = prepare()?;
    let file = deployment.directory().pin(&"alfa".parse()?);
    let good = fs::read(&file)?;
    fs::write(&file, "31415926\n")?;
    assert!(!token::pin_count_low(&deployment, "alfa")?);
    let said = refused(&deployment, &rows::WRONG_PIN).await?;
    // Sent, and its one failure is the only one.
    assert!(token::pin_count_low(&deployment, "alfa")?);
    assert_eq!(said.matches("CKR_PIN_INCORRECT").count(), 1, "{said}");
    assert!(!said.contains("31415926"), "{said}");
    for other in ["beta", "mobilis"] {
        assert!(!token::pin_count_low(&deployment, other)?, "{other}");
    }
    fs::write(&file, &good)?;
    good_start(deployment).await
}

#[tokio::test]
async fn a_missing_module_or_token() -> Result<(), Failure> {
    let deployment = prepare()?;
    let config = fs::read_to_string(deployment.directory().config())?;
    let module = config.lines().find(|line| line.starts_with("module = "));
    let module = module.unwrap_or_default();
    let absent = "module = \"/nonexistent/libpkcs11.so\"";
    deployment.configure(module, absent)?;
    refused(&deployment, &rows::MISSING_MODULE).await?;
    deployment.configure(absent, module)?;
    deployment.configure("token = \"beta\"", "token = \"gamma\"")?;
    refused(&deployment, &rows::MISSING_TOKEN).await?;
    deployment.configure("token = \"gamma\"", "token = \"beta\"")?;
    good_start(deployment).await
}

#[tokio::test]
async fn an_extractable_key() -> Result<(), Failure> {
    let deployment = prepare()?;
    assert_eq!(token::set_extractable(&deployment, "alfa", true)?, 3);
    refused(&deployment, &rows::EXTRACTABLE_KEY).await?;
    token::set_extractable(&deployment, "alfa", false)?;
    good_start(deployment).await
}

#[tokio::test]
async fn an_unknown_configuration_key() -> Result<(), Failure> {
    let deployment = prepare()?;
    deployment.configure("threads = 2", "threads = 2\nsessions = 3")?;
    refused(&deployment, &rows::UNKNOWN_KEY).await?;
    deployment.configure("sessions = 3\n", "")?;
    good_start(deployment).await
}

#[tokio::test]
async fn no_store() -> Result<(), Failure> {
    let deployment = prepare()?;
    let aside = Aside::moved(deployment.database())?;
    refused(&deployment, &rows::STORE_MISSING).await?;
    assert!(!deployment.database().exists());
    drop(aside);
    good_start(deployment).await
}
