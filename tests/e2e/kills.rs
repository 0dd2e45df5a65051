//! The service dies at every point of its use cases, under load: what was answered is answered the same again, what was
//! not is answered by the retry, and the record keeps its rules.

mod drill;

use e2e::{failure::Failure, recheck::Checked};
use signer::fault::Point;
use tokio::task::LocalSet;
use uuid::Uuid;

use drill::Drill;

/// The long run: so many deployments, and deaths of each before its whole record is checked.
const DEPLOYMENTS: usize = 10;
const DEATHS: usize = 100;
/// Of four deaths in the long run one comes at no point, but after so many lives more, at most.
const LIVES: u8 = 16;

#[tokio::test]
async fn it_dies_at_every_point() -> Result<(), Failure> {
    // A client that persists is bound to its thread.
    LocalSet::new().run_until(every_point()).await
}

async fn every_point() -> Result<(), Failure> {
    let mut drill = Drill::begin().await?;
    for (number, point) in Point::ALL.iter().enumerate() {
        // The second and third time, others are at other steps.
        drill.dies_at(*point, 1 + number % 3).await?;
    }
    let (deaths, _) = drill.end().await?;
    assert_eq!(deaths, Point::ALL.len());
    assert!(deaths >= 30, "{deaths}");
    Ok(())
}

#[tokio::test]
async fn one_of_two_replicas_dies_at_every_third_point() -> Result<(), Failure> {
    LocalSet::new().run_until(one_of_two(3)).await
}

#[tokio::test]
#[ignore = "minutes: .ci/long runs it"]
async fn one_of_two_replicas_dies_at_every_point() -> Result<(), Failure> {
    LocalSet::new().run_until(one_of_two(1)).await
}

async fn one_of_two(step: usize) -> Result<(), Failure> {
    let mut drill = Drill::begin_with_replica().await?;
    // Which replica makes a CRL is their own matter.
    let points = Point::ALL.iter().filter(|point| !of_leader(point));
    let points: Vec<_> = points.step_by(step).collect();
    for (number, point) in points.iter().enumerate() {
        drill.dies_at(**point, 1 + number % 3).await?;
    }
    let (deaths, _) = drill.end().await?;
    assert_eq!(deaths, points.len());
    assert!(deaths >= 28 / step, "{deaths}");
    Ok(())
}

#[tokio::test]
async fn the_leader_of_two_dies_at_every_point_of_a_crl() -> Result<(), Failure> {
    LocalSet::new().run_until(leaders()).await
}

async fn leaders() -> Result<(), Failure> {
    let mut drill = Drill::begin_with_replica().await?;
    let points: Vec<_> = Point::ALL.iter().filter(of_leader).collect();
    for point in &points {
        drill.leader_dies_at(**point).await?;
    }
    drill.terms(1 + points.len()).await?;
    let (deaths, checked) = drill.end().await?;
    assert_eq!((deaths, points.len()), (5, 5));
    // Of the five, one at least was recorded before the death.
    assert!(checked.crls > 2, "{checked:?}");
    Ok(())
}

fn of_leader(point: &&Point) -> bool {
    point.name().starts_with("crl.")
}

#[tokio::test]
#[ignore = "an hour: .ci/long runs it"]
async fn a_thousand_deaths() -> Result<(), Failure> {
    LocalSet::new().run_until(many()).await
}

async fn many() -> Result<(), Failure> {
    for deployment in 1..=DEPLOYMENTS {
        let checked = a_hundred().await?;
        eprintln!("{} deaths, {checked:?}", deployment * DEATHS);
    }
    Ok(())
}

async fn a_hundred() -> Result<Checked, Failure> {
    let mut drill = Drill::begin().await?;
    for _ in 0..DEATHS {
        let [kind, point, times, lives, ..] = *Uuid::new_v4().as_bytes();
        if kind.is_multiple_of(4) {
            drill.dies_after(usize::from(lives % LIVES)).await?;
        } else {
            let point = Point::ALL[usize::from(point) % Point::ALL.len()];
            drill.dies_at(point, 1 + usize::from(times % 8)).await?;
        }
    }
    let (deaths, checked) = drill.end().await?;
    assert_eq!(deaths, DEATHS);
    Ok(checked)
}
