//! An addition that does not come to its end: everything is as it was, and the reason says what to do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use softhsm_setup::add;
use softhsm_setup::directory::{Directory, Hierarchy};
use softhsm_setup::error::SetupError;
use softhsm_setup::scheme::Newcomer;

use crate::additions::join;
use crate::{PROGRAM, contents, edge, go_on, id, own, text};

/// Files with their contents, and folders.
type State = (BTreeMap<PathBuf, (Vec<u8>, u32)>, Vec<PathBuf>);

fn state(made: &Directory) -> State {
    let mut folders: Vec<_> = Vec::new();
    for folder in ["tokens", "."] {
        let entries = fs::read_dir(made.path().join(folder)).unwrap();
        folders.extend(entries.map(|entry| entry.unwrap().path()));
    }
    folders.sort();
    (contents(made.path()), folders)
}

fn refused(made: &Directory, part: &str) {
    let before = state(made);
    let refused = join(made, Newcomer::EXAMPLE).unwrap_err().to_string();
    assert!(refused.contains(part), "{part}: {refused}");
    assert!(state(made) == before, "{part}: something changed");
}

#[test]
fn interrupted_after_any_step_it_leaves_all_as_it_was() {
    let (_folder, made) = own();
    let before = state(&made);
    let mut last = 0;
    loop {
        let (mut steps, mut told) = (0, Vec::new());
        let mut progress = |step: &str| {
            steps += 1;
            told.push(step.to_owned());
            if steps > last {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let done = add(made.path(), Newcomer::EXAMPLE, &edge(), &mut progress);
        last += 1;
        match done {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, SetupError::Interrupted), "{error}"),
        }
        assert!(state(&made) == before, "after {told:?}");
    }
    // TLS CA, four callers, token, three keys, approval keys, documents, alfa's next; at the last step it is too late.
    assert_eq!(last, 13);
    assert!(
        fs::read_to_string(made.config())
            .unwrap()
            .contains("id = \"gamma\"")
    );
}

#[test]
fn without_the_root_keys_it_says_which_are_missing_and_what_to_do() {
    let (folder, made) = own();
    let keys = [Hierarchy::Device, Hierarchy::Signing, Hierarchy::Tls];
    let keys = keys.map(|hierarchy| made.root_key(hierarchy));
    let safe = folder.path().join("safe");
    fs::rename(&keys[1], &safe).unwrap();
    refused(&made, &format!("put back {}, and", keys[1].display()));
    fs::rename(made.offline(), folder.path().join("offline")).unwrap();
    refused(&made, keys[2].to_str().unwrap());
    fs::rename(folder.path().join("offline"), made.offline()).unwrap();
    fs::copy(&keys[0], &keys[1]).unwrap();
    refused(&made, "signing-root.pem: put back the right one");
    fs::rename(&safe, &keys[1]).unwrap();
    join(&made, Newcomer::EXAMPLE).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let (folder, made) = own();
    let elsewhere = join(&Directory::open(made.path()).unwrap(), "").unwrap_err();
    assert!(
        elsewhere.to_string().contains("institution: missing"),
        "{elsewhere}"
    );
    let empty = add(folder.path(), Newcomer::EXAMPLE, &edge(), &mut go_on).unwrap_err();
    assert!(
        empty.to_string().contains("`softhsm-setup init`"),
        "{empty}"
    );

    // Another ceremony, a killed one, and a directory that was moved.
    let config = File::open(made.config()).unwrap();
    config.lock().unwrap();
    refused(&made, "another softhsm-setup is at work");
    config.unlock().unwrap();
    let pin = made.pin(&id("gamma"));
    fs::write(&pin, "").unwrap();
    refused(&made, &format!("remove {}, and its token", pin.display()));
    fs::remove_file(&pin).unwrap();
    let moved = folder.path().join("moved");
    fs::rename(made.path(), &moved).unwrap();
    refused(
        &Directory::open(&moved).unwrap(),
        "its directories.tokendir must be",
    );
    let conf = fs::read_to_string(moved.join("softhsm2.conf")).unwrap();
    let conf = conf.replace(made.path().to_str().unwrap(), moved.to_str().unwrap());
    fs::write(moved.join("softhsm2.conf"), conf).unwrap();
    refused(
        &Directory::open(&moved).unwrap(),
        "[hsm.environment] SOFTHSM2_CONF must be",
    );
}

#[test]
fn what_fails_half_way_is_taken_back() {
    let ((_folder, made), (_other_folder, other)) = (own(), own());
    // A token called gamma that somebody else brought.
    let older = contents(&other.tokens());
    join(&other, Newcomer::EXAMPLE).unwrap();
    for (path, (content, _)) in contents(&other.tokens()) {
        if !older.contains_key(&path) {
            let path = made
                .tokens()
                .join(path.strip_prefix(other.tokens()).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    refused(&made, "a token of this label is there already");
}

#[test]
fn a_configuration_that_changes_meanwhile_is_left_to_who_changed_it() {
    let (_folder, made) = own();
    let before = state(&made);
    let config = made.config();
    let good = fs::read(&config).unwrap();
    let changed = [good.as_slice(), b"# Mine.\n"].concat();
    let mut progress = |_: &str| {
        fs::write(&config, &changed).unwrap();
        ControlFlow::Continue(())
    };
    let refused = add(made.path(), Newcomer::EXAMPLE, &edge(), &mut progress).unwrap_err();
    assert!(
        refused.to_string().contains("changed it meanwhile"),
        "{refused}"
    );
    assert_eq!(fs::read(&config).unwrap(), changed);
    fs::write(&config, &good).unwrap();
    assert!(state(&made) == before);
}

/// `softhsm-setup add` with a stand-in for the signer, to which these lines of sh say what comes of its arguments.
fn add_with(made: &Directory, folder: &Path, lines: &str) -> Output {
    let (signer, file) = (folder.join("signer"), folder.join("gamma.toml"));
    fs::write(
        &signer,
        format!("#!/bin/sh\nshift 2\ncase \"$*\" in\n{lines}\nesac\n"),
    )
    .unwrap();
    fs::set_permissions(&signer, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&file, Newcomer::EXAMPLE).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg("add")
        .arg(made.path())
        .arg("--institution")
        .arg(&file);
    command.arg("--signer").arg(&signer).output().unwrap()
}

#[test]
fn what_the_signer_refuses_is_told_and_taken_back() {
    let (folder, made) = own();
    let before = state(&made);
    for (lines, words) in [
        (
            "documents) echo hello ;;",
            "signer documents: its answer is not understood",
        ),
        (
            "--check-config) echo 'signer: 1 mistake' >&2; exit 64 ;;",
            "signer --check-config: 1 mistake",
        ),
        (
            "'change load '*) echo 'signer: no room' >&2; exit 1 ;;",
            "gamma-ceremony.json: no room",
        ),
        (
            "documents) echo 'gamma custodians 1 00' ;;",
            "gamma has had its ceremony in this record",
        ),
    ] {
        let output = add_with(&made, folder.path(), lines);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(state(&made) == before, "{said}");
    }
}

#[test]
fn a_signal_is_minded_at_the_next_step() {
    let (folder, made) = own();
    let before = state(&made);
    // It comes at the very beginning; some hundred milliseconds of steps follow.
    let output = add_with(&made, folder.path(), "documents) kill -INT $PPID ;;");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(state(&made) == before, "{said}");
}

#[test]
fn a_ceremony_whose_answer_was_lost_counts() {
    let (folder, made) = own();
    let loaded = folder.path().join("loaded");
    let lines = format!(
        "'change load '*) touch '{0}'; exit 1 ;;\n\
         documents) if [ -e '{0}' ]; then echo 'gamma custodians 1 00'; fi ;;",
        loaded.display()
    );
    let output = add_with(&made, folder.path(), &lines);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let config = fs::read_to_string(made.config()).unwrap();
    assert!(config.contains("ceremony = \"documents/gamma-ceremony.json\""));
}
