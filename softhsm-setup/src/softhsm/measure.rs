//! Owns the bare C_Sign loop: one session for each thread, a key pair made for it that never leaves the token and is
//! destroyed whatever comes of the loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use semops_pki::algorithm::sha256;

use super::token::{KeyPair, Token};
use super::{Lines, TokenError, call};
use crate::protocol::Reply;

/// The label of the key pair.
const LABEL: &str = "sign-loop";
/// What is signed: a digest costs the token the same whatever it is of.
const MESSAGE: &[u8] = b"softhsm-setup sign-loop";

/// Signs for `seconds` in each of `threads` threads, or until the input ends.
pub(super) fn measure(
    token: &Token,
    seconds: u32,
    threads: u32,
    lines: &Lines,
) -> Result<Reply, TokenError> {
    let pair = token.generate_pair(LABEL)?;
    let measured = sign(token, &pair, seconds, threads, lines);
    let destroyed = token.destroy(&pair);
    let reply = measured?;
    destroyed.map(|()| reply)
}

fn sign(
    token: &Token,
    pair: &KeyPair,
    seconds: u32,
    threads: u32,
    lines: &Lines,
) -> Result<Reply, TokenError> {
    let sessions = (0..threads)
        .map(|_| token.another_session())
        .collect::<Result<Vec<_>, _>>()?;
    let stop = &AtomicBool::new(false);
    let started = Instant::now();
    let counts: Vec<_> = thread::scope(|scope| {
        let count = |session| scope.spawn(move || count(session, pair, stop));
        let threads: Vec<_> = sessions.into_iter().map(count).collect();
        let waited = lines.recv_timeout(Duration::from_secs(seconds.into()));
        stop.store(true, Ordering::Relaxed);
        let panicked = |_| Err(TokenError::State("a signing thread panicked"));
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(panicked));
        match waited {
            Err(RecvTimeoutError::Timeout) => counts.collect(),
            _ => vec![Err(TokenError::State("it was told to stop"))],
        }
    });
    let elapsed = started.elapsed();
    let signatures = counts.into_iter().sum::<Result<u64, TokenError>>()?;
    Ok(Reply::Measured {
        signatures,
        nanoseconds: elapsed.as_nanos().try_into().unwrap_or(u64::MAX),
    })
}

fn count(session: Session, pair: &KeyPair, stop: &AtomicBool) -> Result<u64, TokenError> {
    let digest = sha256(MESSAGE);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        sign_once(&session, pair.private, &digest)?;
        count += 1;
    }
    // What was counted was real.
    let last = sign_once(&session, pair.private, &digest)?;
    let last = last
        .try_into()
        .map_err(|_| TokenError::State("its signature is not of 64 octets"))?;
    pair.public_key.verify_raw(MESSAGE, &last)?;
    session.close().map_err(call("C_CloseSession"))?;
    Ok(count + 1)
}

fn sign_once(
    session: &Session,
    key: ObjectHandle,
    digest: &[u8; 32],
) -> Result<Vec<u8>, TokenError> {
    session
        .sign(&Mechanism::Ecdsa, key, digest)
        .map_err(call("C_Sign"))
}
