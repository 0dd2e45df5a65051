//! What keeps the service from starting: said once, on standard error, before a port takes a request.

use crate::bad_input::row::{Told::Exit, rows};

rows! {
    WRONG_PIN {
        what: "wrong PIN",
        told: Exit(1),
        text: "signer: the HSM: token \"alfa\" (slot <n>): C_Login: CKR_PIN_INCORRECT; try: correct the PIN file; the PIN was tried once and is not tried again, because a token locks after a few wrong ones",
        holds: "tried once, no PIN in the output",
        test: "bad_input::starts::a_wrong_pin",
    }
    MISSING_MODULE {
        what: "missing module",
        told: Exit(1),
        text: "signer: the HSM: /nonexistent/libpkcs11.so: dlopen: libloading error (/nonexistent/libpkcs11.so: cannot open shared object file: No such file or directory); try: check `module` under [hsm]: it must be the PKCS#11 library of the HSM, built for this machine",
        holds: "",
        test: "bad_input::starts::a_missing_module_or_token",
    }
    MISSING_TOKEN {
        what: "missing token",
        told: Exit(1),
        text: "signer: the HSM: <module>: C_GetTokenInfo: no token has the label \"gamma\"; found: <labels>; try: correct `token` of institution beta, or make the token",
        holds: "",
        test: "bad_input::starts::a_missing_module_or_token",
    }
    EXTRACTABLE_KEY {
        what: "extractable key",
        told: Exit(1),
        text: "signer: the HSM: token \"alfa\" (slot <n>): key <id> (device-ca): CKA_EXTRACTABLE is true, not false; try: generate a new key inside the token (CKA_SENSITIVE and CKA_PRIVATE true, CKA_EXTRACTABLE false, CKA_SIGN true), certify it, and revoke this one's certificate: it may have been copied",
        holds: "nothing was signed with it",
        test: "bad_input::starts::an_extractable_key",
    }
    UNKNOWN_KEY {
        what: "unknown configuration key",
        told: Exit(64),
        text: "signer: the configuration has 1 mistake:\n  hsm.sessions: is not known: remove it, or correct its name after signer.example.toml",
        holds: "every mistake of the file comes in one go, before a token or the store is opened",
        test: "bad_input::starts::an_unknown_configuration_key",
    }
    STORE_MISSING {
        what: "no store",
        told: Exit(1),
        text: "signer: the store: the store is not available: <path> does not exist: put it back if it ever was there, or make a new one with `signer --config FILE migrate`",
        holds: "no store is ever made in passing",
        test: "bad_input::starts::no_store",
    }
    TOO_FEW_FILES {
        what: "too few open files (RLIMIT_NOFILE)",
        told: Exit(1),
        text: "signer: the system gives this process 200 open files, and <n> are needed; raise the limit (`ulimit -n`, LimitNOFILE= of a unit)",
        holds: "the limit is raised to what the system allows; with enough for the service and fewer than `max_connections`, connections beyond are closed and open ones have all that the token and the record need",
        test: "descriptors::too_few_for_the_service_itself",
    }
}
