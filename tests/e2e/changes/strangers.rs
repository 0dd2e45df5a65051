//! Approvals by a JOSE library that is not ours count, and ours verify there.

use std::{fs, path::Path};

use e2e::{deployment::Deployment, failure::Failure, programs, recheck::recheck};
use semops_objects::change::DocumentKind;
use semops_proto::v1::{self, ChangeState};
use softhsm_setup::scheme::Role;

use super::desk::{policy, stands};

/// Runs a script in a folder; gives what it says.
fn python(folder: &Path, script: &str, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = programs::python()?;
    command.args(["-c", script]).args(arguments);
    let output = command.current_dir(folder).output()?;
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_jose_library_of_others_approves_and_verifies() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = deployment.client("alfa", Role::Custodian).await?;
    let [anna, boris, _] = deployment.custodians("alfa")?.try_into().unwrap();
    let motion = policy(&deployment, 2, "2.00")?;
    desk.propose_change(anna.proposes(&motion)?).await?;

    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("proposal.json"), motion.proposal.bytes())?;
    let key = deployment
        .directory()
        .approval_key(&boris.institution, &boris.person);
    let arguments = [
        &*key.to_string_lossy(),
        "proposal.json",
        boris.person.as_str(),
    ];
    let ask = v1::ApproveChangeRequest {
        change_id: motion.change_id(),
        approval: python(folder.path(), include_str!("approve.py"), &arguments)?,
    };
    let approved = desk.approve_change(ask).await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));

    let shown = desk.get_change(motion.request()).await?.change.unwrap();
    let approvals = serde_json::to_string(&shown.approvals)?;
    fs::write(folder.path().join("approvals.json"), approvals)?;
    fs::write(folder.path().join("proposal.json"), &shown.proposal)?;
    let register = deployment
        .directory()
        .first_document(&anna.institution, DocumentKind::Custodians);
    fs::copy(register, folder.path().join("custodians.toml"))?;
    let said = python(folder.path(), include_str!("verify.py"), &[])?;
    assert_eq!(said, "anna-berg approve\nboris-chan approve\n");
    recheck(&mut deployment).await?;
    deployment.stop().await
}
