//! The guides: every command in them is run as it stands there, in the directory of a scheme that is served, and says what
//! the guide says it says.

use std::{env, ffi::OsString, fs, path::Path};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
    stranger,
};

/// Where the part of `first-calls.md` begins that needs a program that `.ci/run` fetches.
const BUF: &str = "## buf curl";

/// Where `tokens.md` has the service started again.
const RESTART: &str = "and restarts the service.";

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_a_bank() -> Result<(), Failure> {
    follow(&guide("bank")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_a_mobile_network_operator() -> Result<(), Failure> {
    follow(&guide("mno")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_a_security_team() -> Result<(), Failure> {
    follow(&guide("security-team")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_custodians() -> Result<(), Failure> {
    follow(&guide("custodians")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_a_key_that_others_may_know() -> Result<(), Failure> {
    follow(&guide("compromise")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_an_auditor() -> Result<(), Failure> {
    follow(&guide("auditor")?).await
}

/// The service is started again where the guide says it.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_several_tokens() -> Result<(), Failure> {
    let guide = guide("tokens")?;
    let (before, after) = guide.split_once(RESTART).unwrap();
    let mut deployment = Deployment::new().await?;
    run(&deployment, before).await?;
    deployment.restart().await?;
    run(&deployment, after).await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_calls_with_python() -> Result<(), Failure> {
    programs::python_grpc()?;
    let guide = guide("first-calls")?;
    let (python, _) = guide.split_once(BUF).unwrap();
    follow(python).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs buf on the PATH: .ci/run fetches it and runs this"]
async fn the_first_calls_with_buf_curl() -> Result<(), Failure> {
    let guide = guide("first-calls")?;
    let (_, buf) = guide.split_once(BUF).unwrap();
    follow(buf).await
}

/// Every guide is executed (the lines of `bench.md` and `soak.md` by those commands' own tests), and every relative link in
/// one leads somewhere.
#[test]
fn no_guide_is_left_out() -> Result<(), Failure> {
    let folder = programs::workspace().join("signer/docs");
    let mut guides = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let local = link.split('#').next().unwrap_or_default();
            let leads = link.contains("://") || folder.join(local).exists();
            assert!(leads, "{}: {link}", path.display());
        }
        if !blocks(&text).is_empty() {
            guides.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    guides.sort();
    assert_eq!(
        guides,
        [
            "auditor",
            "bank",
            "bench",
            "compromise",
            "custodians",
            "first-calls",
            "mno",
            "security-team",
            "soak",
            "tokens"
        ]
    );
    Ok(())
}

fn guide(name: &str) -> Result<String, Failure> {
    let path = programs::workspace().join(format!("signer/docs/{name}.md"));
    Ok(fs::read_to_string(path)?)
}

/// What stands in the fenced blocks of shell, one after the other.
fn blocks(guide: &str) -> String {
    let fenced = guide.split("```").skip(1).step_by(2);
    let shell: Vec<&str> = fenced
        .filter_map(|block| block.strip_prefix("sh\n"))
        .collect();
    shell.join("\n")
}

/// Runs what the guide says, and re-checks the record.
async fn follow(guide: &str) -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    run(&deployment, guide).await?;
    recheck(&mut deployment).await.map(drop)
}

/// Runs what this part of a guide says.
async fn run(deployment: &Deployment, guide: &str) -> Result<(), Failure> {
    let folder = deployment.directory().path().to_owned();
    let lines = blocks(guide);
    assert!(!lines.is_empty(), "nothing to follow");
    let outcomes = {
        let environment = environment()?;
        tokio::task::spawn_blocking(move || stranger::run_in(&lines, &folder, &environment))
            .await
            .expect("no panic")?
    };
    for outcome in &outcomes {
        assert!(outcome.as_expected(), "{outcome:#?}");
    }
    Ok(())
}

/// Our programs are found as their users find them.
fn environment() -> Result<Vec<(&'static str, OsString)>, Failure> {
    let programs = programs::ours(Watched::No)?;
    let ours = programs.semopsctl.parent().map(Path::to_owned);
    let before = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(ours.into_iter().chain(env::split_paths(&before)));
    Ok(vec![
        ("PATH", path.expect("no colon in a path of ours")),
        ("REPOSITORY", programs::workspace().as_os_str().to_owned()),
    ])
}
