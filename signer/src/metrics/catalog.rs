//! Owns the catalogue of what is measured: each instrument's name, meaning and labels, and how many series it can have.
//! A name is part of the interface, for dashboards and alerts name it; it ends in its base unit, a counter in `_total`.

use crate::domain::key::TOKENS;

/// A label. Its values are words of this program, or the institutions of the configuration with their tokens and
/// keys, and `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// For whom; `none` for strangers and for what concerns nobody in particular.
    Institution,
    /// The label of a token.
    Token,
    /// Which RPC; `unknown` for a path that is none.
    Method,
    /// How it ended: `code` as in gRPC, and `reason` as in google.rpc.ErrorInfo. A reason has one code as a rule.
    Result,
    /// What is done to a token, to the store, or to be signed.
    Operation,
    /// Which step of an operation.
    Stage,
    /// Whose limit.
    Scope,
    /// What a key is for.
    Purpose,
    /// The id of a key.
    Key,
    /// Which document, or which rows.
    Kind,
    /// Why, where there is no code.
    Reason,
    /// Which part of what rules an institution: its history, a document, its keys.
    What,
    /// Of this program.
    Version,
}

impl Label {
    /// The names under which it stands.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Institution => &["institution"],
            Self::Token => &["token"],
            Self::Method => &["method"],
            Self::Result => &["code", "reason"],
            Self::Operation => &["operation"],
            Self::Stage => &["stage"],
            Self::Scope => &["scope"],
            Self::Purpose => &["purpose"],
            Self::Key => &["key"],
            Self::Kind => &["kind"],
            Self::Reason => &["reason"],
            Self::What => &["what"],
            Self::Version => &["version"],
        }
    }

    /// No more values than this, where so many institutions are configured.
    pub const fn values(self, institutions: usize) -> usize {
        match self {
            Self::Institution => institutions.saturating_add(1),
            // Each is one institution's: with that, no more than four.
            Self::Token => TOKENS,
            Self::Method => 40,
            Self::Result => 96,
            Self::Operation
            | Self::Stage
            | Self::Scope
            | Self::Purpose
            | Self::Kind
            | Self::What => 8,
            Self::Reason | Self::Key => 16,
            Self::Version => 1,
        }
    }
}

/// One instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name, here and in every export.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
}

impl Spec {
    /// The most series that it has, where so many institutions are configured.
    pub fn series(&self, institutions: usize) -> usize {
        let values = self.labels.iter().map(|label| label.values(institutions));
        values.fold(1, usize::saturating_mul)
    }
}

macro_rules! catalogue {
    ($($spec:ident $name:literal [$($label:ident)*] $help:literal)+) => {
        $(pub(super) const $spec: Spec = Spec { name: $name, help: $help, labels: &[$(Label::$label),*] };)+

        /// Every instrument.
        pub const ALL: &[Spec] = &[$($spec),+];
    };
}

catalogue! {
    RPC_REQUESTS "semops_rpc_requests_total" [Method Institution Result]
        "RPCs that ended, by method, caller's institution, gRPC code and reason"
    RPC_DURATION "semops_rpc_duration_seconds" [Method Institution]
        "From the arrival of an RPC's head to its answer"
    RPC_IN_FLIGHT "semops_rpc_in_flight" [Method]
        "RPCs under way"
    STAGE_DURATION "semops_stage_duration_seconds" [Operation Stage Institution]
        "The stages of an operation; sign is the wait for the token and its call"
    HSM_WAIT "semops_hsm_queue_wait_seconds" [Institution Token]
        "How long work waited for a thread of its token"
    HSM_CALL "semops_hsm_call_duration_seconds" [Institution Token Operation]
        "How long the token took, fresh sessions and logins included"
    HSM_QUEUE "semops_hsm_queue_depth" [Institution Token]
        "Work that waits for the token"
    HSM_CAPACITY "semops_hsm_queue_capacity" [Institution Token]
        "Work that may wait for the token; more is refused"
    HSM_WORKERS "semops_hsm_workers" [Institution Token]
        "Worker processes that serve the token"
    HSM_REPLACED "semops_hsm_workers_replaced_total" [Institution Token]
        "Worker processes that ended or hung, and were to be replaced"
    HSM_THREADS "semops_hsm_threads" [Institution Token]
        "Threads of the token's worker processes that serve"
    HSM_BUSY "semops_hsm_threads_busy" [Institution Token]
        "Threads of the token that are in a call"
    HSM_SESSIONS "semops_hsm_sessions" [Institution Token]
        "Sessions open for work; one more keeps the login"
    HSM_LONGEST "semops_hsm_longest_call_seconds" [Institution Token]
        "How long the longest call under way has lasted"
    HSM_SIGNATURES "semops_hsm_signatures_total" [Institution Token]
        "Signatures that the token made"
    HSM_FAILURES "semops_hsm_failures_total" [Institution Token]
        "PKCS#11 calls that failed, those that were mended included"
    HSM_EXPIRED "semops_hsm_expired_total" [Institution Token]
        "Work dropped unsigned because its deadline had passed"
    HSM_LOGINS "semops_hsm_logins_total" [Institution Token]
        "Logins to the token, that of the start included"
    HSM_HEALTH "semops_hsm_health" [Institution Token Reason]
        "1 for the health that the token has, 0 for the others"
    FAULTY_SIGNATURES "semops_faulty_signatures_total" [Institution Operation]
        "Signatures of the token that do not verify, by what was to be signed; none got out"
    FAILOVERS "semops_failovers_total" [Institution Token Purpose Reason]
        "Intents that ended because the token of their key did not sign, while a key in another token could; by that token, and why"
    LIMIT_ADMITTED "semops_limit_admitted_total" [Institution Scope]
        "Requests that the rate limits let through: caller with its institution, then device; public for strangers"
    LIMIT_REFUSED "semops_limit_refused_total" [Institution Scope]
        "Requests that a rate limit refused, by whose limit it was"
    QUOTA_ASKED "semops_quota_asked_total" [Institution Scope]
        "Requests that this replica asked the record to lend of a quota that replicas share"
    QUOTA_LENT "semops_quota_lent_total" [Institution Scope]
        "Requests that the record lent it; what is not used within a second is forfeited"
    QUOTA_FAILED "semops_quota_failures_total" []
        "Times that the record could not be asked for quotas: no new order is co-signed meanwhile"
    STORE_COMMIT "semops_store_commit_duration_seconds" [Operation]
        "How long a group of rows took to be durable"
    STORE_ROWS "semops_store_commit_rows" [Operation]
        "Rows that were made durable together"
    STORE_RETRIES "semops_store_retries_total" [Reason]
        "Transactions and reads that the record's server had to be asked once more, by why"
    STORE_CLOCK "semops_store_clock_apart_seconds" []
        "How far the clock of the record's server is from this host's, at least; 0 where the record is a file"
    HOLD "semops_hold_seconds" []
        "For how long no order is co-signed yet, after the record was restored"
    LEADER "semops_leader" []
        "1 while this process does the scheduled work that one does for all of the record"
    INTENTS_PENDING "semops_intents_pending" []
        "Operations recorded and not ended"
    INTENTS_OVERDUE "semops_intents_overdue" []
        "Operations recorded, not ended, and past their time: the sweep closes them"
    INTENTS_SWEPT "semops_intents_swept_total" [Reason]
        "Operations that the sweep closed"
    ROWS_PRUNED "semops_rows_pruned_total" [Kind]
        "Rows removed because they are not kept any longer, by what they were"
    DOCUMENTS_GENERATION "semops_documents_generation" []
        "How many documents were ever loaded"
    DOCUMENT_VERSION "semops_document_version" [Institution Kind]
        "The version in force"
    UNAPPROVED "semops_unapproved" [Institution What]
        "1 while the record holds what the institution's history does not approve; it is not used"
    RECOVERIES "semops_recovery_pending" [Institution]
        "Recoveries of the custodians that wait for the end of their delay"
    DESTRUCTIONS "semops_key_destructions_due" [Institution]
        "Keys whose destruction was approved and is due, and that are not known to be destroyed"
    KEY_SINCE "semops_key_not_before_timestamp_seconds" [Institution Purpose Key]
        "The start of a signing key's cryptoperiod"
    KEY_ENDS "semops_key_cryptoperiod_end_timestamp_seconds" [Institution Purpose Key]
        "The end of a signing key's cryptoperiod: it signs no more, but a CA's the CRLs of what it issued"
    KEY_MISSING "semops_key_missing" [Institution Purpose Key]
        "1 for a key that is to sign, now or later, and that the token here does not have"
    KEY_SIGNED "semops_key_signatures" [Institution Purpose Key]
        "How many objects a key has signed whose lifetime its policy limits"
    KEY_LIFETIME "semops_key_lifetime_signatures" [Institution Purpose Key]
        "How many objects such a key may sign; then it issues nothing more"
    KEY_UNTIL "semops_certificate_not_after_timestamp_seconds" [Institution Purpose Key]
        "When a signing key's certificate expires, or one above it in its chain"
    CRL_SINCE "semops_crl_this_update_timestamp_seconds" [Institution Purpose Key]
        "When the CRL in force was made"
    CRL_UNTIL "semops_crl_next_update_timestamp_seconds" [Institution Purpose Key]
        "When the CRL in force becomes stale"
    ROOT_CRL_UNTIL "semops_root_crl_next_update_timestamp_seconds" [Purpose Key]
        "When the CRL of an offline root that is published here becomes stale"
    SCHEME_CHANGE "semops_scheme_change" []
        "The number of the change of the scheme by which its roots are in force; 0 while nobody approved them"
    ROOTS_NOT_TAKEN "semops_roots_not_taken" []
        "1 while the roots as SIGHUP had them read last could not be read or taken: the service goes on with those before"
    SERVER_UNTIL "semops_server_certificate_not_after_timestamp_seconds" []
        "When the server's TLS certificate expires"
    CONNECTIONS_OPEN "semops_connections_open" []
        "gRPC connections with a TLS session"
    CONNECTIONS_ALLOWED "semops_connections_allowed" []
        "gRPC connections that there may be: those configured, or as many as the limit of open files leaves"
    CONNECTIONS_CONFIGURED "semops_connections_configured" []
        "gRPC connections that the configuration allows"
    CONNECTIONS_REFUSED "semops_connections_refused_total" [Reason]
        "gRPC connections that came to nothing"
    CONNECTIONS_ENDED "semops_connections_ended_total" [Reason]
        "gRPC connections that the service ended"
    EXPORTS "semops_telemetry_exports_total" [Operation Reason]
        "Batches of traces and metrics sent to the collector, or lost"
    READY "semops_ready" []
        "1 while the service takes requests"
    BUILD "semops_build_info" [Version]
        "1"
    STARTED "semops_process_start_time_seconds" []
        "When the process started"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_in_base_units() {
        let names: HashSet<_> = ALL.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            let word = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(
                name.starts_with("semops_") && name.bytes().all(word),
                "{name}"
            );
            for unit in ["milli", "micro", "nano", "minutes", "hours", "kilo"] {
                assert!(!name.contains(unit), "{name}");
            }
        }
    }

    /// What the dashboard and the alerts ask for is measured, and all that is measured is on the dashboard.
    #[test]
    fn the_dashboard_and_the_alerts_name_what_is_measured() {
        let names: HashSet<&str> = ALL.iter().map(|spec| spec.name).collect();
        let dashboard = named_in(include_str!("../../ops/dashboard.json"));
        let alerts = named_in(include_str!("../../ops/alerts.yml"));
        let tested = named_in(include_str!("../../ops/alerts.test.yml"));
        assert_eq!(
            alerts.union(&tested).copied().collect::<HashSet<_>>(),
            alerts
        );
        assert!(alerts.is_subset(&names), "{:?}", alerts.difference(&names));
        assert_eq!(dashboard, names);
    }

    /// The instruments in a text; those of a histogram have a suffix each.
    fn named_in(text: &str) -> HashSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let ours = words.filter(|word| word.starts_with("semops_"));
        let suffixes = ["_bucket", "_sum", "_count"];
        ours.map(|name| {
            let base = suffixes.iter().find_map(|end| name.strip_suffix(end));
            base.unwrap_or(name)
        })
        .collect()
    }

    #[test]
    fn series_are_bounded() {
        for spec in ALL {
            let (few, many) = (spec.series(3), spec.series(64));
            assert!(
                few <= 16_000 && many <= 250_000,
                "{}: {few}, {many}",
                spec.name
            );
        }
        assert_eq!(INTENTS_PENDING.series(64), 1);
    }
}
