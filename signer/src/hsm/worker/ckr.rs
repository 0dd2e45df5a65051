//! Owns the one table that says what each PKCS#11 return value (CK_RV) means for the work under way.

use cryptoki::error::{Error, RvError};

use crate::hsm::failure::{Class, Failure};

/// The class of `code`. There is no default arm: a code that a later standard adds stops the build.
pub(super) fn class(code: RvError) -> Class {
    use Class::{Fatal, Reject, Relogin, Restart, Retry};
    use RvError as R;
    match code {
        // The session, its operation or a handle is gone or spoilt, or the token failed for the moment.
        R::SessionClosed | R::SessionHandleInvalid | R::SessionCount | R::SessionExists => Retry,
        R::KeyHandleInvalid | R::ObjectHandleInvalid | R::KeyChanged | R::KeyNeeded => Retry,
        R::OperationActive | R::OperationNotInitialized | R::Cancel | R::FunctionCanceled => Retry,
        R::FunctionFailed | R::FunctionNotParallel | R::NoEvent | R::SavedStateInvalid => Retry,
        R::DeviceError | R::DeviceMemory | R::DeviceRemoved | R::HostMemory => Retry,
        R::TokenNotPresent | R::TokenNotRecognized | R::StateUnsaveable => Retry,
        // Success where it can occur, in C_Login. A vendor's own code says nothing: try afresh.
        R::UserAlreadyLoggedIn | R::VendorDefined(_) | R::UnknownErrorCode(_) => Retry,
        R::UserNotLoggedIn => Relogin,
        R::GeneralError | R::CryptokiNotInitialized | R::CryptokiAlreadyInitialized => Restart,
        R::SlotIdInvalid | R::MutexBad | R::MutexNotLocked => Restart,
        R::PinIncorrect | R::PinInvalid | R::PinLenRange | R::PinExpired | R::PinLocked => Fatal,
        R::PinTooWeak | R::NewPinMode | R::NextOtp | R::UserPinNotInitialized => Fatal,
        R::UserTypeInvalid | R::UserAnotherAlreadyLoggedIn | R::UserTooManyTypes => Fatal,
        R::FipsSelfTestFailed | R::LibraryLoadFailed | R::RandomNoRng => Fatal,
        R::NeedToCreateThreads | R::CantLock => Fatal,
        R::ArgumentsBad | R::ActionProhibited | R::FunctionNotSupported => Reject,
        R::FunctionRejected | R::BufferTooSmall | R::ExceededMaxIterations => Reject,
        R::AttributeReadOnly | R::AttributeSensitive | R::AttributeTypeInvalid => Reject,
        R::AttributeValueInvalid | R::TemplateIncomplete | R::TemplateInconsistent => Reject,
        R::DataInvalid | R::DataLenRange | R::InformationSensitive => Reject,
        R::EncryptedDataInvalid | R::EncryptedDataLenRange | R::CurveNotSupported => Reject,
        R::DomainParamsInvalid | R::MechanismInvalid | R::MechanismParamInvalid => Reject,
        R::KeySizeRange | R::KeyTypeInconsistent | R::KeyNotNeeded | R::KeyIndigestible => Reject,
        R::KeyFunctionNotPermitted | R::KeyNotWrappable | R::KeyUnextractable => Reject,
        R::PublicKeyInvalid | R::SignatureInvalid | R::SignatureLenRange => Reject,
        R::SessionParallelNotSupported | R::SessionReadOnly => Reject,
        R::SessionReadOnlyExists | R::SessionReadWriteSoExists => Reject,
        R::TokenWriteProtected | R::RandomSeedNotSupported => Reject,
        R::UnwrappingKeyHandleInvalid | R::UnwrappingKeySizeRange => Reject,
        R::UnwrappingKeyTypeInconsistent | R::WrappedKeyInvalid | R::WrappedKeyLenRange => Reject,
        R::WrappingKeyHandleInvalid | R::WrappingKeySizeRange => Reject,
        R::WrappingKeyTypeInconsistent => Reject,
    }
}

/// The standard's name of `code`, for example `CKR_PIN_INCORRECT`.
pub(super) fn name(code: RvError) -> String {
    match code {
        RvError::VendorDefined(value) => format!("CKR_VENDOR_DEFINED 0x{value:08X}"),
        RvError::UnknownErrorCode(value) => format!("CK_RV 0x{value:08X}"),
        // cryptoki names its variants as the standard does, in camel case.
        named => {
            let mut name = String::from("CKR");
            for letter in format!("{named:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => {
                Self::new(class(code), &format!("C_{function:?}"), name(code))
            }
            Error::LibraryLoading(_) | Error::MissingSymbol(_) => {
                Self::new(Class::Fatal, "dlopen", error.to_string())
            }
            // The module answered, but with what the standard does not allow.
            Error::NotSupported
            | Error::TryFromInt(_)
            | Error::TryFromSlice(_)
            | Error::ParseInt(_)
            | Error::Utf8(_)
            | Error::NulError(_)
            | Error::NullFunctionPointer
            | Error::InvalidValue
            | Error::PinNotSet => Self::new(Class::Reject, "PKCS#11", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
