//! The demo: sets up a scheme, runs the real service, plays the main job over mutual TLS, leaves evidence, and verifies it
//! as a stranger would, without our code.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use e2e::{
    deployment::Deployment,
    evidence,
    failure::Failure,
    programs::{self, Watched},
    story::{self, Narrator},
    stranger,
};
use softhsm_setup::scheme::Scheme;

const USAGE: &str =
    "usage: demo [FOLDER]   evidence is left in FOLDER, by default demo-evidence in the workspace";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let folder = match (arguments.next(), arguments.next()) {
        (None, _) => programs::workspace().join("demo-evidence"),
        (Some(folder), None) if !folder.to_string_lossy().starts_with('-') => PathBuf::from(folder),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match demo(&folder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\ndemo FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(evidence: &Path) -> Result<(), Failure> {
    // Before anybody waits for anything.
    evidence::earlier(evidence)?;
    let narrator = Narrator::aloud();
    narrator.say("One payment, from the key in a phone to a stranger's check. Alfa and beta are banks, mobilis is a mobile");
    narrator
        .say("network operator; each has its keys in an HSM token of its own (here SoftHSM).\n");
    narrator.note("cargo builds signer, softhsm-setup and semopsctl");
    programs::ours(Watched::Yes)?;
    // Looked for now, so that nobody waits for the end to hear what is missing.
    programs::openssl()?;
    programs::python()?;
    narrator
        .note("a scheme is set up in a fresh folder: three hierarchies, each with its own root");
    let mut deployment = Deployment::prepare_limited(Scheme::EXAMPLE, &mut |step| {
        // Of a caller there is nothing to say but its name.
        if !step.starts_with("caller: ") {
            narrator.note(&format!("  {step}"));
        }
    })?;
    let played = play(&mut deployment, &narrator, evidence).await;
    if played.is_err() {
        let kept = deployment.keep();
        narrator.note(&format!(
            "the scheme, with the signer's log, is kept in {}",
            kept.display()
        ));
    }
    played
}

async fn play(
    deployment: &mut Deployment,
    narrator: &Narrator,
    folder: &Path,
) -> Result<(), Failure> {
    narrator
        .step("the signer starts and opens its tokens", async {
            deployment.start().await?;
            Ok(((), format!("healthy on {}", deployment.scheme().grpc())))
        })
        .await?;
    let evidence = story::play(deployment, narrator).await?;
    narrator
        .step("the signer drains and ends", async {
            deployment.stop().await?;
            Ok(((), "exit code 0".to_owned()))
        })
        .await?;
    evidence.write(folder)?;
    narrator.note(&format!("evidence is in {}\n", folder.display()));
    verify(narrator, folder)
}

/// Runs the stranger's lines, shows what they say, and prints them ready to paste.
fn verify(narrator: &Narrator, folder: &Path) -> Result<(), Failure> {
    narrator.note("a stranger verifies it with openssl and Python, without our code:");
    for outcome in stranger::run(stranger::LINES, folder)? {
        for line in &outcome.said {
            narrator.say(&format!("            {line}"));
        }
        if !outcome.as_expected() {
            let what = format!(
                "this did not come out as it must:\n{}\n{}",
                outcome.step.why, outcome.step.command
            );
            return Err(Failure::new(format!(
                "{what}\nexit code {:?}",
                outcome.code
            )));
        }
    }
    narrator.note("all as it must be. Do it yourself: paste this into bash. What follows #> is what each line says.");
    narrator.say(&format!("\ncd {}\n", folder.display()));
    narrator.say(stranger::LINES);
    Ok(())
}
