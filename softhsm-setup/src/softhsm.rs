//! Owns the PKCS#11 side: the process that initialises one SoftHSM token or logs in to it, generates keys and signs
//! with them. It is a process of its own because SoftHSM reads SOFTHSM2_CONF once, and setting a variable of one's own
//! process is not safe. It ends, and leaves nothing half done, when its standard input ends: so it outlives nobody who
//! started it. The only place that names cryptoki.

mod measure;
mod token;

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use zeroize::Zeroizing;

use crate::protocol::{MAX_LINE, Reply, Request};
use token::Token;

/// Why the token did not do it; the text names the PKCS#11 function.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("the request is not understood")]
    Request,
    #[error("{call}: {source}")]
    Pkcs11 {
        call: &'static str,
        source: cryptoki::error::Error,
    },
    #[error("{module} is of {maker:?}, not SoftHSM: real tokens are initialised by their owners")]
    NotSoftHsm { module: String, maker: String },
    #[error("{0}")]
    State(&'static str),
    #[error("the token's public key: {0}")]
    Key(#[from] semops_pki::error::KeyError),
    #[error("{0}")]
    Signature(#[from] semops_pki::error::BadSignature),
}

fn call(call: &'static str) -> impl FnOnce(cryptoki::error::Error) -> TokenError {
    move |source| TokenError::Pkcs11 { call, source }
}

/// A line of the input, or why there is none; disconnected when the input has ended.
type Lines = Receiver<io::Result<Zeroizing<String>>>;

/// Serves one token until its standard input ends: what the hidden subcommand `token` runs.
///
/// # Errors
/// Only if standard input or output fails; what the token refuses is an answer.
pub fn serve_token() -> io::Result<()> {
    let (sender, lines) = sync_channel(1);
    // Reading has a thread of its own, so that the end of the input is seen while the token works.
    std::thread::spawn(move || read_lines(&sender));
    let mut token = None;
    let served = serve(&mut token, &lines);
    // Before OpenSSL's exit handlers run, or SoftHSM may crash.
    let finalized = token
        .map_or(Ok(()), Token::finalize)
        .map_err(io::Error::other);
    match served {
        // Whoever asked has gone away; there is nobody to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => finalized,
        served => served.and(finalized),
    }
}

fn read_lines(lines: &SyncSender<io::Result<Zeroizing<String>>>) {
    let mut input = io::stdin().lock();
    // A line without an end is no JSON either and is refused as such.
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    loop {
        // Made in full length, so that no copy of a PIN stays behind when it grows.
        let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
        let read = input.by_ref().take(limit).read_line(&mut line);
        let ended = !matches!(read, Ok(length) if length > 0);
        let line = match read {
            Ok(0) => break,
            Ok(_) => Ok(line),
            Err(error) => Err(error),
        };
        if lines.send(line).is_err() || ended {
            break;
        }
    }
}

fn serve(token: &mut Option<Token>, lines: &Lines) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in lines {
        let reply = answer(token, &line?, lines).unwrap_or_else(|error| Reply::Refused {
            reason: error.to_string(),
        });
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(token: &mut Option<Token>, line: &str, lines: &Lines) -> Result<Reply, TokenError> {
    let request = serde_json::from_str(line).map_err(|_| TokenError::Request)?;
    let open = TokenError::State("no token is open");
    match request {
        Request::Initialise {
            module,
            label,
            so_pin,
            pin,
        } => take(token, || {
            Token::initialise(module, label, &so_pin.into(), &pin.into())
        }),
        Request::Open { module, label, pin } => {
            take(token, || Token::open(module, label, &pin.into()))
        }
        Request::ChangePin { old, new } => {
            let token = token.as_ref().ok_or(open)?;
            token.change_pin(&old.into(), &new.into())?;
            Ok(Reply::Changed)
        }
        Request::Generate { label } => {
            let key = token.as_ref().ok_or(open)?.generate(label)?;
            Ok(Reply::Key {
                point: BASE64URL.encode(key.sec1()),
            })
        }
        Request::Sign { key, message } => {
            let decode = |text| BASE64URL.decode(text).map_err(|_| TokenError::Request);
            let token = token.as_ref().ok_or(open)?;
            Ok(Reply::Signature {
                rs: BASE64URL.encode(token.sign(decode(key)?, &decode(message)?)?),
            })
        }
        Request::Measure { seconds, threads } => {
            let token = token.as_ref().ok_or(open)?;
            measure::measure(token, seconds, threads, lines)
        }
    }
}

/// Makes `token` the one of this process.
fn take(
    token: &mut Option<Token>,
    make: impl FnOnce() -> Result<(Token, String), TokenError>,
) -> Result<Reply, TokenError> {
    if token.is_some() {
        return Err(TokenError::State("one process holds one token"));
    }
    let (made, library) = make()?;
    *token = Some(made);
    Ok(Reply::Ready { library })
}
