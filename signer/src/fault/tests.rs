#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::HashSet, fs, os::unix::process::ExitStatusExt as _, process::Command};

use super::{Point, VARIABLE, armed::times, point};

/// The signal's number (signal(7)).
const SIGKILL: i32 = 9;

#[test]
fn names_are_told_apart() {
    let names: HashSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), Point::ALL.len());
}

#[test]
fn only_the_armed_point_counts() {
    let point = Point::CosignBegun;
    for (armed, expected) in [
        ("cosign.begun 3\n", Some(3)),
        ("cosign.begun 1", Some(1)),
        ("cosign.signed 3", None),
        ("cosign.begun", None),
        ("cosign.begun often", None),
        ("", None),
    ] {
        assert_eq!(times(armed, point), expected, "{armed}");
    }
}

#[test]
fn the_process_dies_at_the_armed_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("armed");
    let reach = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "fault::tests::reaches_it_twice", "--ignored"]);
        child.env(VARIABLE, &file).output().unwrap().status
    };
    assert!(reach().success(), "no file, no end");
    for (armed, signal) in [
        ("revoke.written 1", Some(SIGKILL)),
        ("revoke.written 2", Some(SIGKILL)),
        ("revoke.written 3", None),
        ("revoke.committed 1", None),
    ] {
        fs::write(&file, armed).unwrap();
        let status = reach();
        assert_eq!(status.signal(), signal, "{armed}: {status}");
    }
}

#[test]
#[ignore = "the child of the_process_dies_at_the_armed_time"]
fn reaches_it_twice() {
    point(Point::RevokeWritten);
    point(Point::RevokeWritten);
}
