//! Owns the table `[roots]`: the offline roots that are published here, with their CRLs, and the history of the scheme by which
//! they are in force. All of it can be read again while the service serves.

use std::{collections::HashSet, path::Path};

use semops_objects::change::{ChangeFile, SchemeStanding};

use super::{ConfigMistakes, load, material, reader::Reader, sections};
use crate::domain::{
    published_roots::{Hierarchy, PublishedRoot, PublishedRoots},
    scheme_roots::{SchemeRoots, UnfitRoots},
};

/// The most changes of one scheme that are read.
const MOST_CHANGES: usize = 1000;

/// The longest of their files, octets: a register of 64 persons with four keys each has a fifth of it.
const LONGEST_CHANGE: usize = 1 << 20;

/// The tables of roots that came beside the first ones.
const FURTHER: &str = "further";

/// What the table says, as far as it could be read.
#[derive(Default)]
pub(super) struct Roots {
    /// What is published.
    pub(super) published: Option<PublishedRoots>,
    /// Which are in force, with that.
    pub(super) in_force: Option<SchemeRoots>,
}

/// Reads the table `[roots]` and the files that it names again, at `now` (Unix seconds). The rest of the configuration is neither
/// read nor checked.
///
/// # Errors
/// All mistakes in this part.
pub fn load_roots(file: &Path, now: i64) -> Result<SchemeRoots, ConfigMistakes> {
    load(file, |mut file| {
        let scheme = sections::scheme(&mut file);
        let roots = roots(&mut file, scheme.as_deref(), now);
        file.leave_the_rest();
        roots.in_force
    })
}

/// The table; without a scheme, whose mistake is noted, its changes are read and not judged.
pub(super) fn roots(file: &mut Reader<'_>, scheme: Option<&str>, now: i64) -> Roots {
    let Some(mut table) = file.table("roots") else {
        return Roots::default();
    };
    let standing = changes(&mut table, scheme, now);
    let published = published(&mut table);
    let in_force = match (published.clone(), standing) {
        (Some(published), Some(standing)) => in_force(&table, published, standing),
        _ => None,
    };
    Roots {
        published,
        in_force,
    }
}

fn in_force(
    table: &Reader<'_>,
    published: PublishedRoots,
    standing: Option<SchemeStanding>,
) -> Option<SchemeRoots> {
    let Some(standing) = standing else {
        return Some(SchemeRoots::configured(published));
    };
    SchemeRoots::approved(standing, published)
        .map_err(|unfit| {
            let key = match unfit {
                UnfitRoots::NotInForce { hierarchy, .. } => format!("{hierarchy}.certificate"),
                UnfitRoots::GoneBack { .. } | UnfitRoots::Crl(_) => "changes".to_owned(),
            };
            let way_out = "name a root that the scheme's custodians have put in force, or add the change file by which they did";
            table.wrong(&key, unfit.to_string(), way_out);
        })
        .ok()
}

/// What stands by the files that `changes` names; nothing if there is no such key.
fn changes(
    table: &mut Reader<'_>,
    scheme: Option<&str>,
    now: i64,
) -> Option<Option<SchemeStanding>> {
    const KEY: &str = "changes";
    const WAY_OUT: &str = "name the scheme's change files in their order, the ceremony first; `semopsctl scheme verify` says \
                           what is in force by them";
    if !table.has(KEY) {
        return Some(None);
    }
    let files = table.files_of(KEY, MOST_CHANGES, LONGEST_CHANGE)?;
    let mut changes = Vec::with_capacity(files.len());
    for (place, bytes) in (1..).zip(&files) {
        match ChangeFile::parse(bytes) {
            Ok(change) => changes.push(change),
            Err(error) => {
                let place: usize = place;
                table.wrong(KEY, format!("change {place}: {error}"), WAY_OUT);
                return None;
            }
        }
    }
    let now = u64::try_from(now).unwrap_or_default();
    let standing = SchemeStanding::of(scheme?, &changes, now);
    standing
        .map_err(|error| table.wrong(KEY, error.to_string(), WAY_OUT))
        .ok()
        .map(Some)
}

/// The roots of both hierarchies: the first of each, and those that came beside them.
fn published(roots: &mut Reader<'_>) -> Option<PublishedRoots> {
    let mut first = |hierarchy: Hierarchy| root(roots.table(hierarchy.name())?);
    let (device, signing) = (first(Hierarchy::Device), first(Hierarchy::Signing));
    let further = further(roots);
    let mut published = PublishedRoots::new(device?, signing?);
    for (hierarchy, root) in further? {
        published.add(hierarchy, root);
    }
    let mut keys = HashSet::new();
    let distinct = published.all().all(|(_, root)| keys.insert(root.id()));
    if !distinct {
        let way_out = "name each root once, and give each hierarchy its own";
        roots.wrong("signing", "has the key of another root", way_out);
    }
    Some(published)
}

/// The roots that came beside the first ones.
fn further(roots: &mut Reader<'_>) -> Option<Vec<(Hierarchy, PublishedRoot)>> {
    let words = Hierarchy::ALL.map(|hierarchy| (hierarchy.name(), hierarchy));
    let tables = if roots.has(FURTHER) {
        roots.tables(FURTHER)
    } else {
        Vec::new()
    };
    let read = tables.into_iter().map(|mut table| {
        let hierarchy = table.word("hierarchy", &words);
        hierarchy.zip(root(table))
    });
    // All are read before one that failed ends it.
    let all: Vec<Option<_>> = read.collect();
    all.into_iter().collect()
}

fn root(mut table: Reader<'_>) -> Option<PublishedRoot> {
    let files = material::ca(&mut table)?;
    if let Err(error) = files.certificate.verify_issued_by(&files.certificate) {
        let way_out = "name the self-signed root of this hierarchy";
        table.wrong("certificate", error.to_string(), way_out);
        return None;
    }
    Some(PublishedRoot::new(files.certificate, files.crl))
}
