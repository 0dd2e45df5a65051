//! The environment of the PKCS#11 module: it stands in the configuration, and whatever the service was started with, the
//! module finds that and nothing else in its worker process.

use std::{fs, process::Command};

use e2e::{
    customer::Customer, deployment::Deployment, failure::Failure, recheck::recheck, story::Callers,
    workers,
};
use softhsm_setup::scheme::Scheme;

const SOFTHSM: &str = "SOFTHSM2_CONF";
/// EX_USAGE of sysexits.h.
const MISTAKEN: i32 = 64;

/// A deployment whose configuration says these variables.
fn with_environment(variables: &str) -> Result<Deployment, Failure> {
    let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let text = fs::read_to_string(deployment.directory().config())?;
    let text = text
        .split_once("[hsm.environment]\n")
        .map_or(text.clone(), |(before, after)| {
            let rest = after.split_once("\n[").map_or("", |(_, rest)| rest);
            format!("{before}[{rest}")
        });
    let text = format!("{text}\n[hsm.environment]\n{variables}\n");
    fs::write(deployment.directory().config(), text)?;
    Ok(deployment)
}

/// One with the tokens' own variable.
fn deployment() -> Result<Deployment, Failure> {
    let deployment = with_environment("")?;
    let conf = deployment.directory().softhsm_configuration();
    let line = format!("[hsm.environment]\n{SOFTHSM} = \"{}\"", conf.display());
    deployment.configure("[hsm.environment]\n", &line)?;
    Ok(deployment)
}

/// It serves, its worker processes have these variables alone, and a signal to it ends it well.
async fn demand_service(mut deployment: Deployment, command: Command) -> Result<(), Failure> {
    deployment.start_with(command).await?;
    let callers = Callers::connect(&deployment).await?;
    Customer::enrolled_by(&callers.mobilis_enrolment).await?;
    let pid = deployment.server()?.pid().as_raw_nonzero();
    let workers = workers::of(pid)?;
    assert_eq!(workers.len(), 3, "one for each institution");
    let conf = deployment.directory().softhsm_configuration();
    for worker in workers.values() {
        let variables = fs::read_to_string(format!("/proc/{worker}/environ"))?;
        assert_eq!(variables, format!("{SOFTHSM}={}\0", conf.display()));
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.certificates, 1);
    deployment.stop().await
}

#[tokio::test]
async fn the_module_finds_the_variables_that_the_configuration_names() -> Result<(), Failure> {
    let deployment = deployment()?;
    let mut bare = deployment.signer()?;
    bare.env_remove(SOFTHSM);
    demand_service(deployment, bare).await
}

#[tokio::test]
async fn the_configuration_outdoes_what_the_service_was_started_with() -> Result<(), Failure> {
    let deployment = deployment()?;
    // As `softhsm_setup` would leave it in a shell that has set up another scheme before.
    let mut other = deployment.signer()?;
    other.env(SOFTHSM, "/no/such/file");
    demand_service(deployment, other).await
}

#[tokio::test]
async fn a_pin_by_a_descriptor_reaches_no_other_process() -> Result<(), Failure> {
    let deployment = deployment()?;
    deployment.configure("pin_file = \"pins/alfa\"", "pin_fd = 3")?;
    let pin = deployment.directory().pin(&"alfa".parse().unwrap());
    let signer = deployment.signer()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<\"$0\"; rm \"$0\"; exec \"$@\""])
        .arg(pin)
        .arg(signer.get_program())
        .args(signer.get_args())
        .env_remove(SOFTHSM);
    let mut deployment = deployment;
    deployment.start_with(command).await?;
    let service = deployment.server()?.pid().as_raw_nonzero().get();
    // The service was started with it; those of its worker processes are standard ones, the socket's and the module's own.
    assert!(fs::read_link(format!("/proc/{service}/fd/3"))?.ends_with("alfa (deleted)"));
    for (institution, worker) in workers::of(deployment.server()?.pid().as_raw_nonzero())? {
        for entry in fs::read_dir(format!("/proc/{worker}/fd"))? {
            let target = fs::read_link(entry?.path())?.display().to_string();
            assert!(!target.contains("/pins/"), "{institution}: {target}");
        }
    }
    recheck(&mut deployment).await?;
    deployment.stop().await
}

#[tokio::test]
async fn what_is_no_variable_is_told_with_all_other_mistakes() -> Result<(), Failure> {
    let deployment = with_environment("\"A=B\" = \"x\"\nLD_PRELOAD = \"x\"\nEMPTY = \"\"")?;
    deployment.configure("threads = 2", "threads = 0")?;
    for arguments in [&[][..], &["--check-config"]] {
        let output = deployment.signer()?.args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(MISTAKEN), "{said}");
        assert!(said.contains("has 4 mistakes"), "{said}");
        for key in ["A=B", "LD_PRELOAD", "EMPTY"] {
            assert!(said.contains(&format!("hsm.environment.{key}: ")), "{said}");
        }
        assert!(said.contains("hsm.threads: "), "{said}");
    }
    // What does not touch the module does not ask for its environment.
    let shown = deployment.run(&["policy", "show", "alfa"])?;
    assert!(shown.contains("institution = \"alfa\""), "{shown}");
    Ok(())
}
