//! Checks the table against the return values of PKCS#11 v3.0 (pkcs11t.h), by number and name.

use cryptoki::context::Function;
use cryptoki::error::Rv;

use super::*;

const RETRY: &[(u64, &str)] = &[
    (0x001, "CKR_CANCEL"),
    (0x002, "CKR_HOST_MEMORY"),
    (0x006, "CKR_FUNCTION_FAILED"),
    (0x008, "CKR_NO_EVENT"),
    (0x030, "CKR_DEVICE_ERROR"),
    (0x031, "CKR_DEVICE_MEMORY"),
    (0x032, "CKR_DEVICE_REMOVED"),
    (0x050, "CKR_FUNCTION_CANCELED"),
    (0x051, "CKR_FUNCTION_NOT_PARALLEL"),
    (0x060, "CKR_KEY_HANDLE_INVALID"),
    (0x065, "CKR_KEY_CHANGED"),
    (0x066, "CKR_KEY_NEEDED"),
    (0x082, "CKR_OBJECT_HANDLE_INVALID"),
    (0x090, "CKR_OPERATION_ACTIVE"),
    (0x091, "CKR_OPERATION_NOT_INITIALIZED"),
    (0x0B0, "CKR_SESSION_CLOSED"),
    (0x0B1, "CKR_SESSION_COUNT"),
    (0x0B3, "CKR_SESSION_HANDLE_INVALID"),
    (0x0B6, "CKR_SESSION_EXISTS"),
    (0x0E0, "CKR_TOKEN_NOT_PRESENT"),
    (0x0E1, "CKR_TOKEN_NOT_RECOGNIZED"),
    (0x100, "CKR_USER_ALREADY_LOGGED_IN"),
    (0x160, "CKR_SAVED_STATE_INVALID"),
    (0x180, "CKR_STATE_UNSAVEABLE"),
];

const RELOGIN: &[(u64, &str)] = &[(0x101, "CKR_USER_NOT_LOGGED_IN")];

const RESTART: &[(u64, &str)] = &[
    (0x003, "CKR_SLOT_ID_INVALID"),
    (0x005, "CKR_GENERAL_ERROR"),
    (0x190, "CKR_CRYPTOKI_NOT_INITIALIZED"),
    (0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED"),
    (0x1A0, "CKR_MUTEX_BAD"),
    (0x1A1, "CKR_MUTEX_NOT_LOCKED"),
];

const FATAL: &[(u64, &str)] = &[
    (0x009, "CKR_NEED_TO_CREATE_THREADS"),
    (0x00A, "CKR_CANT_LOCK"),
    (0x0A0, "CKR_PIN_INCORRECT"),
    (0x0A1, "CKR_PIN_INVALID"),
    (0x0A2, "CKR_PIN_LEN_RANGE"),
    (0x0A3, "CKR_PIN_EXPIRED"),
    (0x0A4, "CKR_PIN_LOCKED"),
    (0x102, "CKR_USER_PIN_NOT_INITIALIZED"),
    (0x103, "CKR_USER_TYPE_INVALID"),
    (0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
    (0x105, "CKR_USER_TOO_MANY_TYPES"),
    (0x121, "CKR_RANDOM_NO_RNG"),
    (0x1B0, "CKR_NEW_PIN_MODE"),
    (0x1B1, "CKR_NEXT_OTP"),
    (0x1B6, "CKR_FIPS_SELF_TEST_FAILED"),
    (0x1B7, "CKR_LIBRARY_LOAD_FAILED"),
    (0x1B8, "CKR_PIN_TOO_WEAK"),
];

const REJECT: &[(u64, &str)] = &[
    (0x007, "CKR_ARGUMENTS_BAD"),
    (0x010, "CKR_ATTRIBUTE_READ_ONLY"),
    (0x011, "CKR_ATTRIBUTE_SENSITIVE"),
    (0x012, "CKR_ATTRIBUTE_TYPE_INVALID"),
    (0x013, "CKR_ATTRIBUTE_VALUE_INVALID"),
    (0x01B, "CKR_ACTION_PROHIBITED"),
    (0x020, "CKR_DATA_INVALID"),
    (0x021, "CKR_DATA_LEN_RANGE"),
    (0x040, "CKR_ENCRYPTED_DATA_INVALID"),
    (0x041, "CKR_ENCRYPTED_DATA_LEN_RANGE"),
    (0x054, "CKR_FUNCTION_NOT_SUPPORTED"),
    (0x062, "CKR_KEY_SIZE_RANGE"),
    (0x063, "CKR_KEY_TYPE_INCONSISTENT"),
    (0x064, "CKR_KEY_NOT_NEEDED"),
    (0x067, "CKR_KEY_INDIGESTIBLE"),
    (0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED"),
    (0x069, "CKR_KEY_NOT_WRAPPABLE"),
    (0x06A, "CKR_KEY_UNEXTRACTABLE"),
    (0x070, "CKR_MECHANISM_INVALID"),
    (0x071, "CKR_MECHANISM_PARAM_INVALID"),
    (0x0B4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"),
    (0x0B5, "CKR_SESSION_READ_ONLY"),
    (0x0B7, "CKR_SESSION_READ_ONLY_EXISTS"),
    (0x0B8, "CKR_SESSION_READ_WRITE_SO_EXISTS"),
    (0x0C0, "CKR_SIGNATURE_INVALID"),
    (0x0C1, "CKR_SIGNATURE_LEN_RANGE"),
    (0x0D0, "CKR_TEMPLATE_INCOMPLETE"),
    (0x0D1, "CKR_TEMPLATE_INCONSISTENT"),
    (0x0E2, "CKR_TOKEN_WRITE_PROTECTED"),
    (0x0F0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"),
    (0x0F1, "CKR_UNWRAPPING_KEY_SIZE_RANGE"),
    (0x0F2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT"),
    (0x110, "CKR_WRAPPED_KEY_INVALID"),
    (0x112, "CKR_WRAPPED_KEY_LEN_RANGE"),
    (0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID"),
    (0x114, "CKR_WRAPPING_KEY_SIZE_RANGE"),
    (0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT"),
    (0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED"),
    (0x130, "CKR_DOMAIN_PARAMS_INVALID"),
    (0x140, "CKR_CURVE_NOT_SUPPORTED"),
    (0x150, "CKR_BUFFER_TOO_SMALL"),
    (0x170, "CKR_INFORMATION_SENSITIVE"),
    (0x1B5, "CKR_EXCEEDED_MAX_ITERATIONS"),
    (0x1B9, "CKR_PUBLIC_KEY_INVALID"),
    (0x200, "CKR_FUNCTION_REJECTED"),
];

fn expected() -> Vec<(u64, &'static str, Class)> {
    let classes = [
        (RETRY, Class::Retry),
        (RELOGIN, Class::Relogin),
        (RESTART, Class::Restart),
        (FATAL, Class::Fatal),
        (REJECT, Class::Reject),
    ];
    let rows = classes
        .iter()
        .flat_map(|(codes, class)| codes.iter().map(|(code, name)| (*code, *name, *class)));
    rows.collect()
}

fn failure(code: u64) -> Failure {
    let Rv::Error(error) = Rv::from(code) else {
        unreachable!("CKR_OK is no failure")
    };
    Error::Pkcs11(error, Function::Sign).into()
}

#[test]
fn every_return_value_of_the_standard_has_its_name_and_class() {
    let expected = expected();
    for (code, name, class) in &expected {
        let failure = failure(*code);
        assert_eq!(failure.fault.to_string(), format!("C_Sign: {name}"));
        assert_eq!(failure.class, *class, "{name}");
    }
    // Every number below the vendors' range that the library knows is in the table, once.
    let known = |code: &u64| !matches!(Rv::from(*code), Rv::Error(RvError::UnknownErrorCode(_)));
    let known: Vec<u64> = (1..0x1000).filter(known).collect();
    let mut listed: Vec<u64> = expected.iter().map(|(code, ..)| *code).collect();
    listed.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn what_the_standard_does_not_name_is_tried_with_a_fresh_session() {
    let vendor = failure(0x8000_0011);
    assert_eq!(vendor.class, Class::Retry);
    assert_eq!(vendor.fault.code(), "CKR_VENDOR_DEFINED 0x80000011");
    let unknown = failure(0x0FFF);
    assert_eq!(unknown.class, Class::Retry);
    assert_eq!(unknown.fault.code(), "CK_RV 0x00000FFF");
}

#[test]
fn a_wrong_pin_is_never_tried_again() {
    for code in 0xA0..=0xA4 {
        assert_eq!(failure(code).class, Class::Fatal);
    }
}
