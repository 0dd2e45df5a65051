//! The seeds of what changes are made of.

use fuzzed::changes::sample;
use fuzzed::material::key;
use fuzzed::objects::compact;
use semops_objects::change::{
    Attachment, AttachmentKind, ChangeFile, ChangeId, DocumentKind, DocumentName, KeyOperation,
    Operation, Rotation,
};
use semops_objects::key::KeyId;
use semops_pki::algorithm::sha256;
use semops_pki::local_key::LocalKey;

use super::write;

pub(super) fn all() {
    let others = [0, 1].map(|_| LocalKey::generate().unwrap());
    let register = sample::custodians(others.each_ref().map(LocalKey::public_key));
    registers(&register);
    proposals(&register);
    approvals();
    files(&register);
}

fn registers(register: &str) {
    let recovery = LocalKey::generate().unwrap();
    let recovery = recovery.public_key().to_spki_pem();
    let recovery =
        format!("\n[recovery]\napproval_key = \"\"\"\n{recovery}\"\"\"\ndelay_hours = 72\n");
    write(
        "custodians",
        "good-recovery.toml",
        format!("{register}{recovery}"),
    );
    let with = |from: &str, to: &str| register.replacen(from, to, 1);
    write(
        "custodians",
        "bad-quorum-one.toml",
        with("quorum = 2", "quorum = 1"),
    );
    write(
        "custodians",
        "bad-too-few.toml",
        with("\"active\"", "\"suspended\""),
    );
    write(
        "custodians",
        "bad-twice.toml",
        with("\"boris\"", "\"anna\""),
    );
    write("custodians", "good-three.toml", register);
}

fn proposals(register: &str) {
    let made = |operation| sample::proposal(sample::base(), operation).bytes().to_vec();
    let policy = DocumentName {
        kind: DocumentKind::Policy,
        version: 4,
        sha256: [9; 32],
    };
    let document = made(Operation::Document(policy));
    let twice = String::from_utf8(document.clone()).unwrap();
    write(
        "proposal",
        "bad-twice.json",
        twice.replacen("\"iat\"", "\"v\":1,\"iat\"", 1),
    );
    write(
        "proposal",
        "bad-line-end.json",
        [&document[..], b"\n"].concat(),
    );
    write("proposal", "good-document.json", document);
    write(
        "proposal",
        "good-ceremony.json",
        sample::ceremony(register).bytes(),
    );
    let (key, to) = (KeyId::new([3; 32]), KeyId::new([4; 32]));
    let operation = KeyOperation::ScheduleDestruction { at: 1_900_000_000 };
    write(
        "proposal",
        "good-destruction.json",
        made(Operation::Key { operation, key }),
    );
    let rotation = Rotation {
        from: key,
        to,
        certificate: [5; 32],
        activate_at: 1_800_100_000,
        retire_at: 1_800_200_000,
    };
    write(
        "proposal",
        "good-rotation.json",
        made(Operation::RotateKey(rotation)),
    );
    write(
        "proposal",
        "good-call-off.json",
        made(Operation::CallOffRotation { to }),
    );
    let (version, sha256) = (2, [6; 32]);
    let recovery = Operation::RecoverCustodians { version, sha256 };
    write("proposal", "good-recovery.json", made(recovery));
}

fn approvals() {
    let (header, of) = (sample::approval_header(), ChangeId::new([1; 32]));
    let payload = sample::approval(of);
    let with = |from: &str, to: &str| payload.replacen(from, to, 1);
    write(
        "approval",
        "good-compact",
        compact(header.as_bytes(), payload.as_bytes()),
    );
    write("approval", "good-reject.json", with("approve", "reject"));
    write("approval", "good-header.json", &header);
    write(
        "approval",
        "bad-none.json",
        header.replacen("ES256", "none", 1),
    );
    write("approval", "bad-twice.json", with("{", "{\"iat\":1,"));
    write("approval", "good-payload.json", &payload);
}

fn files(register: &str) {
    let content = "institution = \"alfa\"\nversion = 4\n".to_owned();
    let policy = DocumentName {
        kind: DocumentKind::Policy,
        version: 4,
        sha256: sha256(content.as_bytes()),
    };
    let document = |kind, content| Attachment {
        kind: AttachmentKind::Document(kind),
        content,
    };
    let file = |proposal, attachments| {
        let approvals = vec![sample::approved("anna", key(), &proposal)];
        let file = ChangeFile {
            proposal,
            approvals,
            attachments,
        };
        file.to_json()
    };
    let proposal = sample::proposal(sample::base(), Operation::Document(policy));
    let whole = file(proposal, vec![document(DocumentKind::Policy, content)]);
    write(
        "change_file",
        "bad-version.json",
        whole.replacen("\"v\":1", "\"v\":2", 1),
    );
    write("change_file", "good-policy.json", whole);
    let ceremony = sample::ceremony(register);
    let register = document(DocumentKind::Custodians, register.to_owned());
    write(
        "change_file",
        "good-part.json",
        file(ceremony, vec![register]),
    );
    let suspension = sample::suspension(sample::base());
    write(
        "change_file",
        "good-suspension.json",
        file(suspension, vec![]),
    );
}
