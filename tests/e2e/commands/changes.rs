//! `change` and `custodian`: what two custodians do at two desks, and what one cannot do alone.

use std::{fs, os::unix::fs::PermissionsExt as _};

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck};
use serde_json::{Value, json};

use super::desk::{ALFA_AUDIT, ALFA_SECURITY, Desk};

/// A custodian of alfa, with the ceremony file and the approval key that were handed over.
pub(super) struct Person<'a> {
    desk: &'a Desk<'a>,
    pub(super) ceremony: String,
    key: String,
}

impl<'a> Person<'a> {
    pub(super) fn new(
        deployment: &Deployment,
        desk: &'a Desk<'a>,
        person: &str,
    ) -> Result<Self, Failure> {
        let alfa = "alfa".parse().map_err(Failure::during("alfa"))?;
        let name = person.parse().map_err(Failure::during(person))?;
        let directory = deployment.directory();
        let ceremony = format!("{person}-ceremony.json");
        fs::copy(directory.ceremony(&alfa), desk.terminal.path(&ceremony))?;
        let key = directory.approval_key(&alfa, &name).display().to_string();
        Ok(Self {
            desk,
            ceremony,
            key,
        })
    }

    /// `change LINE`, without a signature.
    pub(super) fn looks(&self, line: &str, code: i32) -> Result<Value, Failure> {
        let line = format!("change {line} --ceremony {}", self.ceremony);
        self.desk.json(ALFA_SECURITY, &line, code)
    }

    fn signing(&self, line: &str) -> String {
        let Self { ceremony, key, .. } = self;
        format!("change {line} --ceremony {ceremony} --approval-key {key}")
    }

    /// `change LINE`, signed.
    pub(super) fn signs(&self, line: &str, code: i32) -> Result<Value, Failure> {
        let line = format!("{} --yes", self.signing(line));
        self.desk.json(ALFA_SECURITY, &line, code)
    }
}

/// The name of a change that was answered.
pub(super) fn id(change: &Value) -> &str {
    change["change_id"].as_str().unwrap()
}

/// Alfa's policy with another limit, as its next version, in a file.
pub(super) fn next_policy(deployment: &Deployment, desk: &Desk<'_>) -> Result<(), Failure> {
    let alfa = "alfa".parse().map_err(Failure::during("alfa"))?;
    let policy = fs::read_to_string(deployment.directory().policy(&alfa))?;
    let next = policy.replacen("version = 1", "version = 2", 1).replacen(
        "EUR = \"150.00\"",
        "EUR = \"200.00\"",
        1,
    );
    desk.terminal.write("policy-2.toml", next)
}

#[tokio::test]
async fn two_custodians_change_what_one_cannot() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let anna = Person::new(&deployment, &desk, "anna-berg")?;
    let boris = Person::new(&deployment, &desk, "boris-chan")?;
    next_policy(&deployment, &desk)?;
    let nothing_signed = nobody_is_asked(&anna)?;
    let proposed = anna.signs("propose policy policy-2.toml", 0)?;
    assert_eq!(
        (
            &proposed["state"],
            &proposed["missing"],
            &proposed["approved"]
        ),
        (&json!("PENDING"), &json!(1), &json!(["anna-berg"])),
        "{nothing_signed}"
    );
    one_is_not_enough(&desk, &anna, id(&proposed))?;
    let approved = boris.signs(&format!("approve {}", id(&proposed)), 0)?;
    assert_eq!(
        (
            &approved["state"],
            &approved["approved"],
            &approved["sequence"]
        ),
        (
            &json!("EXECUTED"),
            &json!(["anna-berg", "boris-chan"]),
            &json!(2)
        )
    );
    assert_eq!(approved["diff"], proposed["diff"]);
    assert_eq!(desk.json(ALFA_AUDIT, "policy show", 0)?["version"], 2);
    keys_and_files(&desk, &anna, &boris)?;
    what_was_executed_verifies_anywhere(&desk, &boris, id(&proposed))?;
    all_is_registered(&desk, &anna)?;
    a_rotation_is_planned_and_called_off(&desk, &anna, &boris)?;
    recheck(&mut deployment).await?;
    Ok(())
}

/// Without a terminal and without --yes nothing is signed, whatever is asked for.
fn nobody_is_asked(anna: &Person<'_>) -> Result<String, Failure> {
    let line = anna.signing("propose policy policy-2.toml");
    let refused = anna.desk.json(ALFA_SECURITY, &line, 2)?;
    let said = refused["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("nothing was signed"), "{said}");
    let listed = anna.looks("list --all", 0)?;
    assert_eq!(listed["changes"].as_array().map(Vec::len), Some(1));
    Ok(said)
}

/// What a proposal is shown as, and that one person's approvals are one.
fn one_is_not_enough(desk: &Desk<'_>, anna: &Person<'_>, id: &str) -> Result<(), Failure> {
    let again = anna.signs(&format!("approve {id}"), 0)?;
    assert_eq!(
        (&again["state"], &again["missing"]),
        (&json!("PENDING"), &json!(1))
    );
    assert_eq!(desk.json(ALFA_AUDIT, "policy show", 0)?["version"], 1);
    let shown = anna.looks(&format!("show {id}"), 0)?;
    let lines: Vec<&str> = shown["diff"].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[..2],
        ["--- policy version 1", "+++ policy version 2, as proposed"]
    );
    let changes = lines[2..]
        .iter()
        .filter(|line| line.starts_with(['-', '+']));
    assert_eq!(
        changes.copied().collect::<Vec<_>>(),
        [
            "-version = 1",
            "+version = 2",
            "-EUR = \"150.00\"",
            "+EUR = \"200.00\""
        ]
    );
    let said = desk.table(
        ALFA_SECURITY,
        &format!("change list --ceremony {}", anna.ceremony),
        0,
    )?;
    assert!(said.starts_with("CHANGE "), "{said}");
    assert!(said.contains("PENDING   policy 2 "), "{said}");
    assert!(
        said.contains("\nwaiting  1\nquorum   2 persons\n"),
        "{said}"
    );
    Ok(())
}

/// Keys that must not be used, and a ceremony of others.
fn keys_and_files(desk: &Desk<'_>, anna: &Person<'_>, boris: &Person<'_>) -> Result<(), Failure> {
    let made = desk.json(None, "custodian new-key mine.key", 0)?;
    assert!(
        made["public_key"]
            .as_str()
            .unwrap()
            .starts_with("-----BEGIN PUBLIC KEY-----\n")
    );
    desk.refused(None, "custodian new-key mine.key", 2, "usage", "")?;
    let with = |key: &str| {
        let Person { ceremony, .. } = anna;
        format!(
            "change propose suspend-key authorization --ceremony {ceremony} --approval-key {key} --yes"
        )
    };
    // Nobody's, open to others, the connection's own.
    let nobodys = desk.refused(ALFA_SECURITY, &with("mine.key"), 2, "usage", "")?;
    let kid = made["kid"].as_str().unwrap();
    assert!(
        nobodys["message"].as_str().unwrap().contains(kid),
        "{nobodys}"
    );
    fs::copy(&boris.key, desk.terminal.path("open.key"))?;
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(desk.terminal.path("open.key"), open)?;
    let refused = desk.refused(ALFA_SECURITY, &with("open.key"), 2, "usage", "")?;
    assert!(
        refused["message"].as_str().unwrap().contains("chmod 600"),
        "{refused}"
    );
    let files = desk.files(ALFA_SECURITY)?.expect("a caller");
    let tls = files.key.display().to_string();
    let refused = desk.refused(ALFA_SECURITY, &with(&tls), 2, "usage", "")?;
    assert!(
        refused["message"].as_str().unwrap().contains("TLS"),
        "{refused}"
    );
    // In an emergency one person is enough, to go on it takes two.
    let suspended = boris.signs("propose suspend-key authorization", 0)?;
    assert_eq!(
        (&suspended["state"], &suspended["sequence"]),
        (&json!("EXECUTED"), &json!(3))
    );
    let refused = anna.signs("propose suspend-key authorization", 2)?;
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("suspend-key is not possible in state"),
        "{said}"
    );
    let resumed = anna.signs("propose resume-key authorization", 0)?;
    assert_eq!(resumed["state"], "PENDING");
    let resumed = boris.signs(&format!("approve {}", id(&resumed)), 0)?;
    assert_eq!(
        (&resumed["state"], &resumed["sequence"]),
        (&json!("EXECUTED"), &json!(4))
    );
    // What has ended is decided no more.
    boris.signs(&format!("reject {}", id(&resumed)), 2)?;
    Ok(())
}

/// Change files say the same without the service.
fn what_was_executed_verifies_anywhere(
    desk: &Desk<'_>,
    boris: &Person<'_>,
    policy: &str,
) -> Result<(), Failure> {
    let listed = boris.looks("list", 0)?;
    let changes = listed["changes"].as_array().unwrap();
    let mut files = vec![boris.ceremony.clone()];
    for change in changes.iter().rev().skip(1) {
        let name = format!("change-{}.json", change["sequence"]);
        let saved = boris.looks(&format!("export {} --out {name}", id(change)), 0)?;
        assert_eq!(saved["state"], "EXECUTED");
        files.push(name);
    }
    assert_eq!(files.len(), 4);
    let verified = desk.json(None, &format!("custodian verify {}", files.join(" ")), 0)?;
    assert_eq!(
        (&verified["institution"], &verified["sequence"]),
        (&json!("alfa"), &json!(4))
    );
    assert_eq!(verified["documents"][0]["document"], "policy");
    assert_eq!(verified["documents"][0]["version"], 2);
    // In another order, or with another's approvals, they are nothing.
    files.swap(1, 2);
    let line = format!("custodian verify {}", files.join(" "));
    desk.refused(None, &line, 6, "not_approved", "")?;
    let text = String::from_utf8(desk.terminal.read("change-2.json")?)?;
    let mut file: Value = serde_json::from_str(&text)?;
    let approvals = file["approvals"].as_array_mut().unwrap();
    assert_eq!(approvals.len(), 2, "{policy}");
    approvals.pop();
    desk.terminal.write("change-2.json", file.to_string())?;
    let line = format!("custodian verify {} change-2.json", boris.ceremony);
    desk.refused(None, &line, 6, "not_approved", "")?;
    Ok(())
}

fn all_is_registered(desk: &Desk<'_>, anna: &Person<'_>) -> Result<(), Failure> {
    let line = format!(
        "register export --csv register.csv --ceremony {}",
        anna.ceremony
    );
    let register = desk.json(ALFA_AUDIT, &line, 0)?;
    let entries = register["entries"].as_array().unwrap();
    let of = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!(
        (of("key"), of("token"), of("custodian"), of("document")),
        (3, 1, 3, 4)
    );
    assert!(of("certificate") >= 4 && of("caller") >= 4, "{register}");
    let keys = entries.iter().filter(|entry| entry["kind"] == "key");
    for key in keys {
        assert_eq!(key["state"], "active", "{key}");
        assert!(
            key["not_after"].as_i64() > key["not_before"].as_i64(),
            "{key}"
        );
    }
    let csv = String::from_utf8(desk.terminal.read("register.csv")?)?;
    assert_eq!(csv.matches("\r\n").count(), entries.len() + 1);
    assert!(csv.starts_with("kind,id,owner,purpose,state,not_before,not_after,detail\r\n"));
    desk.table(ALFA_AUDIT, &line, 0)?;
    Ok(())
}

/// The step that comes next, by `keys rotate`.
fn next_step(desk: &Desk<'_>, anna: &Person<'_>) -> Result<String, Failure> {
    let plan = desk.json(
        ALFA_AUDIT,
        &format!("keys rotate --ceremony {}", anna.ceremony),
        0,
    )?;
    let steps = plan["steps"].as_array().unwrap();
    let next = steps.iter().find(|step| step["state"] == "next");
    Ok(next.unwrap()["step"].as_str().unwrap().to_owned())
}

fn a_rotation_is_planned_and_called_off(
    desk: &Desk<'_>,
    anna: &Person<'_>,
    boris: &Person<'_>,
) -> Result<(), Failure> {
    assert_eq!(next_step(desk, anna)?, "the next key is made");
    let made = desk.json(
        ALFA_SECURITY,
        "keys create --purpose authorization --out next",
        0,
    )?;
    assert_eq!(next_step(desk, anna)?, "proposed");
    let rotation = "propose rotate-key authorization --certificate next/chain.pem --activate-at +1h --retire-at +2h";
    let proposed = anna.signs(rotation, 0)?;
    assert_eq!(proposed["operation"]["to"], made["key_id"]);
    assert_eq!(next_step(desk, anna)?, "approved");
    let shown = boris.looks(&format!("show {}", id(&proposed)), 0)?;
    let certificate = shown["certificate"].as_str().unwrap();
    assert!(certificate.starts_with("O=alfa, "), "{certificate}");
    let approved = boris.signs(&format!("approve {}", id(&proposed)), 0)?;
    assert_eq!(approved["state"], "EXECUTED");
    assert_eq!(next_step(desk, anna)?, "verifiers have its certificate");
    let to = made["key_id"].as_str().unwrap();
    let called_off = boris.signs(&format!("propose call-off-rotation {to}"), 0)?;
    let called_off = anna.signs(&format!("approve {}", id(&called_off)), 0)?;
    assert_eq!(called_off["state"], "EXECUTED");
    assert_eq!(next_step(desk, anna)?, "proposed");
    Ok(())
}
