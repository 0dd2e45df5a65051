//! Of whatever carries a signature no bit may change: every single one is tried, of every kind of object.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use fuzzed::changes;
use fuzzed::material::{NOW, content, issuer, key, oids, public, signed};
use fuzzed::objects::{KID, compact, sample};
use semops_objects::authorization::AuthorizationJws;
use semops_objects::change::{Approval, Judgement, Moment, Standing};
use semops_objects::order::OrderJws;
use semops_pki::certificate::Certificate;
use semops_pki::crl::{CertificateRevocationList, Reason};
use semops_pki::issuer::{Addresses, Content, RevokedEntry, Subject};
use semops_pki::local_key::LocalKey;
use semops_pki::request::CertificationRequest;

const DAY: i64 = 86_400;

/// `object` verifies, and with any one of its bits changed it does not.
fn no_bit_may_change(object: &[u8], verifies: impl Fn(&[u8]) -> bool) {
    assert!(verifies(object));
    let mut changed = object.to_vec();
    for at in 0..object.len() {
        for bit in 0..8 {
            *changed.get_mut(at).unwrap() ^= 1 << bit;
            assert!(!verifies(&changed), "bit {bit} of octet {at}");
            *changed.get_mut(at).unwrap() ^= 1 << bit;
        }
    }
}

#[test]
fn of_an_order() {
    let order = compact(
        sample::order_header().as_bytes(),
        sample::order().as_bytes(),
    );
    no_bit_may_change(order.as_bytes(), |octets| {
        let order = str::from_utf8(octets).ok().map(OrderJws::parse);
        order.is_some_and(|order| order.is_ok_and(|order| order.verify(public()).is_ok()))
    });
}

#[test]
fn of_an_authorization() {
    let authorization = compact(
        sample::header(&KID).as_bytes(),
        sample::authorization().as_bytes(),
    );
    no_bit_may_change(authorization.as_bytes(), |octets| {
        let read = str::from_utf8(octets).ok().map(AuthorizationJws::parse);
        read.is_some_and(|read| read.is_ok_and(|read| read.verify(public()).is_ok()))
    });
}

/// One person may approve a suspension: whatever else the approval says, it approves nothing.
#[test]
fn of_an_approval() {
    let others = [0, 1].map(|_| LocalKey::generate().unwrap());
    let register = changes::sample::custodians(others.each_ref().map(LocalKey::public_key));
    let (ceremony, keys) = (
        changes::sample::ceremony(&register),
        [key(), &others[0], &others[1]],
    );
    let people = ["anna", "boris", "chloe"].into_iter().zip(keys);
    let approvals: Vec<Approval> = people
        .map(|(person, key)| changes::sample::approved(person, key, &ceremony))
        .collect();
    let register = register.as_bytes();
    let standing = Standing::begin(
        "semops.example",
        &ceremony,
        &approvals,
        register,
        changes::TIME,
    )
    .unwrap();
    let suspension = changes::sample::suspension(standing.base());
    let approval = changes::sample::approved("anna", key(), &suspension);
    no_bit_may_change(approval.compact().as_bytes(), |octets| {
        let read = str::from_utf8(octets).ok().map(Approval::parse);
        let read = read.and_then(Result::ok);
        let judged =
            read.map(|read| standing.judge(&suspension, &[read], Moment::of_taking(changes::TIME)));
        matches!(judged, Some(Ok(Judgement::Approved(_))))
    });
}

#[test]
fn of_a_certificate() {
    let addresses = Addresses {
        crl: "http://127.0.0.1/crl",
        ca_certificate: "http://127.0.0.1/ca",
    };
    let subject = Subject::InstitutionCa { common_name: "CA" };
    let of = LocalKey::generate().unwrap();
    let asked = Content {
        public_key: of.public_key(),
        ..content("alfa", 2)
    };
    let tbs = issuer().certificate(&asked, subject, Some(addresses), &oids());
    no_bit_may_change(&signed(tbs.unwrap().bytes()), |octets| {
        let certificate = Certificate::from_der(octets);
        certificate.is_ok_and(|one| one.verify_issued_by(issuer().ca()).is_ok())
    });
}

#[test]
fn of_a_crl() {
    let revoked = [RevokedEntry {
        serial: vec![7; 16],
        at: NOW - DAY,
        reason: Reason::KeyCompromise,
    }];
    let tbs = issuer().crl(7, NOW - DAY, NOW + DAY, &revoked).unwrap();
    no_bit_may_change(&signed(tbs.bytes()), |octets| {
        let list = CertificateRevocationList::from_der(octets);
        list.is_ok_and(|list| list.verify_issued_by(issuer().ca()).is_ok())
    });
}

/// Parsing it is checking the proof of possession.
#[test]
fn of_a_certification_request() {
    let request = key().certification_request("a phone").unwrap();
    no_bit_may_change(&request, |octets| {
        CertificationRequest::parse(octets).is_ok()
    });
}
