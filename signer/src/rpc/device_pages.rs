//! Owns the question for a page of devices: its fields, and the token that says where the next page begins.
//!
//! A token is base64url of 16 octets that bind it to the filters, and the 16 octets of the last device id that was looked
//! at. It needs no secret: all that a forged one can say is another place in the asking institution's own list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_pki::algorithm::sha256;
use semops_proto::v1;
use uuid::Uuid;

use crate::{
    domain::device::{DeviceFilter, DeviceId, Reference, Relation, Status},
    error::Error,
    rpc::field,
};

/// Devices in a page that names no size, and in the largest.
const PAGE: (usize, usize) = (100, 500);

/// One page, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageAsked {
    pub(super) filter: DeviceFilter,
    pub(super) after: Option<DeviceId>,
    pub(super) at_most: usize,
}

pub(super) fn asked(message: v1::ListDevicesRequest) -> Result<PageAsked, Error> {
    let filter = DeviceFilter {
        relation: relation(&message)?,
        status: status(message.status)?,
    };
    Ok(PageAsked {
        after: after(&filter, &message.page_token)?,
        at_most: page_size(message.page_size)?,
        filter,
    })
}

/// The token of the page that begins behind `last`.
pub(super) fn token(filter: &DeviceFilter, last: DeviceId) -> String {
    URL_SAFE_NO_PAD.encode([binding(filter), last.uuid().into_bytes()].concat())
}

fn relation(message: &v1::ListDevicesRequest) -> Result<Relation, Error> {
    use v1::DeviceRelation as R;
    let (subscriber, account) = (
        named("subscriber_reference", &message.subscriber_reference)?,
        named("account_reference", &message.account_reference)?,
    );
    match (R::try_from(message.relation), subscriber, account) {
        (Ok(R::Issued), subscriber, None) => Ok(Relation::Issued(subscriber)),
        (Ok(R::Accepted), None, account) => Ok(Relation::Accepted(account)),
        (Ok(R::Issued), _, Some(_)) => Err(field::invalid(
            "account_reference",
            "must be empty for devices that were issued",
        )),
        (Ok(R::Accepted), Some(_), _) => Err(field::invalid(
            "subscriber_reference",
            "must be empty for devices that are accepted",
        )),
        (Ok(R::Unspecified) | Err(_), ..) => Err(field::invalid(
            "relation",
            "must be one of DeviceRelation, not UNSPECIFIED",
        )),
    }
}

fn named(field: &str, text: &str) -> Result<Option<Reference>, Error> {
    (!text.is_empty())
        .then(|| field::reference(field, text))
        .transpose()
}

fn status(code: i32) -> Result<Option<Status>, Error> {
    use v1::DeviceStatus as S;
    match S::try_from(code) {
        Ok(S::Unspecified) => Ok(None),
        Ok(S::Active) => Ok(Some(Status::Active)),
        Ok(S::Revoked) => Ok(Some(Status::Revoked)),
        Ok(S::Expired) => Ok(Some(Status::Expired)),
        Err(_) => Err(field::invalid("status", "must be one of DeviceStatus")),
    }
}

fn page_size(asked: u32) -> Result<usize, Error> {
    let (usual, largest) = PAGE;
    match usize::try_from(asked) {
        Ok(0) => Ok(usual),
        Ok(size) if size <= largest => Ok(size),
        _ => Err(field::invalid("page_size", "must be 1-500, or 0 for 100")),
    }
}

fn after(filter: &DeviceFilter, token: &str) -> Result<Option<DeviceId>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let refused = |why| field::invalid("page_token", why);
    let octets = URL_SAFE_NO_PAD.decode(token).ok();
    let parts = octets
        .as_deref()
        .and_then(|octets| octets.split_at_checked(16));
    let id = parts.and_then(|(_, id)| Uuid::from_slice(id).ok());
    let (Some((bound, _)), Some(id)) = (parts, id) else {
        return Err(refused("must be next_page_token of the page before"));
    };
    if bound != binding(filter) {
        return Err(refused(
            "belongs to other filters; ask for the first page with these",
        ));
    }
    Ok(Some(id.into()))
}

/// No reference has a NUL, so no two filters are spelled alike.
fn binding(filter: &DeviceFilter) -> [u8; 16] {
    let (relation, reference) = match &filter.relation {
        Relation::Issued(reference) => ("issued", reference),
        Relation::Accepted(reference) => ("accepted", reference),
    };
    let status = match filter.status {
        None => "any",
        Some(Status::Active) => "active",
        Some(Status::Revoked) => "revoked",
        Some(Status::Expired) => "expired",
    };
    let reference = reference.as_ref().map_or("", Reference::as_str);
    let spelled = ["semops-device-page-v1", relation, status, reference].join("\0");
    let mut binding = [0; 16];
    binding
        .iter_mut()
        .zip(sha256(spelled.as_bytes()))
        .for_each(|(to, octet)| *to = octet);
    binding
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::collections::HashSet;

    use super::*;

    fn issued() -> v1::ListDevicesRequest {
        v1::ListDevicesRequest {
            relation: v1::DeviceRelation::Issued.into(),
            ..Default::default()
        }
    }

    fn blamed(message: v1::ListDevicesRequest) -> String {
        match asked(message) {
            Err(Error::Invalid { violation, .. }) => violation.field,
            other => panic!("{other:?}"),
        }
    }

    fn filters() -> Vec<DeviceFilter> {
        let reference = |text: &str| Some(text.parse().unwrap());
        let references = [
            None,
            reference("AbCdEfGhIjKlMnOpQrStUv"),
            reference("AbCdEfGhIjKlMnOpQrStUw"),
        ];
        let mut filters = Vec::new();
        for status in [
            None,
            Some(Status::Active),
            Some(Status::Revoked),
            Some(Status::Expired),
        ] {
            for reference in &references {
                for relation in [Relation::Issued, Relation::Accepted] {
                    filters.push(DeviceFilter {
                        relation: relation(reference.clone()),
                        status,
                    });
                }
            }
        }
        filters
    }

    #[test]
    fn a_token_leads_behind_its_device_under_its_own_filters_alone() {
        let last = DeviceId::from_random([9; 16]);
        let filters = filters();
        let tokens: HashSet<_> = filters.iter().map(|filter| token(filter, last)).collect();
        assert_eq!(tokens.len(), filters.len());
        for filter in &filters {
            for other in &filters {
                let read = after(other, &token(filter, last));
                assert_eq!(read.ok() == Some(Some(last)), filter == other);
            }
        }
    }

    #[test]
    fn a_broken_token_is_refused_and_not_repeated() {
        let filter = asked(issued()).unwrap().filter;
        let good = token(&filter, DeviceId::from_random([9; 16]));
        assert_eq!(good.len(), 43);
        let mut broken = vec!["SECRET".to_owned(), format!("{good}A"), format!("{good}=")];
        broken.extend((1..good.len()).map(|end| good.chars().take(end).collect()));
        for text in broken {
            let page_token = text.clone();
            assert_eq!(
                blamed(v1::ListDevicesRequest {
                    page_token,
                    ..issued()
                }),
                "page_token"
            );
            let said = after(&filter, &text).unwrap_err().to_string();
            assert!(!said.contains(&text), "{said}");
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        let reference = "AbCdEfGhIjKlMnOpQrStUv".to_owned();
        let accepted = v1::DeviceRelation::Accepted.into();
        let cases = [
            ("relation", v1::ListDevicesRequest::default()),
            (
                "relation",
                v1::ListDevicesRequest {
                    relation: 3,
                    ..issued()
                },
            ),
            (
                "status",
                v1::ListDevicesRequest {
                    status: 4,
                    ..issued()
                },
            ),
            (
                "page_size",
                v1::ListDevicesRequest {
                    page_size: 501,
                    ..issued()
                },
            ),
            (
                "page_size",
                v1::ListDevicesRequest {
                    page_size: u32::MAX,
                    ..issued()
                },
            ),
            (
                "subscriber_reference",
                v1::ListDevicesRequest {
                    subscriber_reference: "1".into(),
                    ..issued()
                },
            ),
            (
                "account_reference",
                v1::ListDevicesRequest {
                    account_reference: reference.clone(),
                    ..issued()
                },
            ),
            (
                "subscriber_reference",
                v1::ListDevicesRequest {
                    relation: accepted,
                    subscriber_reference: reference,
                    ..issued()
                },
            ),
        ];
        for (field, message) in cases {
            assert_eq!(blamed(message.clone()), field, "{message:?}");
        }
        let sizes = [0, 1, 500].map(|page_size| {
            asked(v1::ListDevicesRequest {
                page_size,
                ..issued()
            })
            .unwrap()
            .at_most
        });
        assert_eq!(sizes, [100, 1, 500]);
    }
}
