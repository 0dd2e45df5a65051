//! The waves in which phones are certified anew: Ctrl-C ends them after the one that is under way, the service's rate limit holds
//! them up, and each phone gets one certificate all the same.

use e2e::{
    cluster::Cluster,
    deployment::{Deployment, limits::rate_limits},
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
};
use serde_json::Value;

use super::{
    desk::{Desk, steps},
    phones::Phones,
    replaced, so_many,
};

const PHONES: usize = 160;
/// So many are done when Ctrl-C is pressed.
const FIRST: i64 = 10;
/// What a run asks for before its waves, and less than a wave more.
const CALLER: &str = "{ burst = 30, requests = 5, seconds = 1 }";

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_a_rate_limit_lose_no_phone() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let mut deployment = Deployment::prepare(softhsm_setup::scheme::Scheme::EXAMPLE, &mut |_| {})?;
    deployment.keep_record_in(&cluster).await?;
    deployment.start().await?;
    let all = i64::try_from(PHONES)?;
    let _phones = Phones::of_alfa(&deployment, PHONES).await?;
    let desk = Desk::new(&deployment, "device-ca")?;
    desk.goes_on(0)?;
    desk.certified()?;
    let said = desk.goes_on(0)?;
    desk.approves(&said)?;

    let waves = desk.begins()?;
    so_many(&deployment, FIRST).await?;
    let said = waves.interrupted()?;
    let devices = &said["devices"];
    let done = replaced(&deployment).await?;
    assert!((FIRST..all).contains(&done), "{done}");
    let told = (&devices["now"], &devices["left"], &devices["stopped"]);
    let expected = (
        Value::from(done),
        Value::from(all - done),
        Value::from(true),
    );
    assert_eq!(told, (&expected.0, &expected.1, &expected.2));

    let table = rate_limits(&[("caller", CALLER)])?;
    deployment.load_next("policy", "alfa", 2, |text| {
        let mut policy: toml::Table = text.parse().unwrap();
        policy.insert("rate_limits".to_owned(), toml::Value::Table(table));
        toml::to_string(&policy).unwrap()
    })?;
    let said = desk.goes_on(0)?;
    let devices = &said["devices"];
    let told = (&devices["before"], &devices["now"], &devices["left"]);
    let expected = (Value::from(done), Value::from(all - done), Value::from(0));
    assert_eq!(told, (&expected.0, &expected.1, &expected.2));
    let labels = [("institution", "alfa"), ("scope", "caller")];
    let refused = Numbers::of(&deployment)?.count("semops_limit_refused_total", &labels);
    assert!(refused > 0, "it was to be held up");
    assert_eq!(replaced(&deployment).await?, all);
    assert_eq!(steps(&said)[5], "done");
    recheck(&mut deployment).await?;
    deployment.stop().await
}
