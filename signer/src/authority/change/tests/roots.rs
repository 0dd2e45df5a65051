//! The scheme's roots: what rests on none of them is neither taken nor used, and what they were is not forgotten.

use semops_objects::change::{ChangeFile, SchemeStanding};
use semops_pki::certificate::Certificate;

use super::world::{World, alfa, reason};
use super::*;
use crate::{
    authority::{TakeRootsError, What},
    domain::{
        document::DocumentKind,
        published_roots::{Hierarchy, PublishedRoots, UnfitCrl},
        scheme_roots::{SchemeRoots, UnfitRoots},
    },
    specimen::{self, Certified, founders::Founders},
};

/// The two roots that the service publishes.
fn published(world: &World) -> [Certificate; 2] {
    let roots = world.authority.roots();
    let of = |hierarchy| roots.published().of(hierarchy)[0].certificate().clone();
    Hierarchy::ALL.map(of)
}

/// The two roots in alfa's trust document, which are its own.
fn trusted(world: &World) -> [Certificate; 2] {
    let trust = world.authority.snapshot().trust(&alfa()).unwrap().clone();
    [trust.device_root(), trust.signing_root()].map(Certificate::clone)
}

async fn take(world: &World, standing: SchemeStanding) -> Result<u64, TakeRootsError> {
    let published = world.authority.roots().published().clone();
    let roots = SchemeRoots::approved(standing, published)?;
    let taken = world.authority.take_roots(roots).await;
    taken.map(|roots| roots.sequence())
}

/// The next trust document, on the same roots or on others.
fn next(world: &World, roots: Option<&[Certificate; 2]>) -> ChangeFile {
    let kind = DocumentKind::Trust;
    let text = world.board().ceremony.document(kind).unwrap();
    let mut text = String::from_utf8(text.to_vec()).unwrap();
    text = text.replace("version = 1", "version = 2");
    if let Some([device, _]) = roots {
        let start = text.find("device_root").unwrap();
        let end = text.find("signing_root").unwrap();
        let pem = device.to_pem();
        text.replace_range(start..end, &format!("device_root = '''\n{pem}'''\n"));
    }
    let base = world.authority.snapshot().standing(&alfa()).unwrap().base();
    world.board().document(base, kind, &text, &[0, 1])
}

#[tokio::test]
async fn a_trust_document_rests_on_the_schemes_roots() {
    let world = World::new().await;
    let ([device, signing], [its_device, its_signing]) = (published(&world), trusted(&world));
    // Nobody rules the scheme: alfa trusts whom its custodians like.
    let mut founders = Founders::new(&[&device], &[&signing]);
    let first = founders.standing();
    assert_eq!(take(&world, first.clone()).await.unwrap(), 1);
    let snapshot = world.authority.snapshot();
    assert!(snapshot.trust(&alfa()).is_none() && snapshot.policy(&alfa()).is_some());
    let [unapproved] = snapshot.unapproved(&alfa()) else {
        panic!("{:?}", snapshot.unapproved(&alfa()))
    };
    assert_eq!(unapproved.what, What::Document(DocumentKind::Trust));
    assert!(
        unapproved.why.starts_with("device_root "),
        "{}",
        unapproved.why
    );

    let refused = world.propose(&next(&world, None)).await;
    assert_eq!(reason(refused), Reason::RootNotApproved);
    let brought = world.bring(&next(&world, None)).await;
    // The operator's command reads the configuration, which names no history of the scheme here.
    assert!(brought.is_ok());
    let snapshot = world.authority.refresh().await.unwrap();
    assert!(snapshot.trust(&alfa()).is_none());

    // Both of its roots come into force: one alone is not enough.
    founders.next(&[&device, &its_device], &[&signing]);
    assert_eq!(take(&world, founders.standing()).await.unwrap(), 2);
    let snapshot = world.authority.snapshot();
    assert!(snapshot.trust(&alfa()).is_none());
    assert!(
        snapshot.unapproved(&alfa())[0]
            .why
            .starts_with("signing_root ")
    );
    founders.next(&[&device, &its_device], &[&its_signing, &signing]);
    assert_eq!(take(&world, founders.standing()).await.unwrap(), 3);
    let snapshot = world.authority.snapshot();
    assert_eq!(snapshot.trust(&alfa()).unwrap().version(), 2);
    assert_eq!(snapshot.unapproved(&alfa()), []);
    assert_eq!(world.authority.roots().sequence(), 3);
}

#[tokio::test]
async fn a_shorter_history_and_another_one_are_not_taken() {
    let world = World::new().await;
    let [device, signing] = published(&world);
    let second = Certified::root().certificate;
    let mut founders = Founders::new(&[&device], &[&signing]);
    let first = founders.standing();
    founders.next(&[&device, &second], &[&signing]);
    assert_eq!(take(&world, founders.standing()).await.unwrap(), 2);
    // The same again.
    assert_eq!(take(&world, founders.standing()).await.unwrap(), 2);
    let mut other = Founders::new(&[&device], &[&signing]);
    other.next(&[&device], &[&signing]);
    other.next(&[&device], &[&signing]);
    let gone = |taken| match taken {
        Err(TakeRootsError::Unfit(UnfitRoots::GoneBack { sequence, .. })) => sequence,
        other => panic!("{other:?}"),
    };
    assert_eq!(gone(take(&world, first).await), 2);
    assert_eq!(gone(take(&world, other.standing()).await), 1);
    let published = world.authority.roots().published().clone();
    let without = world
        .authority
        .take_roots(SchemeRoots::configured(published));
    let without = without.await;
    assert_eq!(gone(without.map(|roots| roots.sequence())), 1);

    // A root that is published here is retired: the service goes on as it was.
    founders.next(&[&second], &[&signing]);
    let refused = take(&world, founders.standing()).await;
    let Err(TakeRootsError::Unfit(UnfitRoots::NotInForce { hierarchy, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(hierarchy, "device");
    assert_eq!(world.authority.roots().sequence(), 2);
    assert_eq!(world.authority.snapshot().roots().sequence(), 2);
    assert_eq!(world.authority.snapshot().roots().device().len(), 2);
}

#[tokio::test]
async fn what_a_root_says_is_taken_once_and_never_back() {
    let world = World::new().await;
    let (device, signing) = (Certified::root(), Certified::root());
    let (ca, other) = (Certified::root(), Certified::root());
    let first = specimen::roots(&device, &signing);
    let signings = &first.of(Hierarchy::Signing)[0];
    let lists = |number, revoked: &[&Certified]| {
        let revoked: Vec<_> = revoked.iter().map(|ca| &ca.certificate).collect();
        let list = device.revokes(number, &revoked);
        SchemeRoots::configured(PublishedRoots::new(list, signings.clone()))
    };
    let take = |roots| world.authority.take_roots(roots);
    let taken = take(SchemeRoots::configured(first.clone())).await.unwrap();
    let revision = taken.revision();
    let again = take(SchemeRoots::configured(first.clone())).await.unwrap();
    assert_eq!(again.revision(), revision);
    let second = take(lists(2, &[&ca])).await.unwrap();
    assert_eq!(second.revision(), revision + 1);
    for (number, revoked) in [(1, &[][..]), (2, &[&other]), (3, &[]), (3, &[&other])] {
        let refused = take(lists(number, revoked)).await;
        let Err(TakeRootsError::Unfit(UnfitRoots::Crl(unfit))) = refused else {
            panic!("{refused:?}")
        };
        let forgets = matches!(unfit, UnfitCrl::Forgets { .. });
        assert_eq!(forgets, number == 3, "{unfit}");
    }
    assert_eq!(world.authority.roots().revision(), revision + 1);
    let revision = world.authority.snapshot().roots().revision();
    assert_eq!(revision, second.revision());
}
