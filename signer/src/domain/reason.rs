//! Owns the stable reasons: why something was refused or could not be done, as callers, audit events and outcomes name
//! it. A name is part of the API and is never changed; its text says what to do.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $text:literal)+) => {
        /// A stable reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name, as in google.rpc.ErrorInfo and in audit events.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What was wrong and what to do, for the caller.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// A field does not have the form that the API asks for.
    InvalidField "INVALID_FIELD"
        "a field does not have the form that the API asks for"
    /// The bytes are no certification request that is accepted here.
    RequestNotAcceptable "REQUEST_NOT_ACCEPTABLE"
        "the certification request is not acceptable"
    /// The key is weak, odd, or certified already.
    KeyNotAcceptable "KEY_NOT_ACCEPTABLE"
        "the public key is not acceptable; make a new P-256 key in the phone and a new request"
    /// The phone's signature does not verify.
    OrderSignature "ORDER_SIGNATURE"
        "the order is not signed by the device named in its kid; the phone signs a new one with its own key"
    /// No registered caller.
    CallerUnknown "CALLER_UNKNOWN"
        "the client certificate is not that of a registered caller; ask the operator to check the register of callers"
    /// The caller's role may not do it.
    RoleNotAllowed "ROLE_NOT_ALLOWED"
        "the caller's role may not use this method; use the credentials of the role that may"
    /// The order is addressed to another institution.
    OrderAudience "ORDER_AUDIENCE"
        "the order is addressed to another institution; only the one in its aud may have it co-signed"
    /// No such device for the caller's institution.
    DeviceNotFound "DEVICE_NOT_FOUND"
        "the institution neither issued nor accepted such a device; compare the id with the one that the phone shows"
    /// No such order for the caller's institution.
    OrderNotFound "ORDER_NOT_FOUND"
        "the institution has no such order; compare device and jti, or have the order co-signed with CosignOrder"
    /// No such CRL.
    CrlNotFound "CRL_NOT_FOUND"
        "there is no such CRL here; certificates name theirs in cRLDistributionPoints"
    /// No such key for the caller's institution.
    KeyNotFound "KEY_NOT_FOUND"
        "the institution has no key with this id; ListKeys shows those that it has"
    /// No such version of a document of the caller's institution.
    DocumentNotFound "DOCUMENT_NOT_FOUND"
        "the institution has no such version of this document; ListDocumentVersions shows those that it has"
    /// Other content under the same order id.
    OrderConflict "ORDER_CONFLICT"
        "another order, or the same with other references, stands under this device and jti; a new order needs a new jti"
    /// What became of it is not kept any longer.
    OutcomePruned "OUTCOME_PRUNED"
        "the order has ended, and what was answered is not kept here any longer; it is never signed again, and a new order needs a new jti"
    /// The same request with another subscriber.
    RequestConflict "REQUEST_CONFLICT"
        "this request was enrolled for another subscriber; a new device needs a new key and request"
    /// The same request asked for a key of another purpose.
    KeyRequestConflict "KEY_REQUEST_CONFLICT"
        "this request_id asked for a key of another purpose before; another key needs a new request_id"
    /// As many new keys wait as may.
    TooManyNewKeys "TOO_MANY_NEW_KEYS"
        "two keys of this purpose wait already; propose the rotation to one of them, ListKeys shows them as PRE_ACTIVATION"
    /// The key of the request was given up.
    KeyDiscarded "KEY_DISCARDED"
        "the key that this request_id asked for was discarded; another key needs a new request_id"
    /// The scheme has no usage for it.
    UsageNotNamed "USAGE_NOT_NAMED"
        "the scheme names no extended key usage for keys of this purpose; name audit_eku or statement_eku in [oids] of every service's configuration"
    /// Programs may serve that cannot read such a key.
    OldProgramsMayServe "OLD_PROGRAMS_MAY_SERVE"
        "programs may serve that cannot read a key of this purpose; replace every replica, then let the operator run signer migrate --contract"
    /// The key is not one that waits for a change.
    KeyInUse "KEY_IN_USE"
        "the key is not one that waits for a change, or a pending change would take it up"
    /// Accepted for another account.
    DeviceAcceptedOtherwise "DEVICE_ACCEPTED_OTHERWISE"
        "the device is accepted for another account; call ReleaseDevice first"
    /// Unknown, revoked, or of an issuer outside policy.
    DeviceNotAcceptable "DEVICE_NOT_ACCEPTABLE"
        "the device cannot be accepted; check the id that the phone shows"
    /// Not accepted by the caller's institution.
    DeviceNotAccepted "DEVICE_NOT_ACCEPTED"
        "the institution has not accepted the device that signed the order; call AcceptDevice first"
    /// Revoked by its issuer.
    DeviceRevoked "DEVICE_REVOKED"
        "the device is revoked; the customer needs a new enrolment"
    /// Its certificate has expired, or is not valid yet.
    DeviceExpired "DEVICE_EXPIRED"
        "the device's certificate is outside its validity; the customer needs a new enrolment"
    /// The order's `exp` has passed.
    OrderExpired "ORDER_EXPIRED"
        "the order's exp has passed; the customer may sign a new order"
    /// The order's `iat` is ahead of the clock.
    OrderFromFuture "ORDER_FROM_FUTURE"
        "the order's iat is more than 30 s ahead; set the phone's clock"
    /// The amount is above policy's for one order.
    AmountOverPolicy "AMOUNT_OVER_POLICY"
        "the amount is above what policy allows for one order; the customer may order less"
    /// Policy has no limit for the currency.
    CurrencyNotAllowed "CURRENCY_NOT_ALLOWED"
        "policy has no limit for the order's currency, so it is not allowed; a version of the policy with one allows it"
    /// Policy does not allow the channel.
    ChannelNotAllowed "CHANNEL_NOT_ALLOWED"
        "policy does not allow the order's channel; a version of the policy that names it does"
    /// Policy does not allow the payee's institution.
    PayeeNotAllowed "PAYEE_NOT_ALLOWED"
        "policy does not allow the payee's institution; a version of the policy that names it does"
    /// Policy does not allow the device's issuer.
    IssuerNotAllowed "ISSUER_NOT_ALLOWED"
        "policy does not allow the issuer of the device; a version of the policy that names it does"
    /// The device's amount per day is used up.
    DeviceAmountPerDay "DEVICE_AMOUNT_PER_DAY"
        "the device's amount for 24 hours would be passed; the customer may order less, or wait until earlier orders are a day old"
    /// The device's orders per day are used up.
    DeviceOrdersPerDay "DEVICE_ORDERS_PER_DAY"
        "the device's number of orders for 24 hours would be passed; the customer may wait until earlier orders are a day old"
    /// The subscriber has as many devices as policy allows.
    SubscriberDeviceLimit "SUBSCRIBER_DEVICE_LIMIT"
        "the subscriber has as many devices as policy allows; revoke one that is not used"
    /// What rules the institution is not what its custodians approved.
    NotApproved "NOT_APPROVED"
        "what rules the institution stands in the record otherwise than its custodians approved it, so nothing is done by it; tell the operator of the service at once, and call again with the same content later"
    /// No such change of the caller's institution.
    ChangeNotFound "CHANGE_NOT_FOUND"
        "the institution has no such change; ListChanges shows those that it has"
    /// Executed or rejected already.
    ChangeEnded "CHANGE_ENDED"
        "the change has ended, and nothing more is decided about it; propose another if it is still wanted"
    /// The proposal's `exp` has passed.
    ChangeExpired "CHANGE_EXPIRED"
        "the proposal's exp has passed; propose it anew"
    /// The proposal's `iat` is ahead of the clock.
    ChangeNotYetValid "CHANGE_NOT_YET_VALID"
        "the proposal's iat is more than 30 s ahead; set the clock of the proposer's machine"
    /// As many changes are pending as may be.
    TooManyChanges "TOO_MANY_CHANGES"
        "as many changes of the institution are pending as may be; approve or reject some first, or wait until they expire"
    /// The bytes are no proposal, approval or change file.
    ChangeMalformed "CHANGE_MALFORMED"
        "what was sent is no proposal, no approval or no change file"
    /// Another change was executed since.
    BaseMoved "BASE_MOVED"
        "what the change is made on has changed; look at what stands now, and propose it anew on that"
    /// Made for another scheme.
    OtherScheme "OTHER_SCHEME"
        "the change is made for another scheme"
    /// Made for another institution.
    OtherInstitution "OTHER_INSTITUTION"
        "the change is made for another institution"
    /// The approval is of another proposal.
    OtherProposal "OTHER_PROPOSAL"
        "the approval is of another proposal; sign one of this"
    /// The approval does not say what it must, or is not signed by whom it says.
    ApprovalInvalid "APPROVAL_INVALID"
        "the approval does not count; the person signs a new one with the own approval key, by a clock that is right"
    /// The approval key stands in no register.
    NotACustodian "NOT_A_CUSTODIAN"
        "the approval key is no custodian's of the institution; use the one that stands in its register"
    /// The person's decisions do not count.
    CustodianSuspended "CUSTODIAN_SUSPENDED"
        "the person is suspended as a custodian; others have to decide"
    /// A person decides once.
    AlreadyDecided "ALREADY_DECIDED"
        "the person has decided about this change already, and each person counts once"
    /// A quorum below two.
    QuorumTooSmall "QUORUM_TOO_SMALL"
        "a quorum is two persons or more"
    /// A register that could not do without one of its persons.
    TooFewCustodians "TOO_FEW_CUSTODIANS"
        "a register of custodians has one active person more than its quorum, or more"
    /// A register that is none.
    CustodiansInvalid "CUSTODIANS_INVALID"
        "the register of custodians is not acceptable"
    /// A ceremony that not everybody approved, or none.
    CeremonyIncomplete "CEREMONY_INCOMPLETE"
        "a history begins with a ceremony that everybody in its register approved, and has no other"
    /// The recovery key may not do it.
    RecoveryRefused "RECOVERY_REFUSED"
        "the recovery key decides about a new register of custodians alone, after its delay"
    /// Not the document that the proposal names.
    DocumentMismatch "DOCUMENT_MISMATCH"
        "the document is not the one that the proposal names, or not the next version"
    /// A document that cannot be used.
    DocumentInvalid "DOCUMENT_INVALID"
        "the document is not acceptable"
    /// A trust document with a root of somebody's own.
    RootNotApproved "ROOT_NOT_APPROVED"
        "a root in the trust document is none of the scheme's"
    /// A certificate that cannot be used.
    CertificateInvalid "CERTIFICATE_INVALID"
        "the certificate of the new key is not acceptable"
    /// Not what the proposal names came with it.
    AttachmentMismatch "ATTACHMENT_MISMATCH"
        "what accompanies the proposal is not what it names, each once"
    /// The key's state does not allow it.
    KeyState "KEY_STATE"
        "the key's state does not allow it; ListKeys shows the state of each"
    /// What a CA's key issued outlasts it.
    KeyNeeded "KEY_NEEDED"
        "what the CA's key issued is still valid when the key would be destroyed, and could not be revoked any more; revoke it first, or choose a later time"
    /// The intent was not finished in its time.
    Overdue "OVERDUE"
        "it was not finished in its time; call again"
    /// A resumed intent had less than half of its authorization's time left.
    TooLate "TOO_LATE"
        "too little of the authorization's time was left when it was resumed; the customer may sign a new order"
    /// The key named in an intent is not here.
    KeyGone "KEY_GONE"
        "the key that it was recorded for is not here any more; the customer may sign a new order"
    /// The token of the key named in an intent did not sign it.
    TokenFailed "TOKEN_FAILED"
        "the token of the key that it was recorded for did not sign it, and another key does not sign what was begun with that one; the customer may sign a new order"
    /// The root has revoked the CA of the institution's key.
    CaRevoked "CA_REVOKED"
        "the root has revoked the certificate of the institution's CA; its security team has to rotate to a key by another one"
    /// The signing key may not be used now.
    KeyNotActive "KEY_NOT_ACTIVE"
        "the institution's signing key may not be used now; its security team has to act"
    /// The signing key has signed as often as policy allows.
    KeyWornOut "KEY_WORN_OUT"
        "the institution's signing key has signed as often as its policy allows; its security team has to rotate it"
    /// A window of a rate limit is used up.
    RateLimited "RATE_LIMITED"
        "too many requests; call again with the same content after the time that is told, and not before"
    /// As many requests of the institution are under way as its policy allows.
    TooManyInFlight "TOO_MANY_IN_FLIGHT"
        "too many requests of the institution are under way; call again, a little later each time"
    /// Its documents are in force, its token is not configured yet.
    InstitutionNotServed "INSTITUTION_NOT_SERVED"
        "the service does not hold the institution's keys yet; it does from its next start"
    /// The token's queue is full.
    HsmQueueFull "HSM_QUEUE_FULL"
        "too much waits for the institution's token; call again, a little later each time"
    /// The token cannot be reached.
    HsmUnavailable "HSM_UNAVAILABLE"
        "the institution's token cannot be used now; call again with the same content"
    /// The token's signature does not verify with the key's certificate.
    FaultySignature "FAULTY_SIGNATURE"
        "the institution's token made a signature that does not verify, and it was thrown away; call again with the same content"
    /// The record was restored from a backup a short while ago.
    AfterRestore "AFTER_RESTORE"
        "the record was restored from a backup, and orders that it lost may still be valid; call again with the same content after the time that is told"
    /// The store's queue is full.
    StoreQueueFull "STORE_QUEUE_FULL"
        "too much waits to be recorded, or another program holds the record; call again, a little later each time"
    /// The store cannot be reached.
    StoreUnavailable "STORE_UNAVAILABLE"
        "the record cannot be written or read now; call again with the same content"
    /// The clocks of the service and of its store do not agree.
    ClockApart "CLOCK_APART"
        "the clocks of this replica and of the record are more than a second apart; call another replica with the same content, or again later"
}

impl Reason {
    /// The reason with this name, for reasons that were stored.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_stable_name() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.name()), Some(*reason));
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_')
            );
        }
    }
}
