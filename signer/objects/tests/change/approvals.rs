//! Approvals and change files have their members and no others.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::change::{
    Approval, Attachment, AttachmentKind, ChangeFile, ChangeId, Decision, DocumentKind,
};
use semops_objects::jws;
use semops_objects::key::KeyId;

use crate::world::{self, NOW, ONES, World, alfa, member, next_policy, person};

#[test]
fn an_approval_says_who_says_what_of_which_proposal() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    for (approval, decision) in [
        (world.approve("anna", &proposal), Decision::Approve),
        (world.reject("anna", &proposal), Decision::Reject),
    ] {
        assert_eq!(approval.person(), &person("anna"));
        assert_eq!(approval.institution(), &alfa());
        assert_eq!((approval.proposal(), approval.iat()), (proposal.id(), NOW));
        assert_eq!(approval.kid(), KeyId::of(world.key("anna").public_key()));
        assert_eq!(approval.decision(), decision);
        assert!(approval.verify(world.key("anna").public_key()).is_ok());
        assert!(approval.verify(world.key("anna-2").public_key()).is_err());
        assert_eq!(Approval::parse(approval.compact()), Ok(approval));
    }
}

#[test]
fn an_approval_has_its_members_and_no_others() {
    let world = World::new();
    let (anna, sha256) = (world.key("anna"), ChangeId::new([1; 32]));
    let kid = KeyId::of(anna.public_key());
    let input = Approval::signing_input(
        kid,
        &person("anna"),
        &alfa(),
        sha256,
        Decision::Approve,
        NOW,
    );
    let (header, payload) = input.split_once('.').unwrap();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(
        payload,
        format!(
            r#"{{"iat":{NOW},"iss":"anna","aud":"alfa","proposal_sha256":"{ONES}","decision":"approve"}}"#
        )
    );
    let read = |payload: &str| {
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        Approval::parse(&jws::compact(&input, &[1; 64])).is_ok()
    };
    assert!(read(&payload));
    for name in ["iat", "iss", "aud", "proposal_sha256", "decision"] {
        let member = member(&payload, name);
        let without = payload.replacen(&member, "", 1).replacen(",,", ",", 1);
        assert!(
            !read(&without.replacen("{,", "{", 1).replacen(",}", "}", 1)),
            "{name}"
        );
        assert!(
            !read(&payload.replacen(&member, &format!("{member},{member}"), 1)),
            "{name}"
        );
        assert!(
            !read(&payload.replacen(&member, &format!("\"{name}\":[]"), 1)),
            "{name}"
        );
    }
    for (from, to) in [
        ("\"approve\"", "\"Approve\""),
        ("\"approve\"", "\"maybe\""),
        ("\"anna\"", "\"Anna\""),
        ("\"alfa\"", "\"\""),
        (ONES, "AQ"),
        ("{\"iat\"", "{\"exp\":1,\"iat\""),
    ] {
        assert!(!read(&payload.replacen(from, to, 1)), "{to}");
    }
    let long = payload.replacen("{", &format!("{{{}", " ".repeat(2048)), 1);
    assert!(!read(&long));
}

#[test]
fn a_change_file_says_the_same_again() {
    let world = World::new();
    let register = world.register(1, 2);
    let proposal = world::ceremony(&register);
    let approvals = vec![
        world.approve("anna", &proposal),
        world.reject("boris", &proposal),
    ];
    let attachment = |kind, content: &str| Attachment {
        kind,
        content: content.to_owned(),
    };
    let file = ChangeFile {
        attachments: vec![
            attachment(world::CUSTODIANS, &register),
            attachment(AttachmentKind::Certificate, "\"\u{e4}\n"),
        ],
        proposal,
        approvals,
    };
    let json = file.to_json();
    assert_eq!(ChangeFile::parse(json.as_bytes()).as_ref(), Ok(&file));
    assert_eq!(
        file.document(DocumentKind::Custodians),
        Some(register.as_bytes())
    );
    assert_eq!(file.document(DocumentKind::Policy), None);
    for (from, to) in [
        ("{\"v\":1,", "{"),
        ("{\"v\":1", "{\"v\":2"),
        ("\"proposal\":", "\"proposed\":"),
        ("\"approvals\":[", "\"approvals\":[1,"),
        ("\"approvals\":[", "\"approvals\":[\"\","),
        ("\"documents\":[", "\"documents\":[{},"),
        ("\"custodians\"", "\"Custodians\""),
        ("\"content\":", "\"more\":1,\"content\":"),
        ("{\"v\"", "{\"more\":1,\"v\""),
    ] {
        let other = json.replacen(from, to, 1);
        assert_ne!(other, json);
        assert!(ChangeFile::parse(other.as_bytes()).is_err(), "{to}");
    }
    let many = ChangeFile {
        approvals: vec![file.approvals[0].clone(); 65],
        ..file
    };
    assert!(ChangeFile::parse(many.to_json().as_bytes()).is_err());
}
