//! Owns an institution's table: its token and PIN, and that its certificates are its own and belong to each other.

use std::collections::{BTreeMap, HashSet};

use secrecy::SecretString;
use semops_objects::{change::MAX_CHANGE_FILE, institution::InstitutionId};
use semops_pki::certificate::Certificate;

use super::{
    material::{self, CaFiles},
    reader::Reader,
};
use crate::domain::{
    ceremony::Ceremony,
    key::TOKENS,
    published_roots::{Hierarchy, PublishedRoot, PublishedRoots},
};

/// One institution: its token and its keys' certificates.
#[derive(Debug)]
pub struct Institution {
    /// Its id.
    pub id: InstitutionId,
    /// The label of its token.
    pub token: String,
    /// The PIN of its token.
    pub pin: SecretString,
    /// Its further tokens, in the order in which a key is looked for.
    pub further: Vec<FurtherToken>,
    /// Its keys of the ceremony.
    pub keys: KeyFiles,
    /// Its first change, from which whatever rules it is verified.
    pub ceremony: Ceremony,
}

/// A token beside the first. None of the keys of the ceremony is in it.
#[derive(Debug)]
pub struct FurtherToken {
    /// Its label.
    pub label: String,
    /// Its PIN.
    pub pin: SecretString,
}

/// The certificates of an institution's keys of the ceremony.
#[derive(Debug)]
pub struct KeyFiles {
    /// Its device CA.
    pub device_ca: CaFiles,
    /// Its signing CA.
    pub signing_ca: CaFiles,
    /// The certificate of its authorization key, issued by its signing CA.
    pub authorization: Certificate,
}

/// The tables of further tokens.
const FURTHER: &str = "further_token";

/// The roots that are published, if they could be read.
pub(super) type Roots<'a> = Option<&'a PublishedRoots>;

pub(super) fn institutions(
    tables: Vec<Reader<'_>>,
    scheme: Option<&str>,
    roots: Roots<'_>,
) -> Option<Vec<Institution>> {
    let mut taken = Taken::default();
    let read = |mut table: Reader<'_>| institution(&mut table, &mut taken, scheme, roots);
    // All are read before one that failed ends it.
    let all: Vec<Option<Institution>> = tables.into_iter().map(read).collect();
    all.into_iter().collect()
}

/// What stands in the tables before.
#[derive(Default)]
struct Taken {
    ids: HashSet<InstitutionId>,
    tokens: HashSet<String>,
}

impl Taken {
    /// Asked of each table before its files are read, so that what is wrong with these hides nothing.
    fn check(&mut self, table: &Reader<'_>, id: Option<&InstitutionId>, token: Option<&String>) {
        if id.is_some_and(|id| !self.ids.insert(id.clone())) {
            table.wrong(
                "id",
                "stands there twice",
                "keep one table for each institution",
            );
        }
        self.check_token(table, token);
    }

    /// One token, one PIN, one institution: what shares a token shares its keys.
    fn check_token(&mut self, table: &Reader<'_>, token: Option<&String>) {
        if token.is_some_and(|token| !self.tokens.insert(token.clone())) {
            table.wrong(
                "token",
                "is named by another table too",
                "give each institution tokens of its own, and name each once",
            );
        }
    }
}

fn institution(
    table: &mut Reader<'_>,
    taken: &mut Taken,
    scheme: Option<&str>,
    roots: Roots<'_>,
) -> Option<Institution> {
    let id = id(table);
    let token = table.text("token");
    taken.check(table, id.as_ref(), token.as_ref());
    let pin = material::pin(table);
    let further = further(table, taken);
    let keys = keys(table, id.as_ref(), roots);
    let ceremony = ceremony(table, scheme, id.as_ref());
    Some(Institution {
        id: id?,
        token: token?,
        pin: pin?,
        further: further?,
        keys: keys?,
        ceremony: ceremony?,
    })
}

/// The PIN of a token, as its file holds it now.
#[derive(Debug)]
pub struct TokenPin {
    /// Whose token it is.
    pub institution: InstitutionId,
    /// Its label.
    pub token: String,
    /// The PIN.
    pub pin: SecretString,
}

/// The PINs that stand in files. One that came by a descriptor was read once, and cannot be read again.
pub(super) fn pins(tables: Vec<Reader<'_>>) -> Option<Vec<TokenPin>> {
    let mut all = Vec::new();
    for mut table in tables {
        let institution = id(&mut table);
        pin_of(&mut table, institution.as_ref(), &mut all);
        for mut further in further_tables(&mut table) {
            pin_of(&mut further, institution.as_ref(), &mut all);
        }
        table.leave_the_rest();
    }
    all.into_iter().collect()
}

fn pin_of(
    table: &mut Reader<'_>,
    institution: Option<&InstitutionId>,
    all: &mut Vec<Option<TokenPin>>,
) {
    let token = table.text("token");
    if table.has("pin_fd") {
        return table.skip(&["pin_fd"]);
    }
    let pin = material::pin(table);
    let read = || {
        Some(TokenPin {
            institution: institution?.clone(),
            token: token?,
            pin: pin?,
        })
    };
    all.push(read());
}

fn further(table: &mut Reader<'_>, taken: &mut Taken) -> Option<Vec<FurtherToken>> {
    let tables = further_tables(table);
    if tables.len() >= TOKENS {
        table.wrong(
            FURTHER,
            format!("gives it {} tokens", tables.len().saturating_add(1)),
            format!("give an institution at most {}", TOKENS),
        );
    }
    let read = |mut table: Reader<'_>| {
        let label = table.text("token");
        taken.check_token(&table, label.as_ref());
        let pin = material::pin(&mut table);
        Some(FurtherToken {
            label: label?,
            pin: pin?,
        })
    };
    let all: Vec<Option<FurtherToken>> = tables.into_iter().map(read).collect();
    all.into_iter().collect()
}

fn further_tables<'a>(table: &mut Reader<'a>) -> Vec<Reader<'a>> {
    if table.has(FURTHER) {
        table.tables(FURTHER)
    } else {
        Vec::new()
    }
}

fn keys(table: &mut Reader<'_>, id: Option<&InstitutionId>, roots: Roots<'_>) -> Option<KeyFiles> {
    let ca = |mut table: Reader<'_>| material::ca(&mut table);
    let device_ca = table.table("device_ca").and_then(ca);
    let signing_ca = table.table("signing_ca").and_then(ca);
    let authorization = table
        .table("authorization")
        .and_then(|mut t| material::chain(&mut t, "chain"));
    let (id, device_ca, signing_ca) = (id?, device_ca?, signing_ca?);
    let (device, signing) = (Hierarchy::Device, Hierarchy::Signing);
    let (device, signing) = (roots?.of(device), roots?.of(signing));
    check_ca(table, "device_ca.certificate", id, &device_ca, device);
    check_ca(table, "signing_ca.certificate", id, &signing_ca, signing);
    let authorization = check_authorization(table, id, authorization?, &signing_ca.certificate)?;
    Some(KeyFiles {
        device_ca,
        signing_ca,
        authorization,
    })
}

fn id(table: &mut Reader<'_>) -> Option<InstitutionId> {
    let id: InstitutionId = table.parsed("id", "give 1-32 of a-z, 0-9 and '-'")?;
    if id.is_scheme() {
        let what = "is the id under which the scheme itself is ruled";
        table.wrong("id", what, "give the institution another one");
        return None;
    }
    Some(id)
}

/// The ceremony and the keys of each institution; the rest of their tables is neither read nor checked.
pub(super) fn ceremonies(
    tables: Vec<Reader<'_>>,
    scheme: Option<&str>,
    roots: Roots<'_>,
) -> BTreeMap<InstitutionId, (Ceremony, KeyFiles)> {
    let read = |mut table: Reader<'_>| {
        let id = id(&mut table);
        let keys = keys(&mut table, id.as_ref(), roots);
        let ceremony = ceremony(&mut table, scheme, id.as_ref());
        table.leave_the_rest();
        id.zip(ceremony.zip(keys))
    };
    tables.into_iter().filter_map(read).collect()
}

/// Without a scheme and an id, whose mistakes are noted, it is read and not judged.
fn ceremony(
    table: &mut Reader<'_>,
    scheme: Option<&str>,
    id: Option<&InstitutionId>,
) -> Option<Ceremony> {
    let key = "ceremony";
    let bytes = table.file_of(key, MAX_CHANGE_FILE)?;
    let ceremony = Ceremony::parse(&bytes, scheme?, id?);
    ceremony
        .map_err(|e| {
            let way_out = "name the file of the ceremony that everybody in its register approved";
            table.wrong(key, e.to_string(), way_out);
        })
        .ok()
}

fn check_ca(
    table: &Reader<'_>,
    key: &str,
    id: &InstitutionId,
    ca: &CaFiles,
    roots: &[PublishedRoot],
) {
    let by = |root: &PublishedRoot| ca.certificate.verify_issued_by(root.certificate());
    if roots.iter().all(|root| by(root).is_err()) {
        let why = roots.first().and_then(|first| by(first).err());
        let why = why.map(|error| error.to_string()).unwrap_or_default();
        let way_out = "name the certificate that a root of this hierarchy issued";
        table.wrong(key, why, way_out);
    }
    if ca.certificate.subject_organization() != Some(id.as_str()) {
        table.wrong(
            key,
            format!("its O is not {id}"),
            "name this institution's certificate",
        );
    }
}

fn check_authorization(
    table: &Reader<'_>,
    id: &InstitutionId,
    chain: Vec<Certificate>,
    signing_ca: &Certificate,
) -> Option<Certificate> {
    let key = "authorization.chain";
    let Ok([leaf, ca]) = <[Certificate; 2]>::try_from(chain) else {
        table.wrong(
            key,
            "is not two certificates",
            "name the leaf, then its signing CA, without the root",
        );
        return None;
    };
    if ca != *signing_ca {
        table.wrong(
            key,
            "its second certificate is not signing_ca.certificate",
            "issue it by this signing CA",
        );
    } else if let Err(error) = leaf.verify_issued_by(&ca) {
        table.wrong(
            key,
            error.to_string(),
            "name the certificate that this signing CA issued",
        );
    }
    if leaf.subject_organization() != Some(id.as_str()) {
        table.wrong(
            key,
            format!("its O is not {id}"),
            "name this institution's certificate",
        );
    }
    Some(leaf)
}
