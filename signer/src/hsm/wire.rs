//! Owns what crosses the socket between the service and a worker process: plain data, one message a packet
//! (SOCK_SEQPACKET), so that the threads of a worker process take their work from the socket themselves.

mod said;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use prost::Message;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::{ClockId, Timespec, clock_gettime};
use zeroize::Zeroizing;

use super::Key;
use super::failure::{Class, Failure};
use super::report::{KeyReport, TokenReport};
use crate::domain::key::KeyId;

pub(super) use self::said::adopted;

/// The longest message, octets: a token's report lists its mechanisms and keys.
pub(super) const LONGEST: usize = 64 * 1024;

/// The first message: all that a worker process ever knows.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Begin {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) module: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) institution: String,
    #[prost(string, tag = "3")]
    pub(super) label: String,
    #[prost(string, tag = "4")]
    pub(super) pin: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) keys: Vec<WireKey>,
    #[prost(uint32, tag = "6")]
    pub(super) threads: u32,
    #[prost(uint64, tag = "7")]
    pub(super) workers: u64,
    #[prost(bool, tag = "8")]
    pub(super) network: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireKey {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    label: String,
    #[prost(bytes = "vec", tag = "3")]
    public: Vec<u8>,
}

/// The first answer: one of the two.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Begun {
    #[prost(message, optional, tag = "1")]
    pub(super) report: Option<Report>,
    #[prost(message, optional, tag = "2")]
    pub(super) refused: Option<Refused>,
}

/// Why the token is not taken up.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Refused {
    #[prost(string, tag = "1")]
    pub(super) text: String,
    /// The call that failed, if it was one.
    #[prost(message, optional, tag = "2")]
    pub(super) failure: Option<WireFailure>,
}

/// A [`TokenReport`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct Report {
    #[prost(string, tag = "1")]
    library: String,
    #[prost(uint64, tag = "2")]
    slot: u64,
    #[prost(string, tag = "3")]
    token: String,
    #[prost(uint64, optional, tag = "4")]
    session_limit: Option<u64>,
    #[prost(uint32, tag = "5")]
    threads: u32,
    #[prost(bool, tag = "6")]
    read_only: bool,
    #[prost(string, repeated, tag = "7")]
    mechanisms: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    keys: Vec<WireKeyReport>,
}

/// A [`super::report::KeyReport`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireKeyReport {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    label: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, optional, tag = "2")]
    value: Option<bool>,
}

/// One job for whichever thread takes it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Job {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) deadline: u64,
    #[prost(oneof = "Order", tags = "3, 4, 5, 6, 7, 8")]
    pub(super) order: Option<Order>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Order {
    #[prost(message, tag = "3")]
    Sign(Sign),
    /// So many random octets.
    #[prost(uint32, tag = "4")]
    Random(u32),
    /// See whether session and login are good.
    #[prost(message, tag = "5")]
    Tend(Tend),
    /// A key pair: the octets of its public half (SEC 1 s2.3.3).
    #[prost(message, tag = "6")]
    Generate(Generate),
    /// A key that is to be used: what was found of it.
    #[prost(message, tag = "7")]
    Adopt(Adopt),
    /// The key that is to be destroyed.
    #[prost(bytes, tag = "8")]
    Destroy(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sign {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tend {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Generate {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) request: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) label: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Adopt {
    #[prost(message, optional, tag = "1")]
    pub(super) key: Option<WireKey>,
    /// For what it was made, if it may have no name yet.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) request: Option<Vec<u8>>,
}

/// What came of a job; with id 0 what a thread found when it tended its session unasked.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(enumeration = "Ending", tag = "2")]
    pub(super) ending: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) octets: Vec<u8>,
    /// How long the calls took.
    #[prost(uint64, tag = "4")]
    pub(super) nanos: u64,
    /// The calls that failed on the way, mended or not; of a job that was not done the last one says why.
    #[prost(message, repeated, tag = "5")]
    pub(super) failures: Vec<WireFailure>,
    /// Sessions open for work in the whole process.
    #[prost(uint32, tag = "6")]
    pub(super) sessions: u32,
    /// Logins that the process has made.
    #[prost(uint64, tag = "7")]
    pub(super) logins: u64,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
pub(super) enum Ending {
    /// With its result.
    Done = 0,
    /// Its deadline had passed, and it was not begun.
    Expired = 1,
    /// By a failure.
    Failed = 2,
}

/// A [`Failure`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireFailure {
    #[prost(string, tag = "1")]
    call: String,
    #[prost(string, tag = "2")]
    code: String,
    #[prost(enumeration = "WireClass", tag = "3")]
    class: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
enum WireClass {
    Fatal = 0,
    Retry = 1,
    Relogin = 2,
    Restart = 3,
    Reject = 4,
}

impl From<&Failure> for WireFailure {
    fn from(failure: &Failure) -> Self {
        let class = match failure.class {
            Class::Fatal => WireClass::Fatal,
            Class::Retry => WireClass::Retry,
            Class::Relogin => WireClass::Relogin,
            Class::Restart => WireClass::Restart,
            Class::Reject => WireClass::Reject,
        };
        Self {
            call: failure.fault.call().to_owned(),
            code: failure.fault.code().to_owned(),
            class: class.into(),
        }
    }
}

impl From<&Key> for WireKey {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.as_bytes().to_vec(),
            label: key.label.clone(),
            public: key.public.sec1().to_vec(),
        }
    }
}

impl WireKey {
    /// The key; nothing if it is none.
    pub(super) fn key(self) -> Option<Key> {
        let id = KeyId::new(self.id.try_into().ok()?);
        let public = semops_pki::algorithm::PublicKey::from_sec1(&self.public).ok()?;
        Some(Key {
            id,
            label: self.label,
            public,
        })
    }
}

impl From<&TokenReport> for Report {
    fn from(report: &TokenReport) -> Self {
        let keys = report.keys.iter().map(WireKeyReport::from);
        Self {
            library: report.library.clone(),
            slot: report.slot,
            token: report.token.clone(),
            session_limit: report.session_limit,
            threads: u32::try_from(report.threads).unwrap_or(u32::MAX),
            read_only: report.read_only,
            mechanisms: report.mechanisms.clone(),
            keys: keys.collect(),
        }
    }
}

impl From<&KeyReport> for WireKeyReport {
    fn from(report: &KeyReport) -> Self {
        let attributes = report.attributes.iter().map(|(name, value)| Attribute {
            name: name.clone(),
            value: *value,
        });
        Self {
            id: report.id.as_bytes().to_vec(),
            label: report.label.clone(),
            attributes: attributes.collect(),
        }
    }
}

/// What came by the socket.
pub(super) enum Received<T> {
    /// A message.
    Message(T),
    /// Nothing for as long as the socket waits.
    Nothing,
    /// The other end is closed.
    End,
}

/// Sends a message whole. What held it is cleared: the first one has the PIN in it.
pub(super) fn put(socket: impl AsFd, message: &impl Message, flags: SendFlags) -> io::Result<()> {
    let mut packet = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
    message.encode(&mut *packet).map_err(io::Error::other)?;
    loop {
        match send(&socket, &packet, flags | SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the next message; `buffer` holds it meanwhile.
pub(super) fn take<T: Message + Default>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Received<T>> {
    use rustix::io::Errno;
    match recv(&socket, &mut *buffer, RecvFlags::TRUNC) {
        Ok((_, 0)) | Err(Errno::CONNRESET) => Ok(Received::End),
        Ok((_, length)) => {
            let packet = buffer.get(..length);
            let packet = packet.ok_or_else(|| io::Error::other("a packet that is too long"))?;
            T::decode(packet)
                .map(Received::Message)
                .map_err(io::Error::other)
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// The deadline as both processes understand it: nanoseconds of CLOCK_MONOTONIC, which is one for the machine.
pub(super) fn shared(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    nanos(monotonic().saturating_add(left))
}

/// The deadline as this process understands it.
pub(super) fn own(deadline: u64) -> Instant {
    let left = Duration::from_nanos(deadline).saturating_sub(monotonic());
    Instant::now() + left
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn monotonic() -> Duration {
    let now: Timespec = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

#[cfg(test)]
mod tests;
