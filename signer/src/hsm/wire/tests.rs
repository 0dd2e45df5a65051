#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use semops_pki::local_key::LocalKey;

use super::*;
use crate::hsm::report::KeyReport;
use crate::hsm::{Settings, Token};

fn pair() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None).unwrap()
}

fn taken<T: Message + Default>(socket: &impl AsFd) -> T {
    match take(socket, &mut vec![0; LONGEST]).unwrap() {
        Received::Message(message) => message,
        Received::Nothing | Received::End => unreachable!("a message was sent"),
    }
}

fn settings(threads: usize) -> Settings {
    Settings {
        program: Settings::THIS_PROGRAM.into(),
        module: "/module.so".into(),
        environment: Vec::new(),
        network: false,
        workers: 1,
        hung: Duration::from_secs(10),
        threads,
        queue: 1,
    }
}

#[test]
fn each_message_arrives_whole_and_in_order() {
    let (ours, theirs) = pair();
    for id in 1..=100 {
        let deadline = shared(Instant::now() + Duration::from_secs(60));
        let order = Some(Order::Random(16));
        let job = Job {
            id,
            deadline,
            order,
        };
        put(&ours, &job, SendFlags::empty()).unwrap();
    }
    for id in 1..=100 {
        assert_eq!(taken::<Job>(&theirs).id, id);
    }
    drop(ours);
    let end = take::<Job>(&theirs, &mut [0; 64]).unwrap();
    assert!(matches!(end, Received::End));
}

#[test]
fn what_is_no_message_or_too_long_is_an_error() {
    let (ours, theirs) = pair();
    send(&ours, &[0xff; 40], SendFlags::empty()).unwrap();
    assert!(take::<Job>(&theirs, &mut [0; 64]).is_err());
    send(&ours, &[0; 65], SendFlags::empty()).unwrap();
    assert!(take::<Job>(&theirs, &mut [0; 64]).is_err());
    // The one after it is not touched.
    let job = Job::default();
    put(&ours, &Job { id: 7, ..job }, SendFlags::empty()).unwrap();
    assert_eq!(taken::<Job>(&theirs).id, 7);
}

#[test]
fn a_deadline_is_the_same_moment_in_both_processes() {
    let deadline = Instant::now() + Duration::from_secs(5);
    let back = own(shared(deadline));
    let apart = back.max(deadline) - back.min(deadline);
    assert!(apart < Duration::from_secs(1), "{apart:?}");
    let past = own(0);
    assert!(past <= Instant::now());
}

#[test]
fn reports_and_failures_come_out_as_they_went_in() {
    let public = LocalKey::generate().unwrap().public_key().clone();
    let key = Key {
        id: KeyId::new([5; 32]),
        label: "authorization".to_owned(),
        public,
    };
    let again = WireKey::from(&key).key().unwrap();
    assert_eq!((again.id, again.public), (key.id, key.public.clone()));
    assert!(WireKey::default().key().is_none());
    let token = Token {
        institution: "alfa".parse().unwrap(),
        label: "alfa".to_owned(),
        pin: "1234".into(),
        keys: vec![key],
    };
    let report = TokenReport {
        institution: token.institution.clone(),
        module: "/module.so".into(),
        library: "a library".to_owned(),
        slot: 17,
        label: "alfa".to_owned(),
        token: "a token".to_owned(),
        session_limit: None,
        threads: 3,
        read_only: true,
        mechanisms: vec!["CKM_ECDSA".to_owned()],
        keys: vec![KeyReport {
            id: KeyId::new([5; 32]),
            label: "authorization".to_owned(),
            attributes: vec![
                ("CKA_SIGN".to_owned(), Some(true)),
                ("CKA_LOCAL".to_owned(), None),
            ],
        }],
    };
    let packet = Report::from(&report).encode_to_vec();
    let said = || Report::decode(packet.as_slice()).unwrap();
    let settings = settings(3);
    let again = said().of(&token, &settings).unwrap();
    assert_eq!(format!("{again:?}"), format!("{report:?}"));
    // Of other threads or keys than it was told it has nothing to say.
    for threads in [0, 4, u32::MAX] {
        assert!(Report { threads, ..said() }.of(&token, &settings).is_none());
    }
    let others = [vec![], vec![said().keys[0].clone(); 2]];
    for keys in others {
        assert!(Report { keys, ..said() }.of(&token, &settings).is_none());
    }
    for class in [
        Class::Fatal,
        Class::Retry,
        Class::Relogin,
        Class::Restart,
        Class::Reject,
    ] {
        let failure = Failure::new(class, "C_Sign", "CKR_DEVICE_ERROR");
        let again = Failure::from(WireFailure::from(&failure));
        assert_eq!((again.class, again.fault), (class, failure.fault));
    }
}

/// What the module says in it may be meant for whoever reads the log.
#[test]
fn what_a_worker_says_is_one_short_line_each_and_few_of_them() {
    let long = format!("CKR_\n{}", "x".repeat(5_000));
    let failure = WireFailure {
        call: "C_Sign\r\u{1b}[2J".into(),
        code: long.clone(),
        class: 99,
    };
    let mut answer = Answer {
        failures: vec![failure; 500],
        ..Answer::default()
    };
    let failures = answer.failures();
    assert_eq!((failures.len(), answer.failures.len()), (16, 0));
    let (last, said) = (&failures[15], "C_Sign  [2J: CKR_ xxx");
    assert!(last.fault.to_string().starts_with(said), "{}", last.fault);
    assert_eq!((last.fault.code().len(), last.class), (1_000, Class::Fatal));
    let token = Token {
        institution: "alfa".parse().unwrap(),
        label: "alfa".to_owned(),
        pin: "1234".into(),
        keys: Vec::new(),
    };
    let begun = |report, refused| Begun { report, refused }.report(&token, &settings(2));
    let report = Report {
        library: long.clone(),
        token: long.clone(),
        mechanisms: vec![long.clone()],
        threads: 1,
        ..Report::default()
    };
    let report = begun(Some(report), None).unwrap().to_string();
    assert_eq!((report.lines().count(), report.len() < 4_000), (7, true));
    let refused = Refused {
        text: long,
        failure: None,
    };
    let refused = begun(Some(Report::default()), Some(refused)).unwrap_err();
    assert_eq!(refused.unwrap().text.lines().count(), 1);
    assert!(begun(Some(Report::default()), None).unwrap_err().is_none());
    assert!(begun(None, None).unwrap_err().is_none());
}

#[test]
fn what_is_said_of_a_key_is_about_the_one_asked_for_or_nothing() {
    let public = LocalKey::generate().unwrap().public_key().clone();
    let key = Key {
        id: KeyId::new([3; 32]),
        label: "device-ca".to_owned(),
        public,
    };
    let found = KeyReport {
        id: key.id,
        label: "another".to_owned(),
        attributes: vec![("CKA_SIGN\nlie".to_owned(), Some(true)), ("X".into(), None)],
    };
    let said = WireKeyReport::from(&found).encode_to_vec();
    let taken = adopted(&said, &key).unwrap();
    assert_eq!((taken.id, taken.label.as_str()), (key.id, "device-ca"));
    let told = [("CKA_SIGN lie".to_owned(), Some(true)), ("X".into(), None)];
    assert_eq!(taken.attributes, told);
    let other = Key {
        id: KeyId::new([4; 32]),
        ..key.clone()
    };
    assert!(adopted(&said, &other).is_none());
    assert!(adopted(&said[..said.len() - 1], &key).is_none());
    assert!(adopted(&[], &key).is_none());
}
