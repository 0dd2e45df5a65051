//! `devices`: what an issuer and an acceptor list, filtered, cut and whole.

use std::collections::BTreeSet;

use e2e::{customer::Customer, deployment::Deployment, failure::Failure, recheck::recheck};
use semops_proto::v1::RevocationReason;
use serde_json::Value;
use softhsm_setup::scheme::Role;

use super::desk::{ALFA, ALFA_AUDIT, ALFA_RA, BETA, Caller, Desk, MOBILIS, fits};

/// Enrolled by mobilis; accepted by alfa, the first of them; and one revoked.
const ENROLLED: usize = 5;
const ACCEPTED: usize = 3;
const REVOKED: usize = 1;

async fn customers(deployment: &Deployment) -> Result<Vec<Customer>, Failure> {
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    let mut customers = Vec::new();
    for number in 0..ENROLLED {
        let customer = Customer::enrolled_by(&mobilis).await?;
        if number < ACCEPTED {
            customer.accepted_by(&alfa).await?;
        }
        customers.push(customer);
    }
    let lost = RevocationReason::KeyCompromise;
    customers[REVOKED].revoked_by(&mobilis, lost).await?;
    Ok(customers)
}

/// The ids that `devices LINE` lists, in its order.
fn listed(desk: &Desk<'_>, caller: Caller, line: &str) -> Result<(Vec<String>, Value), Failure> {
    let json = desk.json(caller, &format!("devices {line}"), 0)?;
    let devices = json["devices"].as_array().unwrap().iter();
    let ids = devices.map(|device| device["device_id"].as_str().unwrap().to_owned());
    Ok((ids.collect(), json["complete"].clone()))
}

#[tokio::test]
async fn devices_are_listed_filtered_and_fit_the_terminal() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customers = customers(&deployment).await?;
    let desk = Desk::new(&deployment)?;
    let ids = |these: &[Customer]| -> Vec<String> {
        let ids: BTreeSet<_> = these.iter().map(Customer::device_id).collect();
        ids.into_iter().collect()
    };
    let (all, accepted) = (ids(&customers), ids(&customers[..ACCEPTED]));
    let revoked = ids(&customers[REVOKED..=REVOKED]);
    let (subscriber, account) = (&customers[2].subscriber, &customers[0].account);
    let whole = Value::from(true);
    let cases = [
        (MOBILIS, "--issued".to_owned(), all.clone()),
        (MOBILIS, "--issued --all".to_owned(), all.clone()),
        (MOBILIS, "--issued --status revoked".to_owned(), revoked),
        (MOBILIS, "--issued --status expired".to_owned(), Vec::new()),
        (
            MOBILIS,
            format!("--issued --subscriber {subscriber}"),
            ids(&customers[2..=2]),
        ),
        (MOBILIS, "--accepted".to_owned(), Vec::new()),
        (ALFA, "--accepted".to_owned(), accepted),
        (
            ALFA_RA,
            format!("--accepted --account {account} --status active"),
            ids(&customers[..1]),
        ),
        (BETA, "--accepted".to_owned(), Vec::new()),
    ];
    for (caller, line, expected) in cases {
        let found = listed(&desk, caller, &line)?;
        assert_eq!(found, (expected, whole.clone()), "{caller:?} {line}");
    }
    let (first, complete) = listed(&desk, MOBILIS, "--issued --limit 2")?;
    assert_eq!((&first[..], complete), (&all[..2], Value::from(false)));
    let (exactly, complete) = listed(&desk, MOBILIS, "--issued --limit 5")?;
    assert_eq!((&exactly, complete), (&all, whole));

    tables(&desk, &customers)?;
    refusals(&desk)?;
    recheck(&mut deployment).await?;
    Ok(())
}

fn tables(desk: &Desk<'_>, customers: &[Customer]) -> Result<(), Failure> {
    let said = desk.table(MOBILIS, "devices --issued", 0)?;
    assert!(said.starts_with("DEVICE   "), "{said}");
    assert!(
        said.ends_with(&format!("\ndevices  {ENROLLED}\n")),
        "{said}"
    );
    let revoked = format!("\n{}  REVOKED  ", customers[REVOKED].device_id());
    assert!(said.contains(&revoked), "{said}");
    let said = desk.table(MOBILIS, "devices --issued --limit 1", 0)?;
    assert!(said.contains("\nnext     the list goes on: "), "{said}");
    let said = desk.table(ALFA, "devices --accepted", 0)?;
    assert!(said.contains("  ACCOUNT "), "{said}");

    let account = &customers[0].account;
    let wide = desk.types_within(200, ALFA, "devices --accepted")?;
    assert!(wide.out.contains(account.as_str()), "{wide:?}");
    let narrow = desk.types_within(40, ALFA, "devices --accepted")?;
    assert!(narrow.succeeded() && narrow.out.contains('…'), "{narrow:?}");
    fits(&narrow.out, 40);
    Ok(())
}

fn refusals(desk: &Desk<'_>) -> Result<(), Failure> {
    let told = desk.refused(
        ALFA_AUDIT,
        "devices --issued",
        1,
        "refused",
        "ROLE_NOT_ALLOWED",
    )?;
    let way_out = told["way_out"].as_str().unwrap();
    assert!(way_out.contains("names the roles"), "{way_out}");
    let line = "devices --issued --subscriber 12";
    let told = desk.refused(MOBILIS, line, 1, "refused", "INVALID_FIELD")?;
    assert_eq!(told["violations"][0]["field"], "subscriber_reference");
    for line in [
        "devices",
        "devices --issued --accepted",
        "devices --issued --account x",
        "devices --accepted --subscriber x",
        "devices --issued --limit 0",
        "devices --issued --limit 3 --all",
        "devices --issued --status lost",
    ] {
        let error = &desk.json(MOBILIS, line, 2)?["error"];
        assert_eq!(error["kind"], "usage", "{line}: {error}");
    }
    Ok(())
}
