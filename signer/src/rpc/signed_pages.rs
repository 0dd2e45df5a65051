//! Owns the question for a page of what a key has signed: its fields, and the token that says where the next page begins.
//!
//! A token is base64url of 16 octets that bind it to the key and the time, and the 16 octets of the last place that was
//! shown: microseconds and number, big-endian. It needs no secret: a forged one says another place in the same list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_pki::algorithm::sha256;
use semops_proto::v1;

use crate::{
    authority::SignedPlace, clock::Timestamp, domain::key::KeyId, error::Error, rpc::field,
};

/// Objects in a page that names no size, and in the largest.
const PAGE: (usize, usize) = (100, 500);

/// One page, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageAsked {
    pub(super) key: KeyId,
    pub(super) since: Timestamp,
    pub(super) after: Option<SignedPlace>,
    pub(super) at_most: usize,
}

pub(super) fn asked(message: v1::ListSignedRequest) -> Result<PageAsked, Error> {
    let mut asked = PageAsked {
        key: field::parsed("key_id", &message.key_id)?,
        since: Timestamp::from_seconds(message.since),
        after: None,
        at_most: page_size(message.page_size)?,
    };
    asked.after = after(&asked, &message.page_token)?;
    Ok(asked)
}

/// The token of the page that begins behind `last`.
pub(super) fn token(asked: &PageAsked, last: SignedPlace) -> String {
    let place = [last.at.micros().to_be_bytes(), last.operation.to_be_bytes()];
    URL_SAFE_NO_PAD.encode([binding(asked).as_slice(), place.as_flattened()].concat())
}

fn page_size(asked: u32) -> Result<usize, Error> {
    let (usual, largest) = PAGE;
    match usize::try_from(asked) {
        Ok(0) => Ok(usual),
        Ok(size) if size <= largest => Ok(size),
        _ => Err(field::invalid("page_size", "must be 1-500, or 0 for 100")),
    }
}

fn after(asked: &PageAsked, token: &str) -> Result<Option<SignedPlace>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let refused = |why| field::invalid("page_token", why);
    let octets = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let ([bound @ .., at, operation], []) = octets.as_chunks::<8>() else {
        return Err(refused("must be next_page_token of the page before"));
    };
    match bound.as_flattened() {
        bound if *bound == binding(asked) => Ok(Some(SignedPlace {
            at: Timestamp::from_micros(i64::from_be_bytes(*at)),
            operation: i64::from_be_bytes(*operation),
        })),
        bound if bound.len() == 16 => Err(refused(
            "belongs to another list; ask for the first page of this one",
        )),
        _ => Err(refused("must be next_page_token of the page before")),
    }
}

fn binding(asked: &PageAsked) -> [u8; 16] {
    let since = asked.since.micros().to_be_bytes();
    let spelled = [
        b"semops-signed-page-v1".as_slice(),
        asked.key.as_bytes(),
        &since,
    ]
    .concat();
    let mut binding = [0; 16];
    binding
        .iter_mut()
        .zip(sha256(&spelled))
        .for_each(|(to, octet)| *to = octet);
    binding
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn of(key: u8, since: i64) -> v1::ListSignedRequest {
        v1::ListSignedRequest {
            key_id: KeyId::new([key; 32]).to_string(),
            since,
            ..Default::default()
        }
    }

    fn blamed(message: v1::ListSignedRequest) -> String {
        match asked(message) {
            Err(Error::Invalid { violation, .. }) => violation.field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_leads_behind_its_place_in_its_own_list_alone() {
        let last = SignedPlace {
            at: Timestamp::from_micros(1_800_000_000_000_001),
            operation: 7,
        };
        let lists = [of(1, 0), of(1, 9), of(2, 0)];
        for list in &lists {
            let page_token = token(&asked(list.clone()).unwrap(), last);
            assert_eq!(page_token.len(), 43);
            for other in &lists {
                let page_token = page_token.clone();
                let read = asked(v1::ListSignedRequest {
                    page_token,
                    ..other.clone()
                });
                let read = read.ok().and_then(|asked| asked.after);
                assert_eq!(read, (list == other).then_some(last));
            }
        }
    }

    #[test]
    fn each_wrong_field_is_named_and_not_repeated() {
        let good = token(
            &asked(of(1, 0)).unwrap(),
            SignedPlace {
                at: Timestamp::from_micros(1),
                operation: 1,
            },
        );
        let mut broken = vec!["SECRET".to_owned(), format!("{good}A"), format!("{good}=")];
        broken.extend((1..good.len()).map(|end| good.chars().take(end).collect()));
        for page_token in broken {
            let message = v1::ListSignedRequest {
                page_token: page_token.clone(),
                ..of(1, 0)
            };
            let said = asked(message.clone()).unwrap_err().to_string();
            assert!(!said.contains(&page_token), "{said}");
            assert_eq!(blamed(message), "page_token");
        }
        assert_eq!(blamed(v1::ListSignedRequest::default()), "key_id");
        let size = |page_size| v1::ListSignedRequest {
            page_size,
            ..of(1, 0)
        };
        assert_eq!(blamed(size(501)), "page_size");
        let sizes = [0, 1, 500].map(|page_size| asked(size(page_size)).unwrap().at_most);
        assert_eq!(sizes, [100, 1, 500]);
    }
}
