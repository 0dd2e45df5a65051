//! Owns the proof of an order: that the device named in it signed it, for the asking institution, and may do so now.

use semops_objects::{
    institution::InstitutionId,
    order::{Order, OrderJws},
    payment::MAX_LIFETIME,
};
use semops_pki::certificate::Certificate;

use crate::{
    clock::Timestamp,
    domain::{
        device::{Device, DeviceId},
        reason::Reason,
    },
};

/// How far a phone's clock may be ahead, seconds.
const MAX_AHEAD_SECONDS: i64 = 30;

/// An order that is good at some moment has expired so many seconds later, whatever it says.
pub const LONGEST_GOOD_SECONDS: i64 = MAX_LIFETIME.cast_signed() + MAX_AHEAD_SECONDS;

/// A refusal by proof or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial(pub Reason);

/// An order whose signature and device certificate were good at the moment of proof. Made by [`prove`] alone.
#[derive(Clone, Debug)]
pub struct ProvenOrder {
    jws: OrderJws,
    device: DeviceId,
    issuer: InstitutionId,
}

impl ProvenOrder {
    /// The order as it was signed.
    pub fn jws(&self) -> &OrderJws {
        &self.jws
    }

    /// Who signed it.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Who issued the device.
    pub fn issuer(&self) -> &InstitutionId {
        &self.issuer
    }
}

impl AsRef<Order> for ProvenOrder {
    fn as_ref(&self) -> &Order {
        self.jws.order()
    }
}

/// Proves an order for `institution` at `now`, signed by `device`: the one in its `kid`, if the institution accepted it.
/// The audience comes first, for it needs no device; the signature last, for it costs the most.
pub fn prove(
    jws: OrderJws,
    institution: &InstitutionId,
    device: Option<&Device>,
    now: Timestamp,
) -> Result<ProvenOrder, Denial> {
    let order = jws.order();
    if order.aud != *institution {
        return Err(Denial(Reason::OrderAudience));
    }
    let device = device.ok_or(Denial(Reason::DeviceNotAccepted))?;
    in_time(order, now)?;
    if device.revoked.is_some() {
        return Err(Denial(Reason::DeviceRevoked));
    }
    let certificate =
        Certificate::from_der(&device.certificate).map_err(|_| Denial(Reason::DeviceExpired))?;
    if certificate.sha256() != jws.kid() {
        return Err(Denial(Reason::OrderSignature));
    }
    if !certificate.valid_at(now.seconds()) {
        return Err(Denial(Reason::DeviceExpired));
    }
    jws.verify(certificate.public_key())
        .map_err(|_| Denial(Reason::OrderSignature))?;
    Ok(ProvenOrder {
        device: device.id,
        issuer: device.issuer.clone(),
        jws,
    })
}

fn in_time(order: &Order, now: Timestamp) -> Result<(), Denial> {
    let seconds = |t: u64| i64::try_from(t).unwrap_or(i64::MAX);
    if Timestamp::from_seconds(seconds(order.exp)) <= now {
        return Err(Denial(Reason::OrderExpired));
    }
    if Timestamp::from_seconds(seconds(order.iat)) > now.plus_seconds(MAX_AHEAD_SECONDS) {
        return Err(Denial(Reason::OrderFromFuture));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_pki::{crl, local_key::LocalKey};

    use super::*;
    use crate::{
        domain::device::Revocation,
        specimen::{NOW, Phone, order, sign_order},
    };

    fn alfa() -> InstitutionId {
        "alfa".parse().unwrap()
    }

    #[test]
    fn the_device_proves_its_order() {
        let phone = Phone::new("mobilis", 200);
        let proven = prove(phone.sign(&order()), &alfa(), Some(&phone.device), NOW).unwrap();
        assert_eq!(
            (proven.device(), proven.issuer()),
            (phone.device.id, &phone.device.issuer)
        );
    }

    #[test]
    fn time_is_strict() {
        let phone = Phone::new("mobilis", 200);
        let at = |micros: i64| {
            let now = Timestamp::from_micros(NOW.micros() + micros);
            prove(phone.sign(&order()), &alfa(), Some(&phone.device), now)
                .map(|_| ())
                .map_err(|d| d.0)
        };
        assert_eq!(at(59_999_999), Ok(()));
        assert_eq!(at(60_000_000), Err(Reason::OrderExpired));
        assert_eq!(at(-30_000_000), Ok(()));
        assert_eq!(at(-30_000_001), Err(Reason::OrderFromFuture));
    }

    #[test]
    fn the_audience_comes_before_what_is_known_of_devices() {
        let signed = Phone::new("mobilis", 200).sign(&order());
        let refused = |to: &InstitutionId| prove(signed.clone(), to, None, NOW).unwrap_err().0;
        assert_eq!(refused(&"beta".parse().unwrap()), Reason::OrderAudience);
        assert_eq!(refused(&alfa()), Reason::DeviceNotAccepted);
    }

    #[test]
    fn each_defect_has_its_reason() {
        let phone = Phone::new("mobilis", 200);
        let good = phone.sign(&order());
        let beta: InstitutionId = "beta".parse().unwrap();
        let refused = |jws: &OrderJws, to: &InstitutionId, device: &Device, now| {
            prove(jws.clone(), to, Some(device), now).unwrap_err().0
        };
        assert_eq!(
            refused(&good, &beta, &phone.device, NOW),
            Reason::OrderAudience
        );

        let revocation = Revocation {
            at: NOW,
            reason: crl::Reason::Unspecified,
        };
        let revoked = Device {
            revoked: Some(revocation),
            ..phone.device.clone()
        };
        assert_eq!(
            refused(&good, &alfa(), &revoked, NOW),
            Reason::DeviceRevoked
        );

        let kid = phone.certified.certificate.sha256();
        let forged = sign_order(&order(), &kid, &LocalKey::generate().unwrap());
        assert_eq!(
            refused(&forged, &alfa(), &phone.device, NOW),
            Reason::OrderSignature
        );

        let other = Phone::new("mobilis", 200);
        assert_eq!(
            refused(&good, &alfa(), &other.device, NOW),
            Reason::OrderSignature
        );

        let lapsed = Phone::new("mobilis", 2);
        let mut late = order();
        (late.iat, late.exp) = (late.iat + 172_800, late.exp + 172_800);
        let later = NOW.plus_seconds(172_800);
        assert_eq!(
            refused(&lapsed.sign(&late), &alfa(), &lapsed.device, later),
            Reason::DeviceExpired
        );
    }
}
