//! A person is erased to the last octet, once nothing of it is needed any more.

use std::{fs, path::PathBuf, process::Command};

use e2e::{
    clock::Hands,
    cluster::Cluster,
    customer::Customer,
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    terminal::{Said, Terminal},
};
use semops_proto::v1::{ReleaseDeviceRequest, RevocationReason};
use softhsm_setup::scheme::Role;

use super::{DAY, ORDERS, leaves, order, prepared};

/// What identifies the customer, as it stands in the record: two pseudonyms, and orders and authorizations with the payee.
fn traces(customer: &Customer, cosigned: &[String]) -> Vec<String> {
    let mut traces = vec![customer.subscriber.clone(), customer.account.clone()];
    for jws in cosigned {
        let parts = jws.split('.').skip(1);
        traces.extend(parts.map(str::to_owned));
    }
    traces
}

/// How many of these stand in the files of the record.
fn found(deployment: &Deployment, traces: &[String]) -> Result<usize, Failure> {
    let mut octets = Vec::new();
    for end in ["", "-wal"] {
        let file = PathBuf::from(format!("{}{end}", deployment.database().display()));
        octets.extend(fs::read(file).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&octets);
    Ok(traces.iter().filter(|trace| text.contains(*trace)).count())
}

/// `signer erase` by this clock.
fn erase(
    deployment: &Deployment,
    hands: &Hands,
    institution: &str,
    device: &str,
) -> Result<Said, Failure> {
    let mut command: Command = hands.of(deployment.signer()?);
    command.args(["erase", institution, device]);
    Terminal::new()?.run(&mut command)
}

fn refused(said: &Said, words: &str) {
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.contains(words), "{words}: {said:?}");
}

/// A customer with orders, of whom everything is to be erased; with what stands in the record of him.
async fn person(deployment: &Deployment) -> Result<(Customer, Vec<String>), Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let mut cosigned = Vec::new();
    for _ in 0..ORDERS {
        let answer = bank.cosign_order(customer.asks(&order(0)?)?).await?;
        cosigned.extend([answer.order_jws, answer.authorization_jws]);
    }
    let traces = traces(&customer, &cosigned);
    Ok((customer, traces))
}

/// What is to be done before a person is erased; each step is asked for.
async fn let_go(
    deployment: &Deployment,
    hands: &Hands,
    customer: &Customer,
) -> Result<(), Failure> {
    let device = customer.device_id();
    refused(
        &erase(deployment, hands, "mobilis", &device)?,
        "semopsctl revoke",
    );
    refused(
        &erase(deployment, hands, "alfa", &device)?,
        "semopsctl release",
    );
    refused(
        &erase(deployment, hands, "beta", &device)?,
        "compare both ids",
    );
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    let release = ReleaseDeviceRequest {
        device_id: device.clone(),
    };
    alfa.release_device(release).await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    customer
        .revoked_by(&mobilis, RevocationReason::CessationOfOperation)
        .await?;
    refused(
        &erase(deployment, hands, "alfa", &device)?,
        "limits of 24 hours",
    );
    Ok(())
}

#[tokio::test]
async fn a_person_is_erased_to_the_last_octet() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = prepared("")?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let (stays, _) = person(&deployment).await?;
    let (customer, traces) = person(&deployment).await?;
    assert_eq!(found(&deployment, &traces)?, traces.len());
    let_go(&deployment, &hands, &customer).await?;
    let before = leaves(&deployment)?;

    hands.set(DAY + 60)?;
    let device = customer.device_id();
    for (institution, words) in [
        ("alfa", format!("{ORDERS} orders and no pseudonym erased")),
        (
            "mobilis",
            "0 orders and the subscriber's pseudonym erased".to_owned(),
        ),
        ("alfa", "0 orders and no pseudonym erased".to_owned()),
    ] {
        let said = erase(&deployment, &hands, institution, &device)?;
        assert!(said.succeeded() && said.out.contains(&words), "{said:?}");
    }
    assert_eq!(found(&deployment, &traces)?, 0);
    assert_eq!(
        found(
            &deployment,
            &[stays.subscriber.clone(), stays.account.clone()]
        )?,
        2
    );
    // No event has changed, and it is told who was erased.
    let after = leaves(&deployment)?;
    assert_eq!(after[..before.len()], before);
    let erasures = after.iter().filter(|(_, leaf)| {
        let leaf = String::from_utf8_lossy(leaf);
        leaf.contains("\"operation\":\"erase\"") && leaf.contains(&device)
    });
    assert_eq!(erasures.count(), 2);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, ORDERS);
    Ok(())
}

#[tokio::test]
async fn on_a_database_nothing_goes_before_old_programs_are_shut_out() -> Result<(), Failure> {
    let (hands, cluster) = (Hands::new()?, Cluster::start()?);
    let mut deployment = prepared("")?;
    deployment.keep_record_in(&cluster).await?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let (customer, traces) = person(&deployment).await?;
    let dump = || -> Result<String, Failure> {
        let mut program = cluster.program("pg_dumpall")?;
        let output = program.arg("--inserts").output()?;
        assert!(output.status.success(), "{output:?}");
        // Octets stand there in hexadecimal digits.
        Ok(String::from_utf8(output.stdout)?)
    };
    let found = |dump: &str| {
        let hex = |trace: &String| {
            trace
                .bytes()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        let stands = |trace: &&String| dump.contains(*trace) || dump.contains(&hex(trace));
        traces.iter().filter(stands).count()
    };
    assert_eq!(found(&dump()?), traces.len());
    let device = customer.device_id();
    refused(
        &erase(&deployment, &hands, "alfa", &device)?,
        "migrate --contract",
    );
    let told = deployment.run(&["migrate", "--contract"])?;
    assert!(told.contains("no older program serves it"), "{told}");
    let_go(&deployment, &hands, &customer).await?;
    // The clocks of both would be apart: time passes for the record instead.
    let day = "WITH moved AS (UPDATE cosigned_order SET reserved_at = reserved_at - 86400000000 RETURNING 1) SELECT count(*) FROM moved";
    assert_eq!(usize::try_from(deployment.count(day).await?)?, ORDERS);
    for institution in ["alfa", "mobilis"] {
        let said = erase(&deployment, &hands, institution, &device)?;
        assert!(said.succeeded(), "{said:?}");
    }
    assert_eq!(found(&dump()?), 0);
    recheck(&mut deployment).await.map(drop)
}
